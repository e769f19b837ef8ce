"""No record vanishes: in = kept + dropped + quarantined, in manifest and ledger, and a run that breaks it fails.

The guards that stop a run for too many bad or too many lost rows are here too.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines import accounts
from schemas.errors import GristmillError
from tests.recipes import Published, Row, chat, leftovers, lines, published, run, write_recipe
from transforms import decide, ingest, release, shards, standing

RANK = {"ingest": 0, "filter": 1, "exact_dedup": 2, "near_dedup": 3, "mix": 4}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Published:
    return run(repo / "examples" / "quickstart" / "recipe.yaml", tmp_path_factory.mktemp("conservation"))


def test_the_manifest_adds_up(quickstart: Published):
    manifest = quickstart.manifest
    for name, account in manifest.sources.items():
        assert account.records == account.kept + sum(account.dropped.values()), name
        assert account.records == sum(file.records for file in account.files) == account.stages["ingest"].rows
        assert account.quarantined == sum(file.quarantined for file in account.files)
        for file in account.files:
            assert file.rows <= file.records + file.quarantined + file.consumed
        left = account.records
        for stage in ("filter", "exact_dedup", "near_dedup"):
            left -= sum(
                count
                for rule, count in account.dropped.items()
                if release.stage_of(rule) == stage and rule != "mix.target"
            )
            assert account.stages[stage].rows == left, (name, stage)
    assert sum(one.rows for one in manifest.splits.values()) == sum(
        a.stages["released"].rows for a in manifest.sources.values()
    )
    assert sum(file.rows or 0 for file in manifest.files if file.path.startswith("data/")) == 120


def test_the_ledger_adds_up(quickstart: Published):
    manifest, ledger = quickstart.manifest, quickstart.ledger
    counts = Counter((row["source"], row["verdict"]) for row in ledger)
    for name, account in manifest.sources.items():
        assert counts[name, "kept"] == account.kept
        assert counts[name, "dropped"] == sum(account.dropped.values())
        assert counts[name, "quarantined"] == account.quarantined
        rules = Counter(row["rule"] for row in ledger if row["source"] == name and row["verdict"] == "dropped")
        assert rules == account.dropped
    records = [row for row in ledger if row["verdict"] != "quarantined"]
    where = [(row["source"], row["file"], row["index"], row["part"]) for row in records]
    assert where == sorted(set(where))
    for name in ("filter", "exact_dedup", "near_dedup", "mix", "ingest"):
        assert any(row["stage"] == name for row in ledger), f"the example no longer exercises {name}"


def test_the_ledger_names_who_stays(quickstart: Published):
    last: dict[str, int] = {}
    for row in quickstart.ledger:
        if row["id"] is not None:
            last[row["id"]] = max(last.get(row["id"], 0), RANK.get(row["stage"], 5))
    for row in quickstart.ledger:
        assert (row["representative"] is not None) == (row["stage"] in ("exact_dedup", "near_dedup"))
        if row["representative"] is not None:
            # A copy may name a record that a later stage drops in its turn, never one dropped by the same stage.
            assert last[row["representative"]] > RANK[row["stage"]]
            assert row["value"] >= row["threshold"]


def test_shards_hold_what_the_ledger_keeps(quickstart: Published):
    released = [row for split in quickstart.manifest.splits for row in quickstart.rows(split)]
    kept = {row["id"]: row["copies"] for row in quickstart.ledger if row["verdict"] == "kept"}
    assert Counter(row["id"] for row in released) == kept
    for split in quickstart.manifest.splits:
        assert {row["id"] for row in quickstart.rows(split)} == {
            row["id"] for row in quickstart.ledger if row["split"] == split
        }
    assert len(quickstart.quarantine) == sum(one.quarantined for one in quickstart.manifest.sources.values())


SMALL: dict[str, dict[str, list[Row]]] = {
    "a": {"x.jsonl": [chat("How?", f"the answer number {n} of ten") for n in range(10)]},
    "b": {"x.jsonl": [chat("How?", "same"), chat("How?", "same"), b"broken", chat("How?", "another one")]},
}


def lose_last(rows: pa.Table) -> pa.Table:
    return rows.slice(0, rows.num_rows - 1)


def break_selected(patch: pytest.MonkeyPatch) -> None:
    real = release.Select._records

    def fewer(self: Any, view: Any, taken: Any, *rest: Any) -> Iterator[Any]:
        taken = taken.copy()
        taken[taken.nonzero()[0][0]] = 0
        return real(self, view, taken, *rest)

    patch.setattr(release.Select, "_records", fewer)


def break_ledger(patch: pytest.MonkeyPatch) -> None:
    real = release.Select._ledger

    def fewer(*arguments: Any) -> Iterator[Any]:
        return ((key, rows.slice(1)) for key, rows in real(*arguments))

    patch.setattr(release.Select, "_ledger", fewer)


def break_tally(patch: pytest.MonkeyPatch) -> None:
    real = standing.Standing._tally
    patch.setattr(standing.Standing, "_tally", lambda self: real(self).slice(1))


def break_message(patch: pytest.MonkeyPatch) -> None:
    """A whole unit never arrives at its conclusion."""
    real = decide.Conclude.__call__

    def fewer(self: Any, key: bytes, table: pa.Table) -> Iterator[Any]:
        return real(self, key, table) if key[-1] == 0 else iter(())

    patch.setattr(decide.Conclude, "__call__", fewer)


def break_shard(patch: pytest.MonkeyPatch) -> None:
    real = shards.in_order
    patch.setattr(shards, "in_order", lambda table: real(lose_last(table)))


def break_bind(patch: pytest.MonkeyPatch) -> None:
    real = release.Bind.__call__
    patch.setattr("pipelines.shares.PIECE", 16)
    patch.setattr(release.Bind, "__call__", lambda self, key, table: real(self, key, lose_last(table)))


def break_blocks(patch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Iterator[list[Any]]] = ingest._blocks
    patch.setattr(ingest, "_blocks", lambda *arguments: (block[1:] for block in real(*arguments)))


def break_quarantine(patch: pytest.MonkeyPatch) -> None:
    real = accounts.take_stock

    def fewer(*arguments: Any) -> Any:
        found = real(*arguments)
        found.quarantines.pop()
        return found

    patch.setattr("pipelines.curate.take_stock", fewer)


BREAKS = [
    break_selected,
    break_ledger,
    break_tally,
    break_message,
    break_shard,
    break_bind,
    break_blocks,
    break_quarantine,
]


@pytest.mark.parametrize("break_it", BREAKS)
def test_a_run_that_loses_a_record_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[pytest.MonkeyPatch], None]
):
    path = write_recipe(tmp_path, SMALL)
    break_it(monkeypatch)
    with pytest.raises(GristmillError, match=r"conservation broken in .*nothing was published|were read and .* stored"):
        run(path, tmp_path / "out")
    assert published(tmp_path / "out") == []
    assert leftovers(tmp_path / "out") == []


def test_check_conservation_compares_both_sides():
    accounts.check_conservation("here", 5, {"kept": 3, "dropped": 2})
    for into in (4, 6):
        with pytest.raises(GristmillError, match=f"in here: {into} records went in, 3 kept \\+ 2 dropped = 5 came out"):
            accounts.check_conservation("here", into, {"kept": 3, "dropped": 2})


@pytest.mark.parametrize("where", ["ingest", "source"])
def test_more_bad_rows_than_the_budget_stop_the_run(tmp_path: Path, where: str):
    rows: list[Row] = [*(chat("How?", f"number {n}") for n in range(6)), b"{broken", b"[]"]
    files: dict[str, dict[str, list[Row]]] = {"good": {"x.jsonl": rows[:6]}, "bad": {"x.jsonl": rows}}
    budget = {"max_bad": "20 %"}
    sources: dict[str, Any] = {"bad": budget if where == "source" else {"max_bad": None}}
    path = write_recipe(tmp_path, files, sources, ingest=budget if where == "ingest" else {})
    with pytest.raises(GristmillError) as stopped:
        run(path, tmp_path / "out")
    for part in ("source 'bad'", "2 of 8 rows (25.0%)", "max_bad 20 %", "x.jsonl:6"):
        assert part in str(stopped.value)
    assert published(tmp_path / "out") == []


def test_exactly_the_budget_is_within_it(tmp_path: Path):
    rows: list[Row] = [*(chat("How?", f"number {n}") for n in range(6)), b"{broken", b"[]"]
    assert run(
        write_recipe(tmp_path, {"a": {"x.jsonl": rows}}, {"a": {"max_bad": "25 %"}}), tmp_path / "out"
    ).path.is_dir()


def test_a_source_that_deduplication_would_wipe_out_stops_the_run(tmp_path: Path):
    rows: list[Row] = [
        *(chat("How?", "same") for _ in range(6)),
        chat("How?", "other"),
        chat("How?", "third"),
        chat("", ""),
    ]
    files: dict[str, dict[str, list[Row]]] = {"a": {"x.jsonl": rows}}
    path = write_recipe(tmp_path, files, {"a": {"max_loss": None}})
    with pytest.raises(GristmillError) as stopped:
        run(path, tmp_path / "out")
    # What the filters dropped is not lost to deduplication: 5 of 8, not of 9.
    for part in (
        "source 'a'",
        "5 of 8 records (62.5%)",
        "its allowed 50 %",
        "5 of them to record ",
        "sources.a.max_loss",
    ):
        assert part in str(stopped.value)
    assert published(tmp_path / "out") == []
    write_recipe(tmp_path, files, {"a": {"max_loss": "62 %"}})
    with pytest.raises(GristmillError, match="its allowed 62 %"):
        run(path, tmp_path / "out")
    write_recipe(tmp_path, files, {"a": {"max_loss": "62.5 %"}})
    assert len(run(path, tmp_path / "out").rows()) == 3


def test_a_source_whose_rows_are_all_dropped_is_no_accident_of_ours(tmp_path: Path):
    """Filters may take everything from a source; the release then has nothing of it, and says so."""
    files: dict[str, dict[str, list[Row]]] = {
        "a": {"x.jsonl": [chat("", ""), chat(" ", "x")]},
        "b": {"x.jsonl": [chat("a", "b")]},
    }
    result = run(write_recipe(tmp_path, files), tmp_path / "out")
    assert result.manifest.sources["a"].kept == 0
    assert result.manifest.sources["a"].dropped == {"empty.blank_turns": 2}
    assert [row["source"] for row in result.rows()] == ["b"]


def test_an_unreadable_file_stops_before_work_starts_or_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write_recipe(tmp_path, SMALL, {"a": {"container": None}})
    (tmp_path / "a" / "broken.jsonl").write_bytes(b"\x1f\x8b\x08\x00 this is no gzip")
    with pytest.raises(GristmillError, match=r"source 'a': .*broken\.jsonl"):
        run(path, tmp_path / "out")
    assert not (tmp_path / "out" / ".gristmill" / "corpus").exists()
    write_recipe(tmp_path, SMALL, {"a": {"container": None}}, ingest={"unreadable_file": "skip"})
    result = run(path, tmp_path / "out")
    assert [file.name for file in result.manifest.sources["a"].files] == ["x.jsonl"]
    assert "broken.jsonl" in capsys.readouterr().err


def test_lines_helper_writes_one_line_a_row():
    assert lines([chat("a", "b"), b"x"]).count(b"\n") == 2
