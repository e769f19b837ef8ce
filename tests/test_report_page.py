"""``report.html``: one page, sound HTML whatever the names are, nothing from outside, and the manifest's own numbers."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipelines.report_page import KEPT, LOOKS, MOST_FILES, percent, render, short, size
from schemas.manifest import BenchmarkRow, ClusterRow, LengthRow, Manifest, SelectionReport, StepCost
from tests.recipes import Published, Row, chat, run, write_recipe
from transforms.release import STAGES

HOSTILE = "<script>alert(1)</script> \"q\" 'a' & &lt; <img src=x onerror=alert(1)> </style></title> {{ 7*7 }} {% x %} \x1b[31m\u202e]]>"
VOID = {"meta", "br"}
GOOD: list[Row] = [chat("How?", f"this is number {n}, and no other") for n in range(40)]


class Page(HTMLParser):
    """Elements, their attributes and all text; fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):  # titles in charts are seen only where the mouse is
            self.texts.append(data)


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Published:
    return run(repo / "examples" / "quickstart" / "recipe.yaml", tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder = tmp_path_factory.mktemp("hostile")
    facts = {"license": HOSTILE, "language": HOSTILE, "generator": HOSTILE, "task": HOSTILE}
    name = HOSTILE.replace("/", "") + ".jsonl"
    recipe = write_recipe(
        folder,
        {"a_b": {name: [*GOOD, GOOD[0], chat("", "")]}, "d.e-f": {"x.jsonl": GOOD[:9]}},
        {"a_b": facts | {"path": "a_b"}, "d.e-f": {}},
        description=HOSTILE,
        mix={"shares": {"a_b": "100 %", "d.e-f": "0 %"}},
        release={"splits": {"test_a": "20 %", "none": "0.0001 %"}, "curriculum": [{"name": "easy", "answer_words": 3, "tasks": ["coding"]}, {"name": "hard"}]},
    )  # fmt: skip
    return run(recipe, folder / "out")


def selected(manifest: Manifest, text: str = HOSTILE) -> Manifest:
    """The same with a report of selection, all of whose texts are ``text``."""
    portrait: dict[str, Any] = {"records": 9, "vendi": 3.5, "cluster_entropy": 0.5, "neighbour_95": None, "prompt_distinct_1": 0.25, "new_measure": 7, "verb_nouns": [[text, 3, [[text, 2]]]]}  # fmt: skip
    found = SelectionReport(
        steps=[
            StepCost(stage="balance", rows_before=9, rows_after=4, words_before=90, words_after=40, tokens_before=8, tokens_after=4, quality_before=0.5, quality_after=0.75),
            StepCost(stage="best", rows_before=4, rows_after=0, words_before=40, words_after=0, tokens_before=4, tokens_after=0, quality_before=0.75, quality_after=None),
        ],
        lengths=[LengthRow(owner=text, least=0, held=5, target=2), LengthRow(owner="b", least=8, held=0, target=0)],
        clusters=[ClusterRow(cluster=n, words=[text, "mill"] if n else [], held=n, kept=n // 2) for n in range(30)],
        benchmarks=[
            BenchmarkRow(benchmark=text, items=9, found=2, fields={"question": 2}, dropped={"a_b": 3}, examples=[text], misses=[text]),
            BenchmarkRow(benchmark="clean", items=5, found=0, fields={}, dropped={}, examples=[], misses=[]),
        ],
        portrait=[portrait, portrait | {"vendi": 4, "neighbour_95": 0.9, "verb_nouns": []}],
        missing={"ifd": text},
    )  # fmt: skip
    recipe = manifest.recipe | {"balance": {"by": "answer_words", "per": "source"}}
    return manifest.model_copy(update={"selection": found, "recipe": recipe})


def shown(text: str) -> str:
    """What a reader sees: tags gone, blanks as one."""
    return re.sub(r"\s+", " ", " ".join(Page(text).texts))


@pytest.fixture(params=["quickstart", "hostile", "selected"])
def text(request: pytest.FixtureRequest) -> str:
    if request.param == "selected":
        return render(selected(request.getfixturevalue("hostile").manifest))
    release: Published = request.getfixturevalue(request.param)
    return (release.path / "report.html").read_text(encoding="utf-8")


def test_it_stands_alone(text: str):
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "image",
        "use",
    }
    for tag, attributes in page.tags:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("src", "style", "srcset", "xlink:href")
        ]
        if "href" in attributes:
            assert tag == "a"
            assert re.fullmatch(r"#[a-z]+", attributes["href"] or "")
    css = "".join(re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL))
    assert "url(" not in css
    assert "@import" not in css
    assert "default-src 'none'" in text


