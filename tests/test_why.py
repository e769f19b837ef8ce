"""``gristmill why``: each fate of a record is told, by id, by its beginning or by place; data never steers the terminal."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.open_release import open_manifest
from pipelines.why import find, why
from schemas.errors import GristmillError
from tests.recipes import Published, Row, chat, run, write_recipe

ESC, RTL, ZERO = "\x1b", "\u202e", "\u200b"
HOSTILE = f"{ESC}[2J{ESC}]0;title\x07 [red]markup[/red] [/] {RTL}desrever{ZERO} \x9b31m \r\n\x00 :warning: [link=http://x]y[/link] \\[bold]"
COLON = "2024:01:mühle.jsonl"
NASTY = f"{ESC}[31m[red]{RTL}:warning:.jsonl"
LONG = [f"word{n}" for n in range(60)]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Published:
    return run(repo / "examples" / "quickstart" / "recipe.yaml", tmp_path_factory.mktemp("why"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Names and contents that try to steer a terminal, and a record that stands for two others."""
    near = " ".join([*LONG[:-1], "other"])
    nasty: list[Row] = [
        chat(HOSTILE, "answer " + HOSTILE),
        b'{"messages": [' + HOSTILE.replace("\n", "").encode() + b"}",
        b'{"messages": [{"role": "\\u001b[31mrole", "content": "x"}]}',
        chat(HOSTILE, "Answer  " + HOSTILE),
    ]
    files: dict[str, dict[str, list[Row]]] = {
        "a": {NASTY: nasty},
        "b": {
            COLON: [
                chat("Tell me.", " ".join(LONG)),
                chat("Tell me.", near),
                chat("", ""),
                chat("tell me. ", " ".join(LONG)),
                chat("Tell me.", " ".join(LONG)),
            ]
        },
    }
    return run(write_recipe(tmp_path_factory.mktemp("hostile"), files), tmp_path_factory.mktemp("out"))


def told(release: Published, record: str, capsys: pytest.CaptureFixture[str]) -> str:
    why(release.path, record)
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def of(release: Published, **wanted: Any) -> dict[str, Any]:
    return next(row for row in release.ledger if all(row[key] == value for key, value in wanted.items()))


def place(row: dict[str, Any]) -> str:
    return f"{row['file']}:{row['index']}"


def test_a_kept_record_by_id_beginning_and_place(quickstart: Published, capsys: pytest.CaptureFixture[str]):
    row = of(quickstart, verdict="kept", source="dolly")
    by_id = told(quickstart, row["id"], capsys)
    assert f"{place(row)} of source dolly, id {row['id']}" in by_id
    assert f"kept, once, in split {row['split']}" in by_id
    released = next(one for one in quickstart.rows(row["split"]) if one["id"] == row["id"])
    answer = " ".join(released["messages"][-1]["content"].split())
    assert f"assistant: {answer[:100]}" in by_id
    assert "user: " in by_id
    assert told(quickstart, row["id"][:8], capsys) == by_id
    assert told(quickstart, row["id"][:31], capsys) == by_id
    assert told(quickstart, place(row), capsys) == by_id


def test_a_filtered_record(quickstart: Published, capsys: pytest.CaptureFixture[str]):
    said = told(quickstart, place(of(quickstart, stage="filter")), capsys)
    assert "dropped by filter, rule empty.blank_turns: value 1, threshold 0" in said


@pytest.mark.parametrize("stage", ["exact_dedup", "near_dedup"])
def test_a_duplicate_names_who_stays(quickstart: Published, capsys: pytest.CaptureFixture[str], stage: str):
    rows = [row for row in quickstart.ledger if row["stage"] == stage]
    assert rows
    fates = set()
    for row in rows:
        said = told(quickstart, place(row), capsys)
        assert f"dropped by {stage}, rule {row['rule']}" in said
        if stage == "near_dedup":
            assert f"similarity {row['value']:.4f} reaches 0.8" in said
        stays = [
            one for one in quickstart.ledger if one["id"] == row["representative"] and one["stage"] != "exact_dedup"
        ]
        one = stays[0]
        assert f"record {row['representative']}, {place(one)} of source {one['source']}" in said
        fate = "kept" if one["verdict"] == "kept" else f"itself dropped by {one['stage']}"
        assert fate in said
        fates.add(one["verdict"])
        assert ("assistant: " in said) == (one["verdict"] == "kept")
    assert "kept" in fates


def test_identical_records_each_have_their_story(hostile: Published, capsys: pytest.CaptureFixture[str]):
    """One id, two rows: the one that stays and its copy."""
    record = of(hostile, file=COLON, index=0)["id"]
    first, second = (place(row) for row in hostile.ledger if row["id"] == record)
    said = told(hostile, record, capsys)
    assert f"{first} of source b, id {record}" in said
    assert f"{second} of source b, id {record}" in said
    assert said.count("kept, once") == 1
    assert said.count("dropped by exact_dedup") == 1


def test_a_record_left_out_by_the_mix(quickstart: Published, capsys: pytest.CaptureFixture[str]):
    said = told(quickstart, place(of(quickstart, stage="mix")), capsys)
    assert "dropped by mix, mix.target: its source had more than its share" in said


