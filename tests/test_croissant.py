"""``croissant.json``: every column, every shard, splits by the shards' names; valid where mlcroissant is installed."""

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from pipelines.croissant import CONTEXT, SPLIT_OF_PATH, croissant, licences
from schemas.record import MESSAGE, RELEASE
from tests.recipes import Published, Row, chat, run, write_recipe
from transforms.shards import file_digest

HOSTILE = '"quoted" </script> \\ \u202e \x00 {"@id": "x"} 磨坊\n'


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Published:
    return run(repo / "examples" / "quickstart" / "recipe.yaml", tmp_path_factory.mktemp("croissant"))


@pytest.fixture(scope="module")
def made(quickstart: Published) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads((quickstart.path / "croissant.json").read_bytes())
    return content


def fields(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Fields of the records and their sub-fields, by @id."""
    found: dict[str, dict[str, Any]] = {}
    waiting = list(made["recordSet"][1]["field"])
    while waiting:
        one = waiting.pop()
        assert one["@id"] not in found
        found[one["@id"]] = one
        waiting += one.get("subField", [])
    return found


def test_it_is_what_the_manifest_gives(quickstart: Published, made: dict[str, Any]):
    assert made == croissant(quickstart.manifest)
    (listed,) = [file for file in quickstart.manifest.files if file.path == "croissant.json"]
    assert (listed.bytes, listed.sha256) == file_digest(quickstart.path / "croissant.json")


def test_what_it_says_of_the_whole(quickstart: Published, made: dict[str, Any]):
    assert made["@context"] == CONTEXT
    assert made["@type"] == "sc:Dataset"
    assert made["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert (made["name"], made["version"]) == ("quickstart", "1.0.0")
    assert made["description"] == quickstart.manifest.description
    assert made["license"] == ["https://spdx.org/licenses/Apache-2.0.html"]
    assert not {"datePublished", "dateCreated", "dateModified"} & set(made)  # content alone decides the bytes


def test_every_shard_and_nothing_else(quickstart: Published, made: dict[str, Any]):
    files = [one for one in made["distribution"] if one["@type"] == "cr:FileObject"]
    shards = sorted((quickstart.path / "data").iterdir())
    assert [one["contentUrl"] for one in files] == [f"data/{path.name}" for path in shards]
    for one, path in zip(files, shards, strict=True):
        size, digest = file_digest(path)
        assert (one["contentSize"], one["sha256"]) == (f"{size} B", digest)
        assert one["encodingFormat"] == "application/x-parquet"


def test_every_column_with_its_type(made: dict[str, Any]):
    found = fields(made)
    assert [one["name"] for one in made["recordSet"][1]["field"]] == ["split", *RELEASE.names]
    kinds = {"sc:Text": pa.types.is_string, "sc:Integer": pa.types.is_integer, "sc:Boolean": pa.types.is_boolean}
    for column in RELEASE:
        one = found[f"records/{column.name}"]
        assert bool(one.get("repeated")) == pa.types.is_list(column.type)
        if "dataType" in one:
            assert kinds.get(one["dataType"], pa.types.is_floating)(column.type)
            assert one["source"]["extract"] == {"column": column.name}
    for column in ("messages", "chosen", "rejected"):
        inner = found[f"records/{column}"]["subField"]
        assert [one["name"] for one in inner] == [MESSAGE.field(n).name for n in range(MESSAGE.num_fields)]
    assert found["records/messages/role"]["source"]["transform"] == {"jsonPath": "role"}
    assert found["records/messages/tool_calls"]["repeated"]
    assert found["records/messages/tool_calls/function/arguments"]["dataType"] == "sc:Text"
    assert found["records/provenance/index"]["dataType"] == "sc:Integer"


def test_references_lead_somewhere(made: dict[str, Any]):
    known = {one["@id"] for one in made["distribution"]} | set(fields(made)) | {"splits/name"}
    for one in fields(made).values():
        if "source" in one:
            assert one["source"]["fileSet"]["@id"] in known
    assert fields(made)["records/split"]["references"] == {"field": {"@id": "splits/name"}}


def test_splits(quickstart: Published, made: dict[str, Any]):
    assert made["recordSet"][0]["data"] == [{"splits/name": "train"}, {"splits/name": "validation"}]
    for path in (quickstart.path / "data").iterdir():
        for shown in (path.name, f"data/{path.name}", str(path)):
            match = re.match(SPLIT_OF_PATH, shown)
            assert match
            assert match[1] == path.name.split("-")[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["MIT", "mit", "apache-2.0"],
            ["https://spdx.org/licenses/Apache-2.0.html", "https://spdx.org/licenses/MIT.html"],
        ),
        ([" CC-BY-SA-3.0 "], ["https://spdx.org/licenses/CC-BY-SA-3.0.html"]),
        (["ask us", None], ["ask us", "unknown"]),
        ([HOSTILE], [HOSTILE]),
        ([], ["unknown"]),
    ],
)
def test_licences(quickstart: Published, given: list[str | None], said: list[str]):
    account = quickstart.manifest.sources["dolly"]
    sources = {f"s{n}": account.model_copy(update={"license": name}) for n, name in enumerate(given)}
    assert licences(quickstart.manifest.model_copy(update={"sources": sources})) == said


def test_a_source_that_gave_nothing_binds_nobody(quickstart: Published):
    account = quickstart.manifest.sources["dolly"].model_copy(update={"kept": 0, "license": "secret"})
    made = quickstart.manifest.model_copy(update={"sources": quickstart.manifest.sources | {"dolly": account}})
    assert licences(made) == ["https://spdx.org/licenses/Apache-2.0.html"]


def test_hostile_texts_stay_texts(tmp_path: Path):
    rows: list[Row] = [chat(f"question {number}", f"answer {number}") for number in range(5)]
    text = HOSTILE.replace("\x00", "")
    recipe = write_recipe(
        tmp_path, {"a": {"x.jsonl": rows}}, {"a": {"license": text, "language": text}}, description=text
    )
    made = orjson.loads((run(recipe, tmp_path / "out").path / "croissant.json").read_bytes())
    assert (made["description"], made["license"], made["inLanguage"]) == (text, [text], [text])


def test_mlcroissant_reads_the_release(quickstart: Published, tmp_path: Path):
    mlcroissant = pytest.importorskip("mlcroissant")
    shutil.copytree(quickstart.path, tmp_path / "release")
    opened = mlcroissant.Dataset(jsonld=str(tmp_path / "release" / "croissant.json"))
    assert not opened.metadata.ctx.issues.errors
    rows = list(opened.records("records"))
    counts = Counter(row["records/split"].decode() for row in rows)
    assert counts == {name: one.rows for name, one in quickstart.manifest.splits.items()}
    ours = {row["id"]: row for name in counts for row in quickstart.rows(name)}
    for row in rows:
        said = ours[row["records/id"].decode()]
        contents = [one["records/messages/content"] for one in row["records/messages"]]
        assert [None if one is None else one.decode() for one in contents] == [
            one["content"] for one in said["messages"]
        ]
        assert row["records/words"] == said["words"]
