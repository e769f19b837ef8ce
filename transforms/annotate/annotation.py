"""The contract of an annotation: columns computed once per record from its text, cached with the corpus.

An annotation is a frozen dataclass: small, picklable, sent to workers. What it needs that is heavy (a model, an index)
it loads in the worker, once, on its first call. Its columns are numbers, codes and hashes; decisions read them instead
of text, so another threshold never opens the text again.
"""

from typing import Any, Protocol, runtime_checkable

import orjson
import pyarrow as pa
import xxhash

from transforms.records import Records


class Annotation(Protocol):
    """A group of columns."""

    @property
    def name(self) -> str:
        """Short, and the same for all settings: what a person calls this group."""

    @property
    def schema(self) -> pa.Schema:
        """The columns; their names are unique over all annotations and FEATURES."""

    def identity(self) -> dict[str, Any]:
        """Everything that the columns depend on besides the text, as JSON: a version number of the code, settings,
        digests of model files (never their paths)."""

    def __call__(self, records: Records) -> pa.RecordBatch:
        """``schema`` [n]: row i is record i. Pure: nothing but ``records`` and what ``identity`` names decides it.

        Raises:
            GristmillError: a model or an endpoint fails for good; nothing is cached then.
        """


@runtime_checkable
class Checked(Protocol):
    """An annotation that may lack something: a model, an extra, a key, an endpoint."""

    def check(self) -> None:
        """Raises:
        GristmillError: what is absent, before work starts.
        """


def key(annotation: Annotation) -> str:
    """The folder of its columns in the corpus."""
    scheme = {"name": annotation.name, "columns": str(annotation.schema), **annotation.identity()}
    return xxhash.xxh3_128_hexdigest(orjson.dumps(scheme, option=orjson.OPT_SORT_KEYS))
