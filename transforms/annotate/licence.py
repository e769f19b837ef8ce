"""The licence that a row names itself."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from transforms.records import Records


@dataclass(frozen=True)
class Licence:
    """Column ``licence``: the row's own licence as it stands there, null where it names none.

    The licence of the row's source stands in for null; it is not known here, for the corpus knows no sources.
    """

    name: str = "licence"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("licence", pa.string())])

    def identity(self) -> dict[str, Any]:
        return {"version": 1}

    def __call__(self, records: Records) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([records.batch["license"]], schema=self.schema)
