"""Recipe sections on what is read: sources and how files become blocks."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.strict import Strict
from schemas.units import Share, Size


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
