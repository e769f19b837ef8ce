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

from schemas.chat.settings import TemplateChoice
from schemas.decontaminate import Decontaminate
from schemas.dedup import Dedup
from schemas.errors import GristmillError
from schemas.scores import Scores
from schemas.selection import Balance, Best, Diversity, Like, Quality, Stage
from schemas.source import Ingest, Source
from schemas.strict import Strict, read_yaml, validate
from schemas.units import Amount, Share, Size

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class Mix(Strict):
    """Which share each source has in the release."""

    shares: dict[str, Share] | None = Field(None, description="share per source; they add up to 100 %")
    unit: Literal["rows", "characters", "tokens", "supervised_tokens"] = Field(
        "rows", description="what the shares are counted in; supervised_tokens are what a trainer's loss will see"
    )
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
        if self.size is not None and self.size.unit != self.unit.removeprefix("supervised_"):
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
        for stage in self.curriculum[:-1]:
            if stage.model_fields_set == {"name"}:
                raise ValueError(
                    f"stage {stage.name!r} of the curriculum has no condition, so nothing is left for those after it; "
                    "give it one or put it last"
                )
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
    template: TemplateChoice | None = Field(
        None, description="chat template that supervised tokens are counted under: a name such as chatml, or a mapping"
    )
    ingest: Ingest = Field(default_factory=Ingest)
    filters: dict[str, dict[str, Any]] | None = Field(
        None,
        description="filters by name with their settings (docs/filters.md); default: those that find defects alone",
    )
    dedup: Dedup = Field(default_factory=Dedup)
    tags: bool = Field(False, description="measure task, format, tone and difficulty, and release task and difficulty")
    quality: Quality | None = Field(None, description="measure the quality score and release it")
    scores: Scores | None = Field(None, description="scores by models: reward, ifd, deita, judge")
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
            if self.mix.unit in ("tokens", "supervised_tokens") and self.tokenizer is None:
                raise ValueError(f"mix.unit is {self.mix.unit} but the recipe names no tokenizer; set tokenizer")
            if self.mix.unit == "supervised_tokens" and self.template is None:
                raise ValueError("mix.unit is supervised_tokens but the recipe names no template; set template")
            if self.balance is not None and self.balance.max_epochs > 1 and self.mix.max_epochs > 1:
                times = self.balance.max_epochs * self.mix.max_epochs
                raise ValueError(
                    f"balance.max_epochs {self.balance.max_epochs} and mix.max_epochs {self.mix.max_epochs} together "
                    f"would repeat a record up to {times} times; set one of them to 1"
                )
        if self.template is not None and self.tokenizer is None:
            raise ValueError("a template needs the tokenizer that it is tokenised with; set tokenizer")
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
            or "evol" in self.orders
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
