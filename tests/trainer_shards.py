"""Small splits for tests of the trainer: rows to Parquet shards with small row groups, without a curation run."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.chat.render import Renderer
from schemas.chat.settings import TemplateChoice, resolve
from schemas.record import RELEASE
from tests.tiny_tokenizers import byte_level
from trainer.preflight import COLUMNS
from trainer.shards import Shard, Shards

Row = dict[str, Any]


def row(number: int, *texts: str, source: str = "one", **more: Any) -> Row:
    """A conversation of user and assistant in turn."""
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
    id = hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()
    return {"id": id, "messages": messages, "source": source} | more


def rows(count: int, source: str = "one") -> list[Row]:
    """Conversations of several lengths."""
    return [
        row(n, f"What is {n}?", "Paris " * (n % 7 + 1), *(("And then?", f"Köln {n} 🙂") * (n % 3)), source=source)
        for n in range(count)
    ]


def write(folder: Path, made: list[Row], files: int = 2, group: int = 5) -> list[Path]:
    """Shards with ``group`` rows a row group."""
    paths = []
    size = -(-len(made) // files)
    for number in range(files):
        part = made[number * size : (number + 1) * size]
        columns = [[one.get(field.name) for one in part] for field in RELEASE]
        table = pa.table([pa.array(values, field.type) for values, field in zip(columns, RELEASE)], schema=RELEASE)
        paths.append(folder / f"train-{number:05}-of-{files:05}.parquet")
        pq.write_table(table, paths[-1], row_group_size=group)
    return paths


def opened(paths: list[Path], columns: tuple[str, ...] = COLUMNS, memory: int = 1 << 30, prefix: str = "") -> Shards:
    shards, files, groups, counts = [], [], [], []
    for number, path in enumerate(paths):
        content = path.read_bytes()
        shards.append(Shard(path.name, f"{prefix}{path}", len(content), hashlib.sha256(content).hexdigest()))
        metadata = pq.ParquetFile(path).metadata
        for group in range(metadata.num_row_groups):
            files.append(number)
            groups.append(group)
            counts.append(metadata.row_group(group).num_rows)
    return Shards(shards, np.array(files), np.array(groups), np.array(counts), columns, memory)


def chatml() -> Renderer:
    return resolve(TemplateChoice(name="chatml"), byte_level(), Path())


def alpaca() -> Renderer:
    return resolve(TemplateChoice(name="alpaca"), byte_level(), Path())
