"""Running again: the corpus is reused, a broken run leaves nothing like a release, a version never changes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines import publish
from schemas.errors import GristmillError
from tests.recipes import Row, chat, leftovers, published, run, write_recipe
from transforms import ingest, release

WORDS = [
    "mill",
    "river",
    "stone",
    "grain",
    "flour",
    "sack",
    "cart",
    "horse",
    "wheel",
    "water",
    "wind",
    "bread",
    "oven",
]
ROWS: list[Row] = [chat("How?", " ".join(WORDS[(n * k) % len(WORDS)] for k in range(1, 12))) for n in range(80)] + [
    b"{broken"
]
FILES: dict[str, dict[str, list[Row]]] = {"a": {"x.jsonl": ROWS}, "b": {"y.jsonl": ROWS[:40]}}
PROGRAM = """
import sys, time
sys.path.insert(0, {repo!r})
import {module} as module

def wait(*arguments):
    print("here", flush=True)
    time.sleep(600)

module.{name} = wait
from pipelines.cli import main
sys.argv = ["gristmill", "curate", {recipe!r}, "--out", {out!r}, "--workers", "1", "--quiet"]
main()
"""


def no_reading(patch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> Any:
        raise AssertionError("a file was read again")

    patch.setattr(ingest, "read_rows", refuse)


CHANGES: dict[str, dict[str, Any]] = {
    "choice": {"seed": 99, "mix": {"size": "20 rows"}, "release": {"splits": {"validation": "10 %"}}},
    "rules": {
        "filters": {"length": {"answer_words": {"min": 3}}},
        "dedup": {"near": {"similarity": 0.3}, "keep": ["shortest"]},
    },
    # Signals are computed anew, from the stored text.
    "signals": {"dedup": {"near": {"shingle": 3}, "exact": {"compare": "response"}}},
}


def test_changing_decisions_reads_no_file_again(tmp_path: Path):
    out = tmp_path / "out"
    run(write_recipe(tmp_path, FILES), out)
    for number, (name, change) in enumerate(CHANGES.items()):
        recipe = write_recipe(tmp_path, FILES, version=f"1.0.{number + 1}", **change)
        with pytest.MonkeyPatch.context() as patch:
            no_reading(patch)
            if name != "signals":
                patch.setattr(ingest, "ingest_split", None)
            again = run(recipe, out)
        if name != "rules":  # what was reused is what a first run would have made
            assert run(recipe, tmp_path / name).contents() == again.contents()


def test_renaming_a_source_or_a_file_reads_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run(write_recipe(tmp_path, FILES), tmp_path / "out")
    no_reading(monkeypatch)
    renamed = {"c": {"z.jsonl": ROWS}, "b": {"y.jsonl": ROWS[:40]}}
    assert run(write_recipe(tmp_path, renamed, {"c": {"license": "MIT"}}, version="2.0.0"), tmp_path / "out").rows()


def test_new_content_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run(write_recipe(tmp_path, FILES), tmp_path / "out")
    changed = {"a": {"x.jsonl": [*ROWS[1:], ROWS[0]]}, "b": FILES["b"]}
    assert len(ROWS) == len(changed["a"]["x.jsonl"])  # the same size in bytes
    again = run(write_recipe(tmp_path, changed, version="1.0.1"), tmp_path / "out")
    first = run(write_recipe(tmp_path, changed, version="1.0.1"), tmp_path / "other")
    assert again.contents() == first.contents()
    assert [row["index"] for row in again.quarantine] == [79]
    no_reading(monkeypatch)
    changed["a"]["x.jsonl"][0] = chat("New?", "Yes.")
    with pytest.raises(Exception, match="read again"):
        run(write_recipe(tmp_path, changed, version="1.0.2"), tmp_path / "out")


def test_a_published_version_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = write_recipe(tmp_path, FILES)
    first = run(recipe, tmp_path / "out")
    before = first.contents() | {"run.json": (first.path / "run.json").read_bytes()}
    no_reading(monkeypatch)
    for seed in (0, 5):
        write_recipe(tmp_path, FILES, seed=seed)
        with pytest.raises(GristmillError) as refused:
            run(recipe, tmp_path / "out")
        message = str(refused.value)
        assert str(first.path) in message
        assert "version 1.0.0" in message
        assert message.count("\n") == 0
    assert first.contents() | {"run.json": (first.path / "run.json").read_bytes()} == before
    assert leftovers(tmp_path / "out") == []


def test_a_version_that_another_run_published_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = write_recipe(tmp_path, FILES)
    finish = publish.finish

    def overtaken(*arguments: Any) -> Any:
        target = tmp_path / "out" / "small" / "1.0.0"
        target.mkdir()
        (target / "manifest.json").write_text("theirs")
        return finish(*arguments)

    monkeypatch.setattr(publish, "finish", overtaken)
    with pytest.raises(GristmillError, match="published by another run meanwhile"):
        run(recipe, tmp_path / "out")
    assert (tmp_path / "out" / "small" / "1.0.0" / "manifest.json").read_text() == "theirs"
    assert leftovers(tmp_path / "out") == []


@pytest.mark.parametrize("place", ["select", "write", "manifest"])
def test_an_error_in_the_release_leaves_nothing_and_the_rerun_is_whole(tmp_path: Path, place: str):
    recipe = write_recipe(tmp_path, FILES)
    out = tmp_path / "out"

    def fail(*arguments: Any) -> Any:
        raise OSError("no space left on device")

    with pytest.MonkeyPatch.context() as patch:
        if place == "select":
            patch.setattr(release.Select, "_ledger", fail)
        elif place == "write":
            patch.setattr(release.shards, "write_shard", fail)
        else:
            patch.setattr(publish, "write_card", fail)
        with pytest.raises(OSError, match="no space left"):
            run(recipe, out)
    assert published(out) == []
    assert leftovers(out) == []
    assert run(recipe, out).contents() == run(recipe, tmp_path / "fresh").contents()


@pytest.mark.parametrize(
    ("module", "name", "left"),
    [("transforms.ingest", "write_signals", "corpus"), ("pipelines.publish", "publish", "staging")],
)
def test_a_killed_run_leaves_no_release_and_the_next_one_cleans_up(
    tmp_path: Path, repo: Path, module: str, name: str, left: str
):
    recipe, out = write_recipe(tmp_path, FILES), tmp_path / "out"
    program = PROGRAM.format(repo=str(repo), module=module, name=name, recipe=str(recipe), out=str(out))
    environment = dict(os.environ, TMPDIR=str(tmp_path))  # what a kill leaves in the temporary folder goes with ours
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert any(left in path for path in leftovers(out))  # it was killed where it hurts
    assert published(out) == []
    again = run(recipe, out)
    assert published(out) == [again.path]
    assert again.contents() == run(recipe, tmp_path / "fresh").contents()
    assert leftovers(out) == []


def test_a_living_run_is_left_alone(tmp_path: Path):
    """Cleaning up after dead processes must not touch those that work beside us."""
    mine = publish.scratch(tmp_path, "run")
    dead = mine.with_name(mine.name.replace(f".{os.getpid()}.", ".4194399."))
    elsewhere = tmp_path / ".run.otherhost.4194399.abcdef01"
    for folder in (dead, elsewhere):
        folder.mkdir()
    other = publish.scratch(tmp_path, "run")
    assert mine.is_dir()
    assert elsewhere.is_dir()
    assert other != mine
    assert not dead.exists()