def test_a_quarantined_row_shows_reason_and_bytes(quickstart: Published, capsys: pytest.CaptureFixture[str]):
    for row in quickstart.quarantine:
        said = told(quickstart, place(row), capsys)
        assert f"{place(row)} of source {row['source']} could not be read and is quarantined: {row['reason']}" in said
        assert " ".join(row["raw"].decode().split())[:80] in said


def test_inner_messages_of_a_tree(quickstart: Published, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(GristmillError, match="row 0 gave no record of its own; inner messages of a tree are part of"):
        why(quickstart.path, "forum_tree.json:0")
    leaf = of(quickstart, source="forum")
    assert f"{place(leaf)} of source forum" in told(quickstart, place(leaf), capsys)


def test_every_record_and_quarantined_row_can_be_asked_for(quickstart: Published):
    manifest = open_manifest(quickstart.path)
    for row in quickstart.ledger:
        assert row in find(quickstart.path, manifest, place(row))
        if row["id"] is not None:
            assert row in find(quickstart.path, manifest, row["id"])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("dolly.jsonl:42", "has 42 rows, counted from 0; row 42 gave no record of its own"),
        ("dolly.jsonl:9223372036854775808", "has 42 rows, counted from 0"),
        ("dolly.jsonl:" + "9" * 5000, "has 42 rows, counted from 0"),
        ("dolly.jsonl:-1", "neither an id"),
        ("dolly.jsonl:", "neither an id"),
        ("dolly.jsonl", "neither an id"),
        ("dolly.jsonl:²", "neither an id"),
        ("dolly.jsonl:٣", "neither an id"),
        ("other.jsonl:3", "no input file is called 'other.jsonl'; files: alpaca.json, chat.jsonl, .* and 3 more"),
        ("\udcff.jsonl:3", "no input file is called"),
        (":3", "no input file is called ''"),
        ("", "neither an id"),
        ("0123456", "8 at least"),
        ("0" * 32, "no record with id 0000"),
        ("0" * 33, "no record with id 0000"),
        ("ABCDEF0123", "neither an id"),
    ],
)
def test_a_record_that_is_not_there(quickstart: Published, record: str, reason: str):
    with pytest.raises(GristmillError, match=reason) as error:
        why(quickstart.path, record)
    assert "\n" not in str(error.value)


def test_an_ambiguous_beginning(tmp_path: Path, quickstart: Published, monkeypatch: pytest.MonkeyPatch):
    """Eight digits of two ids are hardly ever the same; here the ledger says they are."""
    rows = [{"id": "abcdef01" + "0" * 24}, {"id": "abcdef01" + "1" * 24}]
    monkeypatch.setattr("pipelines.why._ledger", lambda *_: rows)
    with pytest.raises(GristmillError, match=r"2 ids begin with abcdef01: abcdef010+, abcdef011+; give more digits"):
        why(quickstart.path, "abcdef01")


def test_a_file_name_with_colons_and_other_letters(hostile: Published, capsys: pytest.CaptureFixture[str]):
    assert f"{COLON}:0 of source b, id" in told(hostile, f"{COLON}:0", capsys)
    said = told(hostile, f"{COLON}:1", capsys)
    assert "dropped by near_dedup" in said
    assert f"{COLON}:0 of source b, kept" in said
    said = told(hostile, f"{COLON}:3", capsys)
    assert "dropped by exact_dedup" in said
    assert f"{COLON}:0 of source b, kept" in said
    assert "dropped by filter" in told(hostile, f"{COLON}:2", capsys)


@pytest.mark.parametrize("index", range(4))
def test_data_does_not_steer_the_terminal(hostile: Published, capsys: pytest.CaptureFixture[str], index: int):
    said = told(hostile, f"{NASTY}:{index}", capsys)
    assert all(char.isprintable() or char == "\n" for char in said), ascii(said)
    assert f"\\x1b[31m[red]\\u202e:warning:.jsonl:{index} of source a" in said, ascii(said)
    if index in (0, 3):
        for text in ("[red]markup[/red] [/]", "desrever", ":warning:", "[link=http://x]y[/link]", "\\[bold]"):
            assert text in said
    if index == 2:
        assert "\\x1b" in said.splitlines()[0]


def test_an_unknown_file_with_control_characters(hostile: Published, monkeypatch, capsys):
    from pipelines.cli import main

    monkeypatch.setattr("sys.argv", ["gristmill", "why", str(hostile.path), f"{ESC}[31m{RTL}x:3"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert all(char.isprintable() for char in said.removesuffix("\n")), ascii(said)


@pytest.mark.parametrize("path", ["ledger/records-00000.parquet", "data/train-00000-of-00001.parquet"])
@pytest.mark.parametrize("content", [None, b"", b"PAR1 no"])
def test_a_damaged_release_sends_to_verify(quickstart: Published, tmp_path: Path, path: str, content: bytes | None):
    release = Path(shutil.copytree(quickstart.path, tmp_path / "release"))
    (release / path).unlink()
    if content is not None:
        (release / path).write_bytes(content)
    row = of(quickstart, split="train")
    with pytest.raises(GristmillError, match=r"cannot be read .*gristmill verify"):
        why(release, row["id"])
