"""Examples in the documentation are parts of recipes that work."""

import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.wanted import quality_weights
from schemas.recipe import Recipe
from schemas.strict import read_yaml, validate
from transforms.annotate.tags import TASKS
from transforms.filters import choose

PAGES = ("README.md", "docs/recipe.md", "docs/filters.md", "docs/quality.md", "docs/tags.md", "docs/decontamination.md")
BASE: dict[str, Any] = {
    "name": "example",
    "version": "1.0.0",
    "sources": {"dolly": {"path": "a.jsonl"}, "synthetic": {"path": "b.jsonl"}},
}
RULES = "def capitals(record):\n    return None\n"


def examples(repo: Path) -> list[tuple[str, str]]:
    """(page and number, text) of every block of YAML."""
    found = []
    for page in PAGES:
        text = (repo / page).read_text(encoding="utf-8")
        blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        found += [(f"{page}#{number}", block) for number, block in enumerate(blocks)]
    return found


EXAMPLES = examples(Path(__file__).resolve().parent.parent)


@pytest.mark.parametrize("text", [text for _, text in EXAMPLES], ids=[where for where, _ in EXAMPLES])
def test_an_example_is_part_of_a_recipe(text: str, tmp_path: Path):
    file = tmp_path / "part.yaml"
    file.write_text(text, encoding="utf-8")
    recipe = validate(Recipe, BASE | read_yaml(file), "example")
    (tmp_path / "rules.py").write_text(RULES, encoding="utf-8")
    choose(recipe.filters, recipe.tokenizer is not None, tmp_path)
    quality_weights(recipe)
    for stage in recipe.release.curriculum:
        assert set(stage.tasks or ()) <= set(TASKS)


@pytest.mark.parametrize("section", sorted(set(Recipe.model_fields)))
def test_every_key_of_a_recipe_is_on_its_page(section: str, repo: Path):
    page = (repo / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {section}\b|^\| .*`{section}`", page, re.MULTILINE)


@pytest.mark.parametrize(
    "section", ["template", "quality", "decontaminate", "balance", "diversity", "best", "mix", "release"]
)
def test_every_key_of_a_section_is_in_its_table(section: str, repo: Path):
    page = (repo / "docs" / "recipe.md").read_text(encoding="utf-8")
    part = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
    annotation: Any = Recipe.model_fields[section].annotation
    model = next((one for one in getattr(annotation, "__args__", ()) if hasattr(one, "model_fields")), annotation)
    for key in model.model_fields:
        assert f"| `{key}`" in part or f", `{key}`" in part, f"{section}.{key} is not in docs/recipe.md"


def test_there_are_examples():
    assert sum("recipe.md" in where for where, _ in EXAMPLES) >= 10
