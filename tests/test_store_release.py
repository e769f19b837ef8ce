"""A release in an object store: the same bytes, one publisher, and nobody sees what died."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipelines import publish
from pipelines.clean import clean
from pipelines.verify import verify
from schemas.errors import GristmillError
from tests.recipes import run, write_recipe
from tests.selections import EVERYTHING, content
from tests.stores import a_store, contents, hidden, memory_store  # noqa: F401
from tests.test_digest import CONTENT, SETTINGS, SOURCES
from trainer.release import open_release
from transforms import storage


@pytest.fixture(params=["memory", "s3"])
def out(request: pytest.FixtureRequest) -> Path:
    """Where releases go."""
    return a_store(request)


@pytest.fixture
def s3(object_store: Any) -> Path:
    return storage.place(f"{object_store.url}/releases")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "recipe", CONTENT, SOURCES, **SETTINGS)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("reference")
    return run(write_recipe(folder, CONTENT, SOURCES, **SETTINGS), folder / "out").contents()


def target(out: Path) -> Path:
    return out / "small" / "1.0.0"


def test_the_bytes_are_those_of_a_local_release(out: Path, recipe: Path, reference: dict[str, bytes]):
    made = run(recipe, out).path
    assert str(made) == str(target(out))
    assert contents(made) == reference
    assert verify(made) == []
    assert hidden(out) == {}
    with pytest.raises(GristmillError, match="is published already and a version never changes"):
        run(recipe, out)


def test_work_folder_and_output_may_lie_apart(out: Path, recipe: Path, tmp_path: Path, reference: dict[str, bytes]):
    assert contents(run(recipe, tmp_path / "here", out / "work").path) == reference
    assert contents(run(recipe, out / "there", tmp_path / "work").path) == reference
    assert contents(run(recipe, out / "again", out / "work").path) == reference  # from the corpus that is there
    assert {name.split("/")[0] for name in storage.all_files(out / "work")} == {"corpus", "digests.json"}


def test_two_workers_that_share_nothing_but_the_store(
    s3: Path, recipe: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pipelines.curate.ALONE_RECORDS", 0)
    assert contents(run(recipe, s3, workers=2).path) == reference


def test_every_step_of_selection_works_there(memory: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("pipelines.steps.BIN_BEST", 1)  # the walk runs out and begins anew
    row = content()["alpha"]["a.jsonl"][0]
    assert isinstance(row, dict)
    question = row["messages"][0]["content"]
    (tmp_path / "bench.jsonl").write_bytes(orjson.dumps({"question": question, "answer": "b"}))
    more = EVERYTHING | {"decontaminate": {"benchmarks": {"bench": str(tmp_path / "bench.jsonl")}}}
    recipe = write_recipe(tmp_path / "recipe", content(), **more)
    assert contents(run(recipe, memory).path) == run(recipe, tmp_path / "local").contents()


def test_a_damaged_piece_of_the_corpus_is_read_again(out: Path, recipe: Path, reference: dict[str, bytes]):
    run(recipe, out / "one", out / "work")
    found = storage.all_files(out / "work" / "corpus" / "text")
    block, done = (next(name for name in found if name.endswith(end)) for end in (".arrow", "/done.json"))
    storage.write_bytes(out / "work" / "corpus" / "text" / block, b"short")
    storage.remove_files([out / "work" / "corpus" / "text" / done])
    assert contents(run(recipe, out / "two", out / "work").path) == reference


def test_of_two_that_race_for_a_version_one_wins(out: Path, recipe: Path, reference: dict[str, bytes], monkeypatch):
    """The second is overtaken between its look at the target and its claim."""
    finish, inner = publish.finish, list[Path]()

    def overtaken(*arguments: Any) -> Any:
        if not inner:
            inner.append(out)
            inner.append(run(recipe, out, out / "other").path)
        return finish(*arguments)

    monkeypatch.setattr(publish, "finish", overtaken)
    with pytest.raises(GristmillError, match=r"was published by another run meanwhile; this one's result is dropped"):
        run(recipe, out, out / "work")
    assert contents(inner[1]) == reference
    assert verify(target(out)) == []
    assert hidden(out) == {}


def test_a_claim_keeps_others_away_and_is_cleaned(out: Path, recipe: Path, reference: dict[str, bytes]):
    dead = {"host": storage.this_host(), "pid": 4194399, "time": 0, "unique": "x"}
    storage.write_bytes(target(out) / ".claim", orjson.dumps(dead))
    storage.write_bytes(target(out) / "data" / "train-00000-of-00001.parquet", b"half")
    storage.write_bytes(out / "small" / ".staging-1.0.0.elsewhere.1.abcdef01" / "data" / "x", b"12345")
    with pytest.raises(
        GristmillError, match=r"is claimed by process 4194399 of host .* since 1970-01-01 .*gristmill clean"
    ):
        run(recipe, out)
    for read in (verify, lambda path: open_release(str(path))):
        with pytest.raises(GristmillError, match=r"is no release: it has no manifest\.json"):
            read(target(out))
    assert clean(out, out / ".gristmill", 24, False, False) == 0
    assert clean(out, out / ".gristmill", 0, False, True) > 0
    assert len(storage.all_files(out)) == 3
    assert clean(out, out / ".gristmill", 0, False, False) == len(orjson.dumps(dead)) + 4 + 5
    assert storage.all_files(out) == {}
    assert contents(run(recipe, out).path) == reference
    before = storage.all_files(out)
    clean(out, out / ".gristmill", 0, False, False)
    assert storage.all_files(out) == before
    clean(out, out / ".gristmill", 0, True, False)
    assert not any("/corpus/" in name for name in storage.all_files(out))
    assert contents(target(out)) == reference


def test_a_claim_of_a_living_run_is_left(out: Path, capsys: pytest.CaptureFixture[str]):
    own = {"host": storage.this_host(), "pid": os.getpid(), "time": 0, "unique": "x"}
    storage.write_bytes(target(out) / ".claim", orjson.dumps(own))
    storage.write_bytes(storage.scratch(out / ".gristmill" / "runs", "run") / "blocks.arrow", b"x")
    assert clean(out, out / ".gristmill", 0, True, False) == 0
    assert "left 2" in capsys.readouterr().out
    assert len(storage.all_files(out)) == 2


def test_a_publisher_that_fails_takes_its_files_back(out: Path, recipe: Path, reference, monkeypatch):
    from pipelines import publish_store

    def full(path: Path, content: bytes) -> None:
        if path.name == "run.json":
            raise GristmillError("the store is full")
        storage.write_bytes(path, content)

    monkeypatch.setattr(publish_store, "write_bytes", full)
    with pytest.raises(GristmillError, match="the store is full"):
        run(recipe, out)
    assert [name for name in storage.all_files(out) if not name.startswith(".gristmill/")] == []
    monkeypatch.undo()
    # undone with it is the environment of the store
    if "memory" in str(out):
        assert contents(run(recipe, out).path) == reference


def test_what_is_not_listed_is_told_and_what_is_damaged_too(out: Path, recipe: Path):
    made = run(recipe, out).path
    storage.write_bytes(made / "data" / "more.parquet", b"x")
    assert verify(made) == ["data/more.parquet: is in the release but not in the manifest"]
    storage.remove_files([made / "data" / "more.parquet"])
    shard = next(name for name in storage.all_files(made) if name.startswith("data/train"))
    content = bytearray(storage.read_bytes(made / shard))
    content[len(content) // 2] ^= 1
    storage.write_bytes(made / shard, bytes(content))
    assert any(shard in problem and "sha256" in problem for problem in verify(made))
    storage.remove_files([made / shard])
    assert verify(made) == [f"{shard}: is missing"]


def command(*arguments: object, **more: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more,
    )  # fmt: skip


def test_commands_take_urls(s3: Path, recipe: Path, repo: Path):
    def said(*arguments: object) -> str:
        process = command(*arguments, cwd=repo)
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 0, text
        return text

    assert said("curate", recipe, "--out", s3, "--workers", 2, "-q").strip() == str(target(s3))
    assert said("verify", target(s3)).strip() == f"{target(s3)}: verified"
    assert "splits: train" in said("show", target(s3))
    assert "b.jsonl:0" in said("why", target(s3), "b.jsonl:0")
    assert "removed 0 B" in said("clean", s3)
    process = command("curate", recipe, "--out", s3, "--workers", 1, "-q", cwd=repo)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert text.startswith(f"error: {target(s3)} is published already")
    assert text.count("\n") == 1


def test_two_processes_race(s3: Path, recipe: Path, repo: Path, reference: dict[str, bytes]):
    pair = [command("curate", recipe, "--out", s3, "--workers", 1, "-q", cwd=repo) for _ in range(2)]
    said = [process.communicate(timeout=200)[0] for process in pair]
    assert sorted(process.returncode for process in pair) == [0, 2], said
    lost = next(text for process, text in zip(pair, said, strict=True) if process.returncode)
    assert any(part in lost for part in ("meanwhile", "is claimed by", "is published already"))
    assert lost.count("\n") == 1
    assert contents(target(s3)) == reference
    assert hidden(s3) == {}


PROGRAM = """
import sys, time
from transforms import remote

