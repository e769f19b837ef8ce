"""What ``gristmill masks`` shows."""

import io
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import GristmillError
from schemas.strict import validate
from tests.recipes import Row, chat, run, write_recipe
from tests.tiny_tokenizers import byte_level
from tests.trainer_shards import chatml, opened, row, rows, write
from trainer.config import TrainConfig
from trainer.masks import HEAD, TAIL, Mask, chosen, masks_view, rows_of, show_masks, shown


def mask(folder: Path, made, capacity=1000, overlong="drop") -> Mask:
    [one] = masks_view(opened(write(folder, [made], files=1)), chatml(), [0], capacity, overlong)
    return one


def test_what_is_learned_stands_in_brackets_with_its_stop(tmp_path: Path):
    one = mask(tmp_path, row(0, "Hello?", "Paris 世界 🙂.\nYes."))
    assert one.plain() == (
        f"row 0 · one · {row(0)['id']} · {one.tokens} tokens, {one.supervised} supervised "
        f"({one.supervised / one.tokens:.1%})\n"
        "<|im_start|>user↵\nHello?<|im_end|>↵\n<|im_start|>assistant↵\n⟦Paris 世界 🙂.↵\nYes.<|im_end|>⟧↵\n"
    )
    assert [piece.text for piece in one.pieces if piece.stop] == ["<|im_end|>"]


def test_weights_and_what_only_looks_like_a_control_token(tmp_path: Path):
    made = row(0, "say <|im_end|>", "<|im_end|>", "and", "half")
    made["messages"][3]["weight"] = 0.5
    text = mask(tmp_path, made).plain()
    assert "say \\<|im_end|><|im_end|>" in text
    assert "⟦\\<|im_end|><|im_end|>⟧" in text
    assert "⟦0.5: half<|im_end|>⟧" in text
    assert "· weight " in text


def test_data_cannot_write_to_the_terminal(tmp_path: Path):
    rich = pytest.importorskip("rich.console")
    hostile = "\x1b[31mred\x07\r\u202e⟦[bold]x[/bold]⟧\u2028\x00"
    one = mask(tmp_path, row(0, hostile, hostile))
    sink = io.StringIO()
    rich.Console(file=sink, force_terminal=True, color_system=None, width=200).print(one.rich())
    for text in (one.plain(), sink.getvalue()):
        assert not set(text) & set("\x1b\x07\r\u202e\u2028\x00")
        assert "[bold]x[/bold]" in text
        assert "\\x1b[31mred\\x07\\x0d\\u{202e}\\u{27e6}" in text


def test_colours_tell_what_is_learned(tmp_path: Path):
    pytest.importorskip("rich")
    made = mask(tmp_path, row(0, "Hello?", "Paris")).rich()
    styles = {made.plain[span.start : span.end]: str(span.style) for span in made.spans}
    assert "green" in styles["Paris"]
    assert "dim" in styles["user↵\nHello?"]
    assert "black on green" in [str(span.style) for span in made.spans][-2].removeprefix("not bold ")


def test_long_texts_lose_their_middle_only(tmp_path: Path):
    text = mask(tmp_path, row(0, "question " * 1000, "answer"), capacity=100_000).plain()
    assert f"… {9000 + len('user↵') + 1 - HEAD - TAIL:,} characters …" in text
    assert text.endswith("⟦answer<|im_end|>⟧↵\n")


def test_rows_that_are_cut_or_out(tmp_path: Path):
    made = row(0, "Hi", "Yes", "Go on", "word " * 50)
    assert "cut after message 2 of 4" in mask(tmp_path, made, 40, "truncate_at_turn").header
    assert mask(tmp_path, made, 40, "truncate_at_turn").plain().endswith("⟦Yes<|im_end|>⟧↵\n")
    assert "out: it has" in mask(tmp_path, made, 40, "drop").plain()
    assert "out: no token in it is learned" in mask(tmp_path, row(0, "Only a question")).plain()


def test_rows_to_show_come_from_all_sources(tmp_path: Path):
    made = [*rows(20), *(row(100 + n, "a", "b", source="two") for n in range(3))]
    shards = opened(write(tmp_path, made))
    picked = rows_of(shards, 4)
    assert [made[at]["source"] for at in picked] == ["one", "two", "one", "two"]
    assert made[picked[0]]["id"] == min(one["id"] for one in made[:20])
    assert rows_of(shards, 4) == picked
    assert len(rows_of(shards, 100)) == 23
    whole = shards.take(np.arange(23))
    assert chosen(whole.column("source"), whole.column("id"), 4) == picked


def test_a_row_by_its_id(tmp_path: Path):
    made = [*rows(20), rows(4)[3]]
    shards = opened(write(tmp_path, made))
    assert rows_of(shards, id=made[3]["id"]) == [3, 20]
    assert rows_of(shards, id=made[5]["id"][:12]) == [5]
    with pytest.raises(GristmillError, match="no row of this split has the id 'zz'"):
        rows_of(shards, id="zz")
    with pytest.raises(GristmillError, match="ids start with ''"):
        rows_of(shards, id="")


def test_the_command_shows_a_release(tmp_path: Path):
    rich = pytest.importorskip("rich.console")
    made: dict[str, dict[str, list[Row]]] = {
        "one": {"a.jsonl": [chat(f"What is {n}?", f"Number {n}, of course.") for n in range(20)]}
    }
    published = run(write_recipe(tmp_path, made), tmp_path / "out")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text(byte_level().definition)
    settings = {"release": str(published.path), "model": "model", "template": "chatml", "output": "run"}
    config = validate(TrainConfig, settings, "test")
    sink = io.StringIO()
    show_masks(config, tmp_path, rich.Console(file=sink, width=60), show=2)
    assert sink.getvalue().count("⟦Number ") == 2
    assert sink.getvalue().count("of course.<|im_end|>⟧↵\n") == 2
    assert "2 of 20 rows of small/1.0.0, split train, template" in sink.getvalue()
    with pytest.raises(GristmillError, match="no row of this split"):
        show_masks(config, tmp_path, rich.Console(file=sink), id="zz")


def test_text_that_needs_no_escape_stays():
    assert shown("plain text") == "plain text"
    assert shown("नि‍ 👩‍💻 é") == "नि‍ 👩‍💻 é"
    assert shown("\ttab\ud800") == "\\x09tab\\u{d800}"
