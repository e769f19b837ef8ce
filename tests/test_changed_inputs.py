"""Files that change under a run, a corpus that lost its summaries, and a run that would read what it writes."""

from pathlib import Path

import pytest

from pipelines import curate as chain
from schemas.errors import GristmillError
from tests.recipes import chat, lines, published, run, write_recipe


def recipe(folder: Path) -> Path:
    return write_recipe(folder, {"a": {"x.jsonl": [chat(f"q{number}", f"a{number}") for number in range(5)]}})


def test_a_file_that_changes_while_it_is_read_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, found = recipe(tmp_path), chain.find_inputs

    def find_then_change(*arguments):
        inputs = found(*arguments)
        (tmp_path / "a" / "x.jsonl").write_bytes(lines([chat("other", "rows")]))
        return inputs

    monkeypatch.setattr(chain, "find_inputs", find_then_change)
    with pytest.raises(GristmillError, match=r"x\.jsonl changed while it was read"):
        run(path, tmp_path / "out")
    assert published(tmp_path / "out") == []
    monkeypatch.undo()
    assert [row["messages"][0]["content"] for row in run(path, tmp_path / "out").rows()] == ["other"]


@pytest.mark.parametrize("damage", [b"", b"{}", b"nonsense", None])
def test_a_corpus_without_its_summaries_is_read_again(tmp_path: Path, damage: bytes | None):
    path = recipe(tmp_path)
    whole = run(path, tmp_path / "one", tmp_path / "work").contents()
    done = sorted((tmp_path / "work" / "corpus").rglob("done.json"))
    assert {file.relative_to(tmp_path / "work" / "corpus").parts[0] for file in done} == {
        "annotations",
        "signals",
        "text",
    }
    for file in done:
        file.unlink() if damage is None else file.write_bytes(damage)
    assert run(path, tmp_path / "two", tmp_path / "work").contents() == whole


@pytest.mark.parametrize(
    "pattern", ["text/**/00000.arrow", "signals/**/*.features.arrow", "signals/**/*.shingles.arrow"]
)
def test_a_damaged_byte_in_the_corpus_is_noticed_and_read_again(tmp_path: Path, pattern: str):
    path = recipe(tmp_path)
    whole = run(path, tmp_path / "one", tmp_path / "work").contents()
    (file,) = (tmp_path / "work" / "corpus").glob(pattern)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert run(path, tmp_path / "two", tmp_path / "work").contents() == whole


def test_a_source_inside_the_output_is_refused(tmp_path: Path):
    path = recipe(tmp_path)
    with pytest.raises(GristmillError, match=r"x\.jsonl lies in .*, which this run writes to"):
        run(path, tmp_path / "a", tmp_path / "work")