def test_links_lead_to_sections(text: str):
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"] for tag, attributes in page.tags if tag == "a"} <= {f"#{one}" for one in ids}


def test_lengths_are_inside_their_charts(text: str):
    for tag, attributes in Page(text).tags:
        if tag == "rect" and (attributes.get("width") or "").endswith("%"):
            end = float((attributes.get("x") or "0%").removesuffix("%")) + float(
                (attributes["width"] or "").removesuffix("%")
            )
            assert end <= 100.01


def test_hostile_texts_are_text(text: str):
    assert all(char.isprintable() or char == "\n" for char in text)
    for raw in ("<script", "<img", "onerror=alert(1)>", "\x1b", "\u202e"):
        assert raw not in text


def test_hostile_names_are_shown_as_they_are(hostile: Published):
    given = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    page = shown(render(selected(hostile.manifest)))
    for place in (f"version 1.0.0 {given}", f"{given.replace('/', '')}.jsonl", f"{given} 3"):
        assert place in page, place
    assert page.count(given) >= 10
    assert html.escape("<script>") in render(hostile.manifest)


def test_numbers_are_those_of_the_manifest(quickstart: Published):
    page = shown((quickstart.path / "report.html").read_text(encoding="utf-8"))
    manifest = quickstart.manifest
    assert "200 records read, from 8 sources" in page
    assert "120 records kept, 60 % of them" in page
    assert "3 rows in quarantine" in page
    for name, one in manifest.sources.items():
        assert f"{name} {one.kept} of {one.records} {percent(one.kept, one.records)} kept" in page
        assert all(file.sha256 in page for file in one.files)
    for rule in {rule for one in manifest.sources.values() for rule in one.dropped}:
        assert f"{rule} {sum(one.dropped.get(rule, 0) for one in manifest.sources.values())}" in page
    for file in manifest.files:
        assert (file.sha256 in page) == (file.path != "report.html")  # a page cannot hold its own digest
    assert manifest.recipe_digest in page


def test_stages_add_up(quickstart: Published):
    page = shown((quickstart.path / "report.html").read_text(encoding="utf-8"))
    left = [int(one) for one in re.findall(r"(\d+) −\d+, [\d.]+ % of before", page)]
    assert left == [199, 195, 188, 120]
    for stage in ("decontaminate", "balance", "diversity", "best"):
        assert LOOKS[stage].said not in page


def test_the_same_manifest_gives_the_same_page(quickstart: Published):
    manifest = quickstart.manifest
    before = [file for file in manifest.files if file.path != "report.html"]
    assert render(manifest.model_copy(update={"files": before})) == (quickstart.path / "report.html").read_text("utf-8")


def test_sections_of_selection_appear_with_it(quickstart: Published, hostile: Published):
    plain, full = (shown(render(one)) for one in (quickstart.manifest, selected(hostile.manifest)))
    for heading in (
        "Selection, step by step",
        "Clusters",
        "Diversity, before and after",
        "Not found at all",
        "Balance",
    ):
        assert heading not in plain
        assert heading in full
    assert "on an axis from 0.5 to 0.75" in full
    assert "The other 10" in full
    assert "new measure" in full
    assert "at most 3 words in the answers. tasks coding." in full


def test_every_stage_has_a_look_of_its_own():
    assert list(LOOKS) == ["filter", *STAGES.values()]
    assert len({one.colour for one in LOOKS.values()} | {KEPT}) == len(LOOKS) + 1


def test_a_release_of_many_files_is_cut(quickstart: Published):
    manifest = quickstart.manifest
    one = manifest.files[0]
    many = manifest.model_copy(update={"files": [one.model_copy(update={"path": f"data/{n}"}) for n in range(1300)]})
    page = render(many)
    assert page.count(one.sha256) == MOST_FILES
    assert "1,100 more, in manifest.json" in page


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (9_999, "9,999"), (10_300, "10.3 k"), (501_000, "501 k"), (1_510_926, "1.5 M"), (2 * 10**12, "2.0 T")],
)
def test_short_numbers(value: int, said: str):
    assert short(value) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 5, "0 %"), (5, 5, "100 %"), (1, 0, "0 %"), (1, 10**6, "< 0.01 %"), (999_999, 10**6, "> 99.9 %"), (1, 2000, "0.05 %"), (1, 3, "33.3 %")],
)  # fmt: skip
def test_shares(part: int, whole: int, said: str):
    assert percent(part, whole) == said


def test_sizes():
    assert [size(n) for n in (0, 1023, 1024, 5 << 20, 3 << 30)] == ["0 B", "1,023 B", "1.0 KiB", "5.0 MiB", "3.0 GiB"]
