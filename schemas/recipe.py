"""The recipe: one YAML file that says which sources, which rules and which mix.

Every size and share carries its unit (``schemas/units.py``); an unknown key is an error that names the nearest
known one (``schemas/strict.py``). Filters are named here and typed by their own modules (``transforms/filters``).
"""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, field_validator, model_validator

from schemas.decontaminate import Decontaminate
from schemas.errors import GristmillError
from schemas.selection import Balance, Best, Diversity, Like, Quality, Stage
from schemas.strict import Strict, read_yaml, validate
from schemas.units import Amount, Share, Size

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Compare = Literal["whole", "prompt", "response"]


class Source(Strict):
    """One source of records: where it lies, how to read it, what is known of it."""

    path: str | list[str] = Field(
        description="file, folder, glob or URL, or a list of them; hub:owner/name@revision#split for a hub data set; "
        "relative paths start at the recipe's folder"
    )
    origin: Literal["human", "synthetic", "mixed"] | None = Field(
        None, description="who wrote the answers; decides who survives deduplication"
    )
    license: str | None = Field(None, description="SPDX identifier or the name of the licence")
    generator: str | None = Field(None, description="the model that wrote the answers, if one did")
    language: str | None = Field(None, description="language code of the records, for example en")
    task: str | None = Field(None, description="task of records that name none themselves")
    priority: Annotated[int, Field(ge=-(2**15), lt=2**15)] = Field(
        0, description="survivor order between sources: the lower number stays"
    )
    container: str | None = Field(None, description="force a container instead of recognising it")
    shape: str | None = Field(None, description="force a shape instead of recognising it")
    columns: dict[str, str] | None = Field(None, description="manual mapping: what we need -> the column it is in")
    trees: Literal["all", "best"] = Field("all", description="OASST trees: every path, or the best ranked one")
    placeholders: dict[str, str] = Field(default_factory=dict, description="values for {{name}} placeholders")
    ftfy: bool = Field(False, description="repair mojibake with ftfy")
    encoding: str | None = Field(None, description="text encoding, when it is not UTF-8 or UTF-16 with a BOM")
    redact: list[Literal["email", "phone", "ip", "card", "iban", "key"]] = Field(
        default_factory=list,
        description="personal data that is replaced in all texts by its kind, for example [EMAIL]; counts per kind go "
        "to the record's extra",
    )
    max_bad: Share | None = Field(None, description="share of rows that may be quarantined; overrides ingest.max_bad")
    max_loss: Share | None = Field(
        None, description="share of rows that deduplication may drop; overrides dedup.max_source_loss"
    )

    @property
    def paths(self) -> list[str]:
        return [self.path] if isinstance(self.path, str) else list(self.path)


class Ingest(Strict):
    """How files become blocks."""

    max_bad: Share = Field(
        default=Share.parse("5 %"), description="error budget: the run stops when more of a source is quarantined"
    )
    unreadable_file: Literal["stop", "skip"] = Field(
        "stop", description="a file that cannot be read at all stops the run before work starts, or is skipped"
    )
    split: Size = Field(default=Size.parse("16 MiB"), description="a JSONL file is read in pieces of this size")
    block: Size = Field(default=Size.parse("4 MiB"), description="text per block, the unit of work")


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


class Mix(Strict):
    """Which share each source has in the release."""

    shares: dict[str, Share] | None = Field(None, description="share per source; they add up to 100 %")
    unit: Literal["rows", "characters", "tokens"] = Field("rows", description="what the shares are counted in")
    size: Amount | None = Field(None, description="target size of the release, in the same unit; default: all there is")
    temperature: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="without shares: source sizes n become shares in proportion to n^(1/T) (T=1 proportional, larger "
        "T nearer to equal)",
    )
    max_epochs: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="how often one record may be repeated")
    shortfall: Literal["renormalise", "shrink", "stop"] = Field(
        "renormalise",
        description="when a source cannot fill its share: give the rest to the others, shrink the whole so that the "
        "shares hold, or stop",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Mix":
        if self.shares is not None:
            total = sum(share.value for share in self.shares.values())
            if total != 1:
                raise ValueError(f"shares add up to {float(total * 100):g} %, not 100 %")
            if self.temperature is not None:
                raise ValueError("give shares or temperature, not both")
        if self.size is not None and self.size.unit != self.unit:
            raise ValueError(f"size is in {self.size.unit} but unit is {self.unit}; make them the same")
        return self


class Release(Strict):
    """How the release is laid out."""

    splits: dict[str, Share] = Field(
        default_factory=dict, description='besides train: for example {validation: "1 %"}; chosen by id'
    )
    shard: Size = Field(default=Size.parse("256 MiB"), description="upper bound of a shard's uncompressed bytes")
    row_group: Size = Field(
        default=Size.parse("8 MiB"), description="uncompressed bytes of a row group, what a streaming reader fetches"
    )

    curriculum: list[Stage] = Field(
        default_factory=list,
        description="stages in whose order the rows stand, easy before hard: a record is in the first stage "
        "whose conditions it meets, in the last when it meets none; within a stage the order is seeded chance",
    )

    @field_validator("splits")
    @classmethod
    def _in_order(cls, splits: dict[str, Share]) -> dict[str, Share]:
        return dict(sorted(splits.items()))  # the digest does not see the order, so nothing may depend on it

    @model_validator(mode="after")
    def _splits(self) -> "Release":
        for name in self.splits:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name) or name == "train":
                raise ValueError(f"split name {name!r} is not usable; use small letters, and train is made by itself")
        total = sum(share.value for share in self.splits.values())
        names = [stage.name for stage in self.curriculum]
        if len(set(names)) != len(names):
            raise ValueError(f"two stages of the curriculum have the same name, in {names}")
        if total >= 1:
            raise ValueError(f"splits take {float(total * 100):g} %, nothing is left for train")
        return self


