"""A measure that a user wrote: one Python function of a record, named in the recipe."""

import math
import numbers
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from schemas.errors import GristmillError
from schemas.record import CORPUS
from transforms.records import Records

# What the function may read of a record: content, not the place where it stood.
_FIELDS = [name for name in CORPUS.names if name not in ("id", "index", "part")]


@dataclass(frozen=True)
class UserFunction:
    """``function(record) -> number, bool or None`` for every record, as float64; None is null.

    A record is the dict of its columns: messages, tools, task, language, license … The function's file travels as text,
    so workers elsewhere need not have it, and its bytes are what the column depends on.
    """

    filter: str  # the recipe's name for it
    path: str
    function: str
    source: str

    @property
    def name(self) -> str:
        return f"function_{self.filter}"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(self.name, pa.float64())])

    def identity(self) -> dict[str, Any]:
        return {"function": self.function, "source": xxhash.xxh3_128_hexdigest(self.source.encode())}

    def check(self) -> None:
        """Raises:
        GristmillError: the file is no Python, or holds no such function.
        """
        _load(self.path, self.source, self.function)

    def __call__(self, records: Records) -> pa.RecordBatch:
        function = _load(self.path, self.source, self.function)
        values: list[float | None] = []
        for number, row in enumerate(records.batch.select(_FIELDS).to_pylist()):
            try:
                values.append(self._number(function(row)))
            except GristmillError:
                raise
            except (Exception, SystemExit) as error:
                record = records.batch["id"][number].as_py().hex()
                raise GristmillError(
                    f"filters.{self.filter}: {self.function} in {self.path} failed on record {record}: "
                    f"{type(error).__name__}: {error}; make it return None where it has nothing to say"
                ) from None
        return pa.record_batch({self.name: pa.array(values, pa.float64())})

    def _number(self, found: Any) -> float | None:
        if found is None:
            return None
        if not isinstance(found, numbers.Real | np.bool_):  # NumPy's numbers are Real, its booleans are not
            raise GristmillError(
                f"filters.{self.filter}: {self.function} in {self.path} returned {type(found).__name__}; "
                "return a number, True (keep), False (drop) or None"
            )
        return None if math.isnan(found) else float(found)


@lru_cache(maxsize=16)
def _load(path: str, source: str, name: str) -> Any:
    space: dict[str, Any] = {"__name__": "gristmill_filter", "__file__": path}
    try:
        exec(compile(source, path, "exec"), space)  # the recipe's own author wrote it
    except (Exception, SystemExit) as error:
        raise GristmillError(
            f"{path}: {type(error).__name__}: {error}; a filter's file must be Python that loads"
        ) from None
    if not callable(space.get(name)):
        known = ", ".join(sorted(key for key, value in space.items() if callable(value) and not key.startswith("_")))
        raise GristmillError(f"{path}: has no function {name!r}; it has {known or 'none'}")
    return space[name]
