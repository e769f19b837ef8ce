"""``gristmill verify`` on changed rows: of the ledger, the shards and the quarantine, with checksums made right again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.verify import verify
from tests.forging import (
    QUARANTINE,
    RECORDS,
    TRAIN,
    VALIDATION,
    Content,
    file_at,
    found,
    of,
    rewrite,
    seal,
)
from tests.recipes import run


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Path:
    return run(repo / "examples" / "quickstart" / "recipe.yaml", tmp_path_factory.mktemp("verify")).path


@pytest.fixture
def release(good: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(good, tmp_path / "release"))


def test_a_ledger_row_that_was_removed(release: Path):
    rewrite(release, RECORDS, lambda rows: rows.pop(3))
    seal(release)
    found(release, RECORDS, "rows, the manifest says")
    seal(release, lambda content: content["files"][file_at(content, RECORDS)].update(rows=None))
    found(release, "ledger: alpaca:", "the manifest says")


def test_a_ledger_row_that_is_there_twice(release: Path):
    rewrite(release, RECORDS, lambda rows: rows.append(rows[0]))
    seal(release, lambda content: content["files"][file_at(content, RECORDS)].update(rows=None))
    found(release, "ledger: ", "the manifest says")


LEDGER_CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "similarity": ({"stage": "near_dedup"}, {"value": 0.79}, ("1 duplicates are below the threshold",)),
    "no similarity": ({"stage": "near_dedup"}, {"value": None}, ("threshold",)),
    "no representative": ({"stage": "exact_dedup"}, {"representative": None}, ("name no representative",)),
    "gone": ({"stage": "near_dedup"}, {"representative": "0" * 32}, ("near_dedup representatives do not stay", "0" * 32)),
    "gone too": ({"stage": "exact_dedup"}, {"representative": "1" * 32}, ("exact_dedup representatives do not stay",)),
    "copies": ({"verdict": "kept"}, {"copies": 2}, ("ids stand in the shards another number of times",)),
    "id": ({"verdict": "kept"}, {"id": "f" * 32}, ("ids stand in the shards another number of times",)),
    "split": ({"split": "train"}, {"split": "validation"}, ("ids stand in the shards another number of times",)),
    "verdict": ({"stage": "mix"}, {"verdict": "kept", "copies": 1}, ("ledger: ",)),
    "rule": ({"stage": "filter"}, {"rule": "length.answer_words"}, ("dropped", "length.answer_words")),
    "stage": ({"stage": "filter"}, {"stage": "mix"}, ("left by filter",)),
    "file": ({"source": "dolly"}, {"file": "other.jsonl"}, ("dolly/dolly.jsonl",)),
    "source": ({"source": "dolly"}, {"source": "nobody"}, ("nobody", "which the manifest does not know")),
    "null source": ({"source": "dolly"}, {"source": None}, ("ledger: misses source",)),
    "null id": ({"verdict": "kept"}, {"id": None}, ("ledger: misses id of kept rows",)),
    "null copies": ({"verdict": "kept"}, {"copies": None}, ("ledger: misses copies",)),
    "null verdict": ({"verdict": "kept"}, {"verdict": None}, ("ledger: misses verdict",)),
    "null stage": ({"verdict": "kept"}, {"stage": None}, ("ledger: misses stage",)),
}  # fmt: skip


@pytest.mark.parametrize("name", LEDGER_CHANGES)
def test_a_changed_ledger_row(release: Path, name: str):
    which, change, parts = LEDGER_CHANGES[name]
    rewrite(release, RECORDS, lambda rows: of(rows, **which).update(change))
    seal(release)
    found(release, *parts)


def test_a_representative_that_was_dropped_itself(release: Path):
    """A near duplicate may not name a record that the filters dropped."""

    def change(rows: list[dict[str, Any]]) -> None:
        of(rows, stage="near_dedup")["representative"] = of(rows, stage="filter")["id"]

    rewrite(release, RECORDS, change)
    seal(release)
    found(release, "near_dedup representatives do not stay")


def test_a_record_in_another_split(release: Path):
    train, other = pq.read_table(release / TRAIN), pq.read_table(release / VALIDATION)
    moved = train.slice(0, 1)
    pq.write_table(train.slice(1), release / TRAIN)
    pq.write_table(
        pa.concat_tables([other, moved.replace_schema_metadata(other.schema.metadata)]), release / VALIDATION
    )
    record = moved["id"][0].as_py()
    rewrite(release, RECORDS, lambda rows: of(rows, id=record, verdict="kept").update(split="validation"))

    def change(content: Content) -> None:
        for path, by, split in ((TRAIN, -1, "train"), (VALIDATION, 1, "validation")):
            file = content["files"][file_at(content, path)]
            for name in ("rows", "words", "characters", "turns"):
                amount = by * (1 if name == "rows" else moved[name][0].as_py())
                content["splits"][split][name] += amount
                if name in file:
                    file[name] += amount

    seal(release, change)
    assert verify(release) == [f"{VALIDATION}: 1 rows belong to another split by their id"]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row["messages"][-1].update(content="something else"),
        lambda row: row["messages"][0].update(role="system"),
        lambda row: row["messages"].pop(),
        lambda row: row.update(messages=None),
        lambda row: row.update(messages=[None]),
        lambda row: row.update(tools="[]"),
        lambda row: row.update(label=True),
        lambda row: row.update(id="0" * 32),
        lambda row: row.update(id=None),
        lambda row: row.update(id="no id"),
        lambda row: row.update(source=None),
    ],
)
def test_changed_content(release: Path, change: Callable[[dict[str, Any]], Any]):
    rewrite(release, TRAIN, lambda rows: change(rows[0]))
    seal(release)
    problems = verify(release)
    assert problems
    assert all("\n" not in one for one in problems)


def test_content_changed_under_its_id(release: Path):
    rewrite(release, TRAIN, lambda rows: rows[5]["messages"][-1].update(content="something else"))
    seal(release)
    record = pq.read_table(release / TRAIN)["id"][5].as_py()
    found(release, TRAIN, "1 rows do not match their id", record)


def test_a_quarantined_row_that_was_removed(release: Path):
    rewrite(release, QUARANTINE, lambda rows: rows.pop())
    seal(release, lambda content: content["files"][file_at(content, QUARANTINE)].update(rows=None))
    found(release, "quarantine: 1 rows are not those", "dolly.jsonl:")