class Recipe(Strict):
    """A versioned data set release, from raw files to shards."""

    name: str = Field(pattern=NAME, description="name of the release; its folder is <out>/<name>/<version>")
    version: str = Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$", description='version of the release, for example "1.0.0"')
    description: str = Field("", description="a sentence or two for the data set card")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="every choice and order follows from it")
    sources: dict[str, Source] = Field(min_length=1)
    tokenizer: str | None = Field(
        None, description="a Hugging Face tokenizer, folder or tokenizer.json or hub id; needed to count in tokens"
    )
    ingest: Ingest = Field(default_factory=Ingest)
    filters: dict[str, dict[str, Any]] | None = Field(
        None, description="filters by name with their settings; default: empty and undesirable"
    )
    dedup: Dedup = Field(default_factory=Dedup)
    tags: bool = Field(False, description="measure task, format, tone and difficulty, and release task and difficulty")
    quality: Quality | None = Field(None, description="measure the quality score and release it")
    decontaminate: Decontaminate | None = Field(None, description="benchmarks that the release must not hold")
    balance: Balance | None = Field(None, description="a target for the lengths of answers")
    diversity: Diversity | None = Field(None, description="clusters, caps on phrasings, a distance")
    best: Best | None = Field(None, description="down to a budget, the best first")
    mix: Mix | None = Field(None, description="null or absent: everything that is left")
    release: Release = Field(default_factory=Release)

    @field_validator("filters")
    @classmethod
    def _in_order(cls, filters: dict[str, dict[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
        return None if filters is None else dict(sorted(filters.items()))  # as with splits

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        for name in self.sources:
            if not re.fullmatch(NAME, name):
                raise ValueError(f"source name {name!r} is not usable; use letters, digits, dot, dash, underscore")
        if self.mix is not None:
            for name in self.mix.shares or {}:
                if name not in self.sources:
                    raise ValueError(
                        f"mix.shares names {name!r}, which is no source; sources: {', '.join(self.sources)}"
                    )
            if self.mix.unit == "tokens" and self.tokenizer is None:
                raise ValueError("mix.unit is tokens but the recipe names no tokenizer; set tokenizer")
        if self.balance is not None:
            if self.balance.by == "answer_tokens" and self.tokenizer is None:
                raise ValueError("balance.by is answer_tokens but the recipe names no tokenizer; set tokenizer")
            if isinstance(self.balance.target, Like):
                if self.balance.per != "source":
                    raise ValueError(f"balance.target is like a source, but per is {self.balance.per}; set per: source")
                if self.balance.target.like not in self.sources:
                    raise ValueError(
                        f"balance.target.like names {self.balance.target.like!r}, which is no source; "
                        f"sources: {', '.join(self.sources)}"
                    )
        for stage in self.release.curriculum:
            for name in stage.sources or []:
                if name not in self.sources:
                    raise ValueError(
                        f"release.curriculum: stage {stage.name!r} names {name!r}, which is no source; "
                        f"sources: {', '.join(self.sources)}"
                    )
        return self

    @property
    def selects(self) -> bool:
        """Whether anything chooses among the records that deduplication leaves, but for the mix."""
        return any(one is not None for one in (self.decontaminate, self.balance, self.diversity, self.best))

    @property
    def clustered(self) -> bool:
        """Whether anything asks for clusters."""
        wanted = self.diversity is not None and (
            self.diversity.quota is not None or self.diversity.similarity is not None
        )
        return wanted or (self.best is not None and self.best.per == "cluster")

    @property
    def embedded(self) -> bool:
        """Whether anything asks for embeddings."""
        return self.clustered or (self.best is not None and self.best.similarity is not None)

    @property
    def tagged(self) -> bool:
        """Whether anything asks for task tags."""
        return (
            self.tags
            or (self.balance is not None and self.balance.per == "task")
            or (self.best is not None and self.best.per == "task")
            or any(stage.tasks is not None or stage.difficulty is not None for stage in self.release.curriculum)
        )

    @property
    def orders(self) -> set[str]:
        """Names of the scores that decide who comes first."""
        named = {self.diversity.order} if self.diversity else set()
        return (named | ({self.best.by} if self.best else set())) - {"hash"}

    def canonical(self) -> bytes:
        """The recipe as JSON with every default filled in and keys sorted: what the digest is taken of.

        ``ingest.split`` and ``ingest.block`` are left out: they size the work and must not reach the bytes.
        """
        plain = self.model_dump(mode="json")
        for key in ("split", "block"):
            del plain["ingest"][key]
        return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)

    def digest(self) -> str:
        """sha256 of the canonical form."""
        return hashlib.sha256(self.canonical()).hexdigest()


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe file.

    Raises:
        GristmillError: one sentence with file, place, value and what to do.
    """
    data = read_yaml(path)
    if data is None:
        raise GristmillError(f"{path}: the file is empty; a recipe needs at least name, version and sources")
    return validate(Recipe, data, str(path))
