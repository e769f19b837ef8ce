"""Rows of a release: what the corpus says, filled with what the recipe knows, and what was measured."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.record import CORPUS, MEASURED, RECORD
from transforms.annotate.tags import TASKS
from transforms.corpus import Block
from transforms.keys import hex_ids
from transforms.standing import Standing
from transforms.units import Ints, UnitView


@dataclass(frozen=True)
class SourceFacts:
    """What the recipe says of a source and its records do not."""

    name: str
    origin: str | None
    license: str | None
    generator: str | None
    language: str | None
    task: str | None


@dataclass(frozen=True)
class CurriculumStage:
    """What a record must be to stand in a stage; None asks for nothing."""

    sources: tuple[int, ...] | None
    tasks: tuple[int, ...] | None
    difficulty: float | None
    answer_words: int | None


def released(block: Block, facts: SourceFacts, text: pa.RecordBatch) -> pa.RecordBatch:
    """Corpus rows → RECORD rows: what the recipe knows fills what the row does not say."""
    rows = text.num_rows
    index = pa.array(np.asarray(text["index"]) + block.first_row)
    provenance = pa.StructArray.from_arrays(
        [constant(block.file, rows), index, text["part"]], fields=list(RECORD.field("provenance").type)
    )
    columns: dict[str, Any] = {name: text[name] for name in CORPUS.names if name in RECORD.names}
    for name in ("origin", "license", "generator", "language", "task"):
        default = getattr(facts, name)
        columns[name] = text[name] if default is None else text[name].fill_null(default)
    columns |= {"id": hex_ids(text["id"]), "source": constant(facts.name, rows), "provenance": provenance}
    return pa.RecordBatch.from_arrays([columns[field.name] for field in RECORD], schema=RECORD)


def constant(value: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), rows)


def stages_of(view: UnitView, curriculum: tuple[CurriculumStage, ...]) -> Ints:
    """Stage [rows] of each record: the first whose conditions it meets, the last when it meets none."""
    found = np.full(view.rows, max(0, len(curriculum) - 1), np.int64)
    for number in range(len(curriculum) - 1, -1, -1):
        one = curriculum[number]
        meets = np.ones(view.rows, bool)
        if one.sources is not None:
            meets &= view.source in one.sources
        if one.tasks is not None:
            meets &= np.isin(np.asarray(view.column("task")), one.tasks)
        if one.difficulty is not None:
            meets &= np.asarray(view.column("difficulty")) <= np.float32(one.difficulty)
        if one.answer_words is not None:
            meets &= np.asarray(view.features["answer_words"]) <= one.answer_words
        found[meets] = number
    return found


def measured(standing: Standing, stage: Ints) -> dict[str, pa.Array]:
    """The MEASURED columns [rows] but ``copy``; null where the recipe asks for no such measure."""
    view = standing.view
    columns: dict[str, Any] = {name: view.features[name] for name in view.features.schema.names}
    columns |= {name: view.column(name) for name in ("supervised_tokens", "difficulty") if name in view.columns}
    if standing.plan.weights:
        columns["quality"] = pa.array(view.score("quality").astype(np.float32), from_pandas=True)
    columns["cluster"] = pa.array(standing.cluster, mask=standing.cluster < 0)
    if standing.plan.curriculum:
        columns["stage"] = pa.array(stage.astype(np.int32))
    return {
        field.name: columns.get(field.name, pa.nulls(view.rows, field.type))
        for field in MEASURED
        if field.name != "copy"
    }


def tagged(view: UnitView, rows: Ints, task: pa.Array, language: pa.Array) -> dict[str, pa.Array]:
    """The task and language of some rows, as they say themselves, else as they were measured."""
    found = {}
    if "task" in view.columns:
        names = pa.array([name.replace("_", "-") for name in TASKS])
        found["task"] = pc.coalesce(task, names.take(view.column("task").take(pa.array(rows))))
    if "language" in view.columns:
        found["language"] = pc.coalesce(language, view.column("language").take(pa.array(rows)))
    return found
