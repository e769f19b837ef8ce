"""The command: help, exit status, what goes to which stream, mistakes as one sentence, signals and closed pipes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from pipelines.cli import app, main
from pipelines.schema import schema
from schemas.errors import GristmillError
from schemas.version import __version__
from tests.recipes import Published, Row, chat, leftovers, published, run, write_recipe

COMMANDS = (
    "curate", "plan", "signals", "filters", "verify", "why", "show", "train", "masks", "rows", "schema", "version"
)  # fmt: skip
ROWS: list[Row] = [chat("How?", f"number {n} of ten") for n in range(10)]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path, {"a": {"x.jsonl": ROWS}})


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    return run(write_recipe(folder, {"a": {"x.jsonl": ROWS}}), folder / "out").path


Said = tuple[int, str, str]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command in this process: exit status, stdout, stderr."""

    def calling(*arguments: object) -> Said:
        monkeypatch.setattr("sys.argv", ["gristmill", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return calling


def refused(said: Said, *parts: str) -> None:
    """Status 2, nothing on stdout, one sentence on stderr that has all the parts."""
    status, out, err = said
    assert (status, out) == (2, ""), said
    assert err.startswith("error: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    for part in parts:
        assert part in err, err


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(command: tuple[str, ...], flag: str):
    result = CliRunner().invoke(app, [*command, flag])
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Usage: " in result.stdout
    if not command:
        for name in COMMANDS:
            assert name in result.stdout


def test_no_command_shows_the_help(call):
    _, out, err = call()
    assert "Usage: " in out + err


@pytest.mark.parametrize(
    "arguments", [("nothing",), ("curate",), ("plan",), ("plan", "a", "b"), ("show", "--no-such-flag", "x")]
)
def test_wrong_usage(call, arguments: tuple[str, ...]):
    status, out, err = call(*arguments)
    assert (status, out) == (2, "")
    assert "Usage: " in err


def test_version(call):
    assert call("version") == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("what", ["recipe", "record", "manifest"])
def test_schemas_are_json(call, what: str):
    status, out, err = call("schema", what)
    assert (status, err) == (0, "")
    made = orjson.loads(out)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert made["type"] == "object"
    references = {part.split('"')[0] for part in out.split('"$ref": "#/$defs/')[1:]}
    assert references <= set(made.get("$defs", ()))


def test_the_recipe_schema_knows_filters_and_units(call):
    made = orjson.loads(call("schema")[1])
    (filters, _) = made["properties"]["filters"]["anyOf"]
    assert {"empty", "length", "undesirable"} <= set(filters["properties"])
    assert "function" in filters["additionalProperties"]["properties"]  # any other name is a user's own filter
    assert "pattern" in orjson.dumps(made["$defs"]["Mix"]).decode()


def test_another_schema(call):
    refused(call("schema", "x[red]"), "no schema called 'x[red]'", "recipe, record, manifest")
    with pytest.raises(GristmillError):
        schema("")


def test_show(call, release: Path):
    status, out, err = call("show", release)
    assert (status, err) == (0, "")
    assert "small 1.0.0: rows left after each stage" in out
    assert "splits: train 10" in out


def test_curate_prints_the_path_and_nothing_else(recipe: Path, tmp_path: Path, repo: Path):
    """Scripts take the last line of stdout; progress, tables and warnings are for people, on stderr."""
    for quiet in (False, True):
        out = tmp_path / f"out{quiet}"
        command = [sys.executable, "-m", "pipelines.cli", "curate", str(recipe), "--out", str(out), "--workers", "1"]
        done = subprocess.run(
            [*command, *(["--quiet"] if quiet else [])],
            capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=str(repo)), cwd=tmp_path, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{out / 'small' / '1.0.0'}\n"
        if quiet:
            assert done.stderr == ""
        else:
            for part in ("inputs", "ingest", "decide", "release", "publish", "rows left after each stage"):
                assert part in done.stderr
        assert Published(out / "small" / "1.0.0").manifest.name == "small"


def test_warnings_are_shown_even_when_quiet(call, tmp_path: Path):
    recipe = write_recipe(
        tmp_path, {"a": {"x.jsonl": ROWS, "[red]\x1b[31m.jsonl": []}}, ingest={"unreadable_file": "skip"}
    )
    status, out, err = call("curate", recipe, "--out", tmp_path / "out", "--workers", 1, "-q")
    assert (status, out) == (0, f"{tmp_path / 'out' / 'small' / '1.0.0'}\n")
    assert err.startswith("warning: source 'a': skipped: [red]\\x1b[31m.jsonl is empty")
    assert err.count("\n") == 1


def test_a_version_that_exists(call, recipe: Path, tmp_path: Path):
    target = run(recipe, tmp_path / "out").path
    refused(call("curate", recipe, "--out", tmp_path / "out"), f"{target} is published already", "raise version 1.0.0")


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/gristmill", "/dev/null/x"])
def test_out_that_cannot_be_a_folder(call, recipe: Path, tmp_path: Path, place: str):
    (tmp_path / "file").write_text("x")
    refused(call("curate", recipe, "--out", tmp_path / place, "--workers", 1), f"{tmp_path / place}", "can be written")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("option", ["--out", "--work-dir"])
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights(call, recipe: Path, tmp_path: Path, option: str):
    (tmp_path / "closed").mkdir(mode=0o500)
    refused(call("curate", recipe, option, tmp_path / "closed", "--workers", 1), "closed", "can be written")


def test_a_work_folder_that_is_a_file(call, recipe: Path, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    said = call("curate", recipe, "--out", tmp_path / "out", "--work-dir", tmp_path / "file", "--workers", 1)
    refused(said, f"{tmp_path / 'file'}", "can be written")
    assert published(tmp_path / "out") == []


@pytest.mark.parametrize("command", ["curate", "plan"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("folder", "Is a directory"),
        ("absent", "No such file"),
        (b"", "the file is empty"),
        (b"# only a comment\n", "the file is empty"),
        (b"\x00\x01\x02", ""),
        (b"\x89PNG\r\n\x1a\n\x00", "not UTF-8"),
        (b"PK\x03\x04" + bytes(range(128)), ""),
        (b"just text", "expected a mapping"),
        (b"name: x\nsources: {}\nverson: '1'\n", ""),
        (b"\x1b[31m: 1\n", ""),
        (b"'\\e[31m': 1\nname: '\\u202e'", ""),
    ],
)
def test_a_recipe_that_is_none(call, tmp_path: Path, command: str, content: str | bytes, reason: str):
    path = tmp_path / "recipe.yaml"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    options = ("--out", tmp_path / "out", "--workers", 1) if command == "curate" else ()
    said = call(command, path, *options)
    refused(said, str(path), reason)
    assert said[2].removesuffix("\n").isprintable()
    assert not (tmp_path / "out").exists()


def test_a_mistake_of_the_data_is_one_sentence(call, tmp_path: Path):
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": [b"{", *ROWS]}}, {"a": {"max_bad": "1 %"}})
    refused(call("curate", recipe, "--out", tmp_path / "out", "--workers", 1, "-q"), "source 'a'", "max_bad 1 %")
    assert published(tmp_path / "out") == []


def test_names_in_a_mistake_do_not_steer_the_terminal(call, tmp_path: Path):
    recipe = write_recipe(tmp_path, {"a": {"[red]\x1b[31m\u202e.jsonl": []}})
    said = call("curate", recipe, "--out", tmp_path / "out", "--workers", 1, "-q")
    refused(said, "[red]\\x1b[31m\\u202e.jsonl is empty")
    assert said[2].removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--", "--no_such_option=3"), ("--no_such_option is no option of Beam",)),
        (("--", "stray"), ("'stray'",)),
        (("--", "--direct_num_workers=many"), ("direct_num_workers",)),
        (("--engine", "Nope"), ("--engine 'Nope' is neither local, prism",)),
        (("--workers", "-1"), ("--workers -1",)),
    ],
)
def test_options_for_beam(call, recipe: Path, tmp_path: Path, options: tuple[str, ...], parts: tuple[str, ...]):
    refused(call("curate", recipe, "--out", tmp_path / "out", "-q", *options), *parts)
    assert published(tmp_path / "out") == []
    assert leftovers(tmp_path / "out") == []


def test_a_disk_that_is_full(call, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Outside of Beam too."""

    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "out" / "README.md"))

    monkeypatch.setattr("pipelines.publish.write_card", refuse)
    refused(
        call("curate", recipe, "--out", tmp_path / "out", "--workers", 1, "-q"), "No space left on device", "README.md"
    )
    assert published(tmp_path / "out") == []
    assert leftovers(tmp_path / "out") == []


def test_an_error_of_ours_keeps_its_traceback(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A sentence would hide where it happened."""

    def refuse(*arguments: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr("pipelines.publish.write_card", refuse)
    monkeypatch.setattr(
        "sys.argv", ["gristmill", "curate", str(recipe), "--out", str(tmp_path / "out"), "--workers", "1", "-q"]
    )
    with pytest.raises(OSError, match="Invalid argument"):
        main()
    assert leftovers(tmp_path / "out") == []


@pytest.mark.parametrize("command", ["schema", "show", "verify", "why"])
def test_a_reader_that_has_gone(release: Path, repo: Path, command: str):
    """``gristmill show … | head -0`` ends without a traceback."""
    arguments = {"schema": [], "why": [str(release), "x.jsonl:0"]}.get(command, [str(release)])
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", command, *arguments],
            stdout=writing, stderr=subprocess.PIPE, text=True, env=dict(os.environ, PYTHONPATH=str(repo)), check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


PROGRAM = """
import sys, time
sys.path.insert(0, {repo!r})
import {module} as module

def wait(*arguments):
    print("here", flush=True)
    time.sleep(600)

module.{name} = wait
from pipelines.cli import main
sys.argv = ["gristmill", "curate", {recipe!r}, "--out", {out!r}, "--workers", {workers!r}, "--quiet"]
main()
"""


@pytest.mark.parametrize(
    ("module", "name", "workers"), [("pipelines.publish", "finish", "2"), ("transforms.ingest", "write_signals", "1")]
)
def test_ctrl_c_leaves_nothing(tmp_path: Path, repo: Path, recipe: Path, module: str, name: str, workers: str):
    out = tmp_path / "out"
    program = PROGRAM.format(
        repo=str(repo), module=module, name=name, recipe=str(recipe), out=str(out), workers=workers
    )
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, TMPDIR=str(tmp_path / "tmp")), text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode not in (0, -signal.SIGKILL)
    assert "Traceback" not in err
    assert published(out) == []
    assert leftovers(out) == []
    assert [path.name for path in (tmp_path / "tmp").iterdir() if path.name.startswith("gristmill-")] == []
    assert list((out / ".gristmill" / "runs").glob(".*")) == []
    assert run(recipe, out).path.is_dir()
