"""Recipe sections on duplicates: what counts as one, and who stays."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from schemas.strict import Strict
from schemas.units import Share

Compare = Literal["whole", "prompt", "response"]


class Exact(Strict):
    """Exact deduplication on normalised content."""

    compare: Compare = Field("whole", description="what must be equal")


class Near(Strict):
    """Near deduplication: MinHash candidates, each verified on the real shingle sets."""

    similarity: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.8, description="Jaccard similarity of word shingles from which two records are near duplicates"
    )
    recall: Share = Field(
        default=Share.parse("99 %"), description="share of pairs at that similarity that must be found"
    )
    compare: Compare = Field("whole", description="what is compared")
    answers: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5,
        description="where the whole is compared, how similar the words of the answers must be too (Jaccard of word "
        "sets): another question about the same long text is no duplicate; 0: not asked",
    )
    shingle: Annotated[int, Field(ge=1, le=20)] = Field(5, description="words per shingle (5 as in Lee et al. 2022)")
    permutations: Annotated[int, Field(ge=8, le=1024)] = Field(128, description="MinHash permutations")
    hash_seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(1, description="datasketch's permutation seed")

    @field_validator("recall")
    @classmethod
    def _can_be_had(cls, recall: Share) -> Share:
        if not 0 < recall.value < 1:
            raise ValueError(f"{recall} cannot be promised by hashing; ask for more than 0 % and less than 100 %")
        return recall

    @property
    def answer_similarity(self) -> float:
        """How similar the answers must be, 0 where that is not asked."""
        return self.answers if self.compare == "whole" else 0.0


class Dedup(Strict):
    """Which of several equal or similar records stays, and what must not happen."""

    exact: Exact | None = Field(default_factory=Exact, description="null switches it off")
    near: Near | None = Field(default_factory=Near, description="null switches it off")
    keep: list[Literal["origin", "priority", "longest", "shortest"]] = Field(
        default=["origin", "priority", "longest"],
        description="who stays, first criterion first: human before mixed before synthetic, lower source priority, "
        "longer or shorter answer; the id decides at last",
    )
    max_source_loss: Share = Field(
        default=Share.parse("50 %"), description="wipe-out guard: the run stops when a source loses more than this"
    )

    @field_validator("keep")
    @classmethod
    def _once(cls, keep: list[str]) -> list[str]:
        if len(set(keep)) != len(keep):
            raise ValueError(f"a criterion is named twice in {keep}")
        if {"longest", "shortest"} <= set(keep):
            raise ValueError("longest and shortest contradict each other")
        return keep
