"""Writes the texts of an ingested corpus as JSONL, ``{"text", "id"}``: the rows that peers read.

    python -m benchmarks.export_rows WORK_DIR FOLDER [--files 2] [--limit N]

They are the very records that Gristmill decides on, each as one text: its messages joined by line feeds. The
files are about equal in bytes, one for each of the peer's tasks.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from transforms.texts import message_texts


def texts(work_dir: Path) -> Iterator[str]:
    for path in sorted(work_dir.glob("corpus/text/*/[0-9]*.arrow")):
        with pa.memory_map(str(path)) as source:
            for batch in pa.ipc.open_file(source).read_all().to_batches():
                messages = batch["messages"]
                spoken = message_texts(messages.flatten()).to_pylist()
                ends = np.cumsum(pc.list_value_length(messages)).tolist()
                for start, end in zip([0, *ends], ends):
                    yield "\n".join(spoken[start:end])


def export(work_dir: Path, folder: Path, files: int = 2, limit: int | None = None) -> int:
    """Write the rows; how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        orjson.dumps({"text": text, "id": str(number)}) + b"\n"
        for number, text in enumerate(islice(texts(work_dir), limit))
    ]
    share = sum(map(len, rows)) / files
    written, position = 0, 0
    for number in range(files):
        with (folder / f"{number:05d}.jsonl").open("wb") as file:
            while position < len(rows) and (written < share * (number + 1) or number == files - 1):
                file.write(rows[position])
                written += len(rows[position])
                position += 1
    return len(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=2)
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    print(export(arguments.work_dir, arguments.folder, arguments.files, arguments.limit))
