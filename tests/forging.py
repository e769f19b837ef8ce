"""Forging releases: changing what is in them and making checksums right again, so that only the laws can tell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.verify import verify
from schemas.manifest import Manifest
from transforms.shards import file_digest

RECORDS, QUARANTINE = "ledger/records-00000.parquet", "quarantine/rows.parquet"
TRAIN, VALIDATION = "data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"
Content = dict[str, Any]


def content_of(release: Path) -> Content:
    content: Content = orjson.loads((release / "manifest.json").read_bytes())
    return content


def seal(release: Path, change: Callable[[Content], Any] = lambda content: None) -> None:
    """Change the manifest, then make every checksum, size and the digest in it right again, as a forger would."""
    content = content_of(release)
    for file in content["files"]:
        if (release / file["path"]).is_file():
            file["bytes"], file["sha256"] = file_digest(release / file["path"])
    change(content)
    (release / "manifest.json").write_bytes(Manifest.model_validate(content).sealed().encode())


def rewrite(release: Path, path: str, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change the rows of a table in place; its checksum is not seen to."""
    table = pq.read_table(release / path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), release / path)


def found(release: Path, *parts: str) -> None:
    """Some problem has all the parts, each problem is one line, and the command's exit status is 1."""
    problems = verify(release)
    assert any(all(part in problem for part in parts) for problem in problems), problems
    assert all(problem and "\n" not in problem for problem in problems)
    result = CliRunner().invoke(app, ["verify", str(release)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert [line.startswith("wrong: ") for line in result.stderr.splitlines()] == [True] * len(problems)


def step(content: Content, *path: Any) -> None:
    """Add one to a number in the manifest."""
    for key in path[:-1]:
        content = content[key]
    assert isinstance(content[path[-1]], int)
    content[path[-1]] += 1


def file_at(content: Content, path: str) -> int:
    return next(number for number, file in enumerate(content["files"]) if file["path"] == path)


def of(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    return next(row for row in rows if all(row[key] == value for key, value in wanted.items()))
