"""``metrics.jsonl``: one JSON object a line, without those that a run which is gone on from had written too many."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from schemas.errors import GristmillError

FILE_NAME = "metrics.jsonl"


class Metrics:
    """Appends lines, each on disk before the next step."""

    def __init__(self, folder: Path, start: int) -> None:
        """``start``: updates already done.

        Raises:
            GristmillError: the file cannot be written to.
        """
        self._path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _cut(self._path, start)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._mistake(error) from None

    def write(self, line: Mapping[str, Any]) -> None:
        """Raises GristmillError when there is no room, for example."""
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._mistake(error) from None

    def close(self) -> None:
        with suppress(OSError):  # told when it was written
            self._file.close()

    def _mistake(self, error: OSError) -> GristmillError:
        return GristmillError(
            f"{self._path} cannot be written to: {error.strerror or error}; make room or move away what is there"
        )


def _cut(path: Path, start: int) -> None:
    """Take out lines of updates after ``start`` and a last line that a killed process left unfinished.

    Lines end with a line feed alone: texts may hold what Unicode calls line ends too. Before the first checkpoint
    nothing was kept to go on with, and everything is done and written again.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_bytes().split(b"\n"):
        try:
            number = json.loads(line)["step"]
            if start > 0 and number <= start:
                kept.append(line + b"\n")
        except (ValueError, KeyError, TypeError):
            continue
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(b"".join(kept))
    partial.replace(path)
