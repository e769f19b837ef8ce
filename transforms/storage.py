"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``, renamed to it on success.

    A retried or speculative bundle writes the same bytes under another temporary name; the last rename wins.
    """
    staging = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield staging
        os.replace(staging, path)
    finally:
        staging.unlink(missing_ok=True)
