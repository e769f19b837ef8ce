"""Task, format, tone and difficulty of each record, by rules alone: no model, no network.

What the names mean, and how far people and rules agree, is in docs/tags.md.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from transforms.annotate.tags.difficulty import difficulty
from transforms.annotate.tags.names import FORMATS, TAGS_VERSION, TASKS, TONES
from transforms.annotate.tags.style import formats, tones
from transforms.annotate.tags.task import decide, scores
from transforms.annotate.tags.views import look
from transforms.records import Records

__all__ = ["FORMATS", "TAGS_VERSION", "TASKS", "TONES", "Tags"]

_SCHEMA = pa.schema(
    [
        pa.field("task", pa.int8(), nullable=False),  # position in TASKS
        pa.field("task_confidence", pa.float32(), nullable=False),  # 0..1, see task.decide
        pa.field("format", pa.int8(), nullable=False),  # position in FORMATS
        pa.field("tone", pa.int8(), nullable=False),  # position in TONES
        pa.field("difficulty", pa.float32(), nullable=False),  # 0..1
    ]
)


@dataclass(frozen=True)
class Tags:
    """Tags by rules. The task is that of the first user turn; format and tone are those of the last answer."""

    @property
    def name(self) -> str:
        return "tags"

    @property
    def schema(self) -> pa.Schema:
        return _SCHEMA

    def identity(self) -> dict[str, Any]:
        return {"version": TAGS_VERSION}

    def __call__(self, records: Records) -> pa.RecordBatch:
        views = look(records)
        task, confidence = decide(scores(views))
        layout = formats(views)
        columns = (task, confidence, layout, tones(views, layout), difficulty(views))
        return pa.RecordBatch.from_arrays([pa.array(one) for one in columns], schema=_SCHEMA)
