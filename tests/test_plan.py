"""``gristmill plan``: what it says of the quickstart recipe, that it writes nothing, and that it needs no Beam."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.plan import plan
from schemas.errors import GristmillError
from tests.recipes import Published, Row, chat, run, write_recipe

GOOD: list[Row] = [chat("How?", f"number {n}") for n in range(6)]


@pytest.fixture
def quickstart(repo: Path, tmp_path: Path) -> Path:
    """A copy, so that whatever plan wrote beside the recipe would be seen."""
    return Path(shutil.copytree(repo / "examples" / "quickstart", tmp_path / "quickstart")) / "recipe.yaml"


def told(recipe: Path, capsys: pytest.CaptureFixture[str]) -> str:
    plan(recipe)
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*"))}


def row_of(source: str, said: str) -> list[str]:
    """Cells of a source's line; cells are two spaces apart."""
    line = next(line for line in said.splitlines() if line.split()[:1] == [source])
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


SOURCES: dict[str, list[str]] = {
    "alpaca": ["1", "16.0 kB", "json", "alpaca", "60", "1 of 60"],
    "dolly": ["1", "13.5 kB", "jsonl", "dolly", "42", "2 of 42"],
    "chat": ["1", "8.3 kB", "jsonl", "messages", "20", "0 of 20"],
    "forum": ["1", "6.0 kB", "json", "oasst", "25", "0 of 25"],
    "reasoning": ["1", "4.6 kB", "tsv", "question", "30", "0 of 30"],
}


def test_the_quickstart_recipe(quickstart: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    said = told(quickstart, capsys)
    assert "quickstart 1.0.0: sources" in said
    for source, cells in SOURCES.items():
        found = row_of(source, said)
        files, size, container, shapes, rows, bad = cells
        assert found[1:3] == [files, size], found
        assert found[3].startswith(container), found
        assert shapes in found[4], found
        assert found[5:] == [rows, bad], found
    assert "near dedup compares the whole text at 0.8, recall 99 %: 16 bands × 6 rows" in said
    assert "exact dedup compares the whole text; who stays: origin, priority, longest, id" in said
    assert "mix: 120 rows" in said
    assert "would stop" not in said


def test_its_counts_are_those_of_a_run(quickstart: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    said = told(quickstart, capsys)
    manifest = Published(run(quickstart, tmp_path / "out").path).manifest
    for name, account in manifest.sources.items():
        cells = row_of(name, said)
        assert cells[-2] == f"{sum(file.rows for file in account.files):,}", name
        assert cells[-1] == f"{account.quarantined} of {sum(file.rows for file in account.files)}", name
        for file in account.files:
            for shape, count in file.shapes.items():
                assert f"{shape} {count}" in cells[4], name
    records = sum(account.records for account in manifest.sources.values())
    assert f"about {records} records from" in said


def test_it_writes_nothing(quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    (tmp_path / "cwd").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    before = listing(tmp_path)
    plan(quickstart)
    capsys.readouterr()
    assert listing(tmp_path) == before


def test_it_imports_no_beam(quickstart: Path, repo: Path, tmp_path: Path):
    """A plan is asked for often; Beam alone would take over a second."""
    program = (
        "import sys; from pipelines.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "print('loaded', sorted({'apache_beam', 'torch', 'transformers', 'datasets', 'pandas'} & set(sys.modules)))"
    )
    (tmp_path / "cwd").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program, "plan", str(quickstart)],
        capture_output=True,
        text=True,
        cwd=tmp_path / "cwd",
        env=dict(os.environ, PYTHONPATH=str(repo), TMPDIR=str(tmp_path / "cwd")),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded []"
    assert list((tmp_path / "cwd").iterdir()) == []


def test_it_warns_of_a_source_over_its_error_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [*GOOD, b"{broken", b"[]"]
    sources: dict[str, Any] = {"bad": {"max_bad": "20 %"}, "within": {"max_bad": "25 %"}}
    files = {"bad": {"x.jsonl": rows}, "within": {"x.jsonl": rows}, "good": {"x.jsonl": GOOD}}
    said = told(write_recipe(tmp_path, files, sources), capsys)
    warned = [line for line in said.splitlines() if line.startswith("would stop:")]
    assert len(warned) == 1
    for part in ("source 'bad'", "2 of 8 sampled rows", "more than max_bad 20 %", "x.jsonl:6: not JSON"):
        assert part in warned[0]


def test_it_warns_of_a_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": GOOD}}, {"a": {"container": None}})
    (tmp_path / "a" / "broken.jsonl").write_bytes(b"\x1f\x8b\x08\x00 this is no gzip")
    said = told(recipe, capsys)
    assert "would stop: source 'a': " in said
    assert "broken.jsonl" in said


def test_it_warns_of_every_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad: list[Row] = [b"{broken"]
    recipe = write_recipe(tmp_path, {name: {"x.jsonl": bad} for name in "abc"}, {n: {"max_bad": None} for n in "abc"})
    assert told(recipe, capsys).count("would stop:") == 3


def test_a_source_without_files_is_an_error(tmp_path: Path):
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": GOOD}}, {"a": {"path": "nothing/*.jsonl"}})
    with pytest.raises(GristmillError, match="source 'a'"):
        plan(recipe)


def test_rows_of_a_large_file_are_estimated(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Only its beginning is read: the estimate says that it is one, and is near the truth."""
    rows: list[Row] = [chat("How?", f"this is the answer number {n:06d} of many") for n in range(20_000)]
    cells = row_of("a", told(write_recipe(tmp_path, {"a": {"x.jsonl": rows}}), capsys))
    assert cells[-2].startswith("~")
    assert int(cells[-2].strip("~").replace(",", "")) == pytest.approx(20_000, rel=0.05)
    assert cells[-1] == "0 of 200"


def test_names_of_files_are_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    name = "[red]\x1b[31m:warning:\u202e.jsonl"
    said = told(write_recipe(tmp_path, {"a": {name: [b"{"]}}, {"a": {"max_bad": None}}), capsys)
    assert "[red]\\x1b[31m:warning:\\u202e.jsonl:0" in said
    assert "\x1b" not in said


def test_deduplication_that_is_off_is_not_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": GOOD}}, dedup={"exact": None, "near": None})
    assert "dedup" not in told(recipe, capsys)
