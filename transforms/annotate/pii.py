"""How many e-mail addresses, phone numbers, ... a record holds, whoever wrote them."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from transforms.pii import KINDS, PII_VERSION, count
from transforms.records import Records


@dataclass(frozen=True)
class Pii:
    """A column ``pii_<kind>`` a kind: finds in all texts of the record (contents, reasoning, tool calls)."""

    name: str = "pii"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(f"pii_{kind}", pa.int32()) for kind in KINDS])

    def identity(self) -> dict[str, Any]:
        return {"version": PII_VERSION}

    def __call__(self, records: Records) -> pa.RecordBatch:
        columns = [pa.array(records.sums(count(records.texts, kind)), pa.int64()).cast(pa.int32()) for kind in KINDS]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)
