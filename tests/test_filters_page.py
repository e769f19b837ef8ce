"""``gristmill filters``: every filter with every setting, and a page that cannot be stale."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipelines import filters_list
from pipelines.cli import app
from pipelines.filters_list import OWN, listed, markdown
from schemas.errors import GristmillError
from transforms.filters import DEFAULT, FILTERS, choose


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["filters", *arguments])
    assert done.exit_code == 0, done.exception
    return done.output


def test_the_page_is_what_the_command_prints(repo: Path):
    """To mend this: gristmill filters --markdown > docs/filters.md"""
    page = (repo / "docs" / "filters.md").read_text(encoding="utf-8")
    assert page == markdown() == said("--markdown")


def test_every_filter_has_a_line_and_the_defaults_are_marked():
    lines = said().splitlines()
    for name in (*FILTERS, OWN):
        line = next(line for line in lines if line[2:].split(" ")[0] == name)
        assert line.startswith("* " if name in DEFAULT else "  ")
        assert len(line.removeprefix("*").split(maxsplit=1)[1]) > 10, line


@pytest.mark.parametrize("name", [*FILTERS, OWN])
def test_every_setting_is_shown_and_described(name: str):
    shown = said(name)
    model = FILTERS[name].settings if name in FILTERS else filters_list.own.Settings
    for key, field in model.model_fields.items():
        if not field.exclude:
            assert f"\n  {key}: " in shown
            assert field.description, f"{name}.{key} has no description"
    assert "reads" in shown


def test_the_shared_annotation_is_shown_with_the_columns_that_are_read():
    assert listed("refusal").needs == [("annotation `phrases`", ["whole_refusals", "partial_refusals"])]
    assert listed("tags").needs == [("annotation `tags`", ["task", "task_confidence", "format", "tone", "difficulty"])]
    assert listed("undesirable").needs == [("signals that every record has", ["label"])]


def test_types_and_defaults_are_those_of_the_settings():
    by_name = {one.name: one for one in listed("repetition").settings}
    assert (by_name["min_words"].kind, by_name["min_words"].default) == ("whole number ≥ 1", "`50`")
    assert (by_name["top_2_grams"].kind, by_name["top_2_grams"].default) == ("number 0 to 1 or null", "`null`")
    assert [one.default for one in listed(OWN).settings] == [None, "`null`", "`null`"]
    assert listed("length").settings[0].default == "open"


def test_what_does_not_exist_is_refused():
    with pytest.raises(GristmillError, match="no filter 'refusals'; did you mean 'refusal'"):
        listed("refusals")
    with pytest.raises(GristmillError, match="--markdown prints the page of all filters, but 'refusal' was named"):
        filters_list.show("refusal", as_markdown=True)


def test_the_examples_on_the_page_work(tmp_path: Path):
    example = re.search(r"```yaml\n(.*?)```", markdown(), re.DOTALL)
    code = re.search(r"```python\n(.*?)```", markdown(), re.DOTALL)
    assert example is not None
    assert code is not None
    (tmp_path / "rules.py").write_text(code[1], encoding="utf-8")
    chosen = choose(yaml.safe_load(example[1])["filters"], has_tokenizer=False, base=tmp_path)
    assert [name for name, _ in chosen] == ["empty", "length", "refusal", "shouting"]
    space: dict = {}
    exec(code[1], space)
    assert space["capitals"]({"messages": [{"role": "user", "content": "WHY is the sky blue at noon"}]}) == 3 / 21
    assert space["capitals"]({"messages": [{"role": "user", "content": "WHY"}]}) is None