def wait(pairs):
    copy(pairs[:2])
    print("here", flush=True)
    time.sleep(600)

copy, remote.copy_all = remote.copy_all, wait
from pipelines.cli import main
sys.argv = ["gristmill", "curate", sys.argv[1], "--out", sys.argv[2], "--workers", "1", "--quiet"]
main()
"""


def test_a_killed_publisher_is_invisible_and_cleaned(s3: Path, recipe: Path, repo: Path, reference: dict[str, bytes]):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(recipe), str(s3)], cwd=repo, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "here\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    left = storage.all_files(s3)
    assert len([name for name in left if name.startswith("small/1.0.0/")]) == 3  # the claim and two copies
    with pytest.raises(GristmillError, match="is no release"):
        verify(target(s3))
    with pytest.raises(GristmillError, match="is claimed by process"):
        run(recipe, s3)
    clean(s3, s3 / ".gristmill", 0, False, False)
    assert hidden(s3) == {}
    assert contents(run(recipe, s3).path) == reference


def test_a_store_that_goes_away_and_comes_back(
    object_store: Any, s3: Path, recipe: Path, repo: Path, reference: dict[str, bytes]
):
    process = command("curate", recipe, "--out", s3, "--workers", 2, cwd=repo)
    assert process.stdout is not None
    before = process.stdout.readline() + process.stdout.readline()
    object_store.kill()
    threading.Timer(4, object_store.restart).start()
    rest, _ = process.communicate(timeout=300)
    for _ in range(100):
        try:
            storage.all_files(s3)
            break
        except GristmillError:
            time.sleep(1)
    assert process.returncode in (0, 2), before + rest
    if process.returncode:
        assert rest.strip().splitlines()[-1].startswith("error: ")
        assert "manifest.json" not in {name.rsplit("/", 1)[-1] for name in storage.all_files(s3)}
        clean(s3, s3 / ".gristmill", 0, False, False)
        run(recipe, s3)
    assert contents(target(s3)) == reference
    assert verify(target(s3)) == []


def test_credentials_are_nowhere(object_store: Any, s3: Path, recipe: Path, repo: Path):
    process = command("curate", recipe, "--out", s3, "--work-dir", s3 / "work", "--workers", 2, cwd=repo)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    secrets = [object_store.environment()[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    assert all(len(secret) > 8 and secret not in said for secret in secrets)
    for name, found in storage.all_files(s3).items():
        content = storage.read_bytes(found.path)
        assert not any(secret.encode() in content for secret in secrets), name
    os.environ["AWS_SECRET_ACCESS_KEY"] = wrong = "this-is-not-the-password"
    try:
        process = command("verify", target(s3), cwd=repo)
        said, _ = process.communicate(timeout=120)
    finally:
        os.environ["AWS_SECRET_ACCESS_KEY"] = secrets[1]
    assert process.returncode == 2
    assert "cannot be read" in said
    assert said.count("\n") == 1
    assert wrong not in said


def test_beam_is_given_no_credentials(object_store: Any):
    from pipelines.engine import Engine

    with Engine(1) as engine:
        shown = str(engine.options(1).get_all_options())
    assert not any(secret in shown for name, secret in object_store.environment().items() if "KEY" in name)


def test_the_trainer_reads_it(out: Path, recipe: Path, tmp_path: Path):
    import numpy as np

    local, there = run(recipe, tmp_path / "out").path, run(recipe, out).path
    here, far = open_release(str(local)), open_release(str(there))
    assert here.digest == far.digest
    mine, theirs = (one.open("train", ("id", "messages")) for one in (here, far))
    rows = np.arange(0, here.rows("train"), 7)
    assert mine.take(rows).equals(theirs.take(rows))
    mine.close()
    theirs.close()
