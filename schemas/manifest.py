"""The manifest: what a release is, determined by content and recipe alone. Times and hosts go to ``run.json``."""

import hashlib
from typing import Any

import orjson
from pydantic import Field

from schemas.strict import Strict

FORMAT = 2
FILE_NAME = "manifest.json"


class File(Strict):
    """One file of the release; counts are of its rows, null where they mean nothing."""

    path: str
    bytes: int
    sha256: str
    rows: int | None = None
    characters: int | None = None
    words: int | None = None
    tokens: int | None = None
    answer_tokens: int | None = None


class InputFile(Strict):
    """One file that was read. rows = rows that gave records + quarantined + consumed (inner messages of trees)."""

    name: str
    bytes: int
    sha256: str
    container: str
    rows: int
    records: int
    quarantined: int
    consumed: int
    repaired: dict[str, int]
    shapes: dict[str, int]


class Measures(Strict):
    """Sizes of a set of records."""

    rows: int = 0
    turns: int = 0
    words: int = 0
    characters: int = 0
    tokens: int | None = None
    supervised_tokens: int | None = Field(None, description="of what is released, under the recipe's template")


class SourceAccount(Strict):
    """Where a source's records went: records = kept + dropped; the mix may repeat kept ones."""

    origin: str | None
    license: str | None
    generator: str | None
    language: str | None
    files: list[InputFile]
    quarantined: int
    records: int
    dropped: dict[str, int] = Field(description="records by the rule that dropped them, in the order of the stages")
    kept: int = Field(description="records that are in the release")
    stages: dict[str, Measures] = Field(description="what was left after each stage; released counts repetitions")


class MixRow(Strict):
    """Asked and got, in the mix's unit."""

    source: str
    share: float
    asked: int
    available: int
    target: int
    got: int


class LengthRow(Strict):
    """One bin of lengths of one owner (a source, a task, or all) in balancing, in rows."""

    owner: str
    least: int = Field(description="the bin's lower bound, in the unit that balance.by names")
    held: int
    target: int


class ClusterRow(Strict):
    """One cluster: what it is about, and how many rows it had and gave."""

    cluster: int
    words: list[str] = Field(description="its most telling words in the sample")
    held: int
    kept: int


class BenchmarkRow(Strict):
    """What was found of one benchmark in the records that deduplication left; all of them were dropped."""

    benchmark: str
    items: int
    found: int = Field(description="items that stand in a record")
    fields: dict[str, int] = Field(description="items found, by the field that told: question, answer, passage, whole")
    dropped: dict[str, int] = Field(description="records by source; one may hold items of several benchmarks")
    examples: list[str] = Field(description="items that most records hold")
    misses: list[str] = Field(description="the nearest items that did not convict, with their scores")


class StepCost(Strict):
    """What a stage of selection cost, in what was left before and after it."""

    stage: str
    rows_before: int
    rows_after: int
    words_before: int
    words_after: int
    tokens_before: int | None
    tokens_after: int | None
    quality_before: float | None = Field(description="mean quality score")
    quality_after: float | None


class SelectionReport(Strict):
    """What selection did: one entry a stage that the recipe asks for."""

    steps: list[StepCost] = Field(default_factory=list)
    lengths: list[LengthRow] = Field(default_factory=list)
    clusters: list[ClusterRow] = Field(default_factory=list)
    benchmarks: list[BenchmarkRow] = Field(default_factory=list)
    portrait: list[dict[str, Any]] = Field(default_factory=list, description="measures of diversity: before, after")
    missing: dict[str, str] = Field(default_factory=dict, description="what lacks a score, and why, by score")


class Manifest(Strict):
    """``manifest.json``; its presence is the release."""

    format: int
    name: str
    version: str
    description: str
    gristmill: str
    recipe: dict[str, Any]
    recipe_digest: str
    sources: dict[str, SourceAccount]
    mix_unit: str | None
    mix: list[MixRow]
    splits: dict[str, Measures]
    selection: SelectionReport = Field(default_factory=SelectionReport)
    near_dedup: dict[str, Any] | None = Field(description="signature scheme and bands, so that they can be compared")
    tokenizer_digest: str | None
    functions: dict[str, str] = Field(default_factory=dict, description="sha256 of the files of users' own filters")
    dependencies: dict[str, str] = Field(description="versions that the bytes depend on")
    files: list[File]
    release_digest: str = ""

    def sealed(self) -> "Manifest":
        """The same manifest with its digest."""
        return self.model_copy(update={"release_digest": self.digest()})

    def digest(self) -> str:
        """sha256 of everything else in the manifest, and so of every byte of the release."""
        plain = self.model_dump(mode="json", exclude={"release_digest"})
        return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def encode(self) -> bytes:
        return orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n"
