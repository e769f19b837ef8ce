"""Settings of decontamination: which benchmarks, and what counts as holding one of their items."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from schemas.strict import Strict


class Columns(Strict):
    """Where a benchmark keeps its fields, when their names do not say it."""

    question: str = Field(description="column with what is asked")
    answer: str | None = Field(None, description="column with the right answer")
    passage: str | None = Field(None, description="column with the text that the question is about")


class Decontaminate(Strict):
    """Drops records that hold items of benchmarks."""

    benchmarks: list[str] | dict[str, str] = Field(
        description="benchmark files, folders or globs, or a mapping of name to one of these; relative paths start at "
        "the recipe's folder. Without a name, a file is called by its stem, below a folder with its folders: bbh/snarks"
    )
    columns: dict[str, Columns] = Field(
        default_factory=dict, description="manual mapping of a benchmark's columns, by its name or its folder's"
    )
    threshold: Annotated[float, Field(gt=0, le=1)] = Field(
        0.7,
        description="weighted share of a question's words that a record must hold in runs of ngram words; a little "
        "more for questions under 20 words",
    )
    ngram: Annotated[int, Field(ge=4, le=32)] = Field(
        6, description="words in a run: Tulu 3 has 8; 6 finds more edited questions at the same precision (measured)"
    )
    numbers: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="share of the question's numbers that must be among the words found: the same story with other "
        "numbers is another question; 0: not asked",
    )
    sides: Literal["prompt", "response", "both"] = Field(
        "both", description="which messages are looked at: all but the assistant's, the assistant's, or all"
    )
    fields: list[Literal["question", "answer", "passage"]] = Field(
        default=["question", "answer"],
        min_length=1,
        description="what convicts. An answer does so only when it is long or a part of its question is there too; "
        "a passage is usually public text, so it is only reported",
    )

    @field_validator("benchmarks")
    @classmethod
    def _some(cls, benchmarks: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
        if not benchmarks:
            raise ValueError("no benchmark is named; list files, folders or globs")
        return benchmarks
