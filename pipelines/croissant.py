"""``croissant.json``: the release in MLCommons Croissant 1.0, so that catalogues and loaders that know nothing of
Gristmill find its files, splits and columns."""

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from schemas.manifest import Manifest
from schemas.record import RELEASE, json_schema

PARQUET = "application/x-parquet"

# The context of the specification, word for word: loaders compare it key by key.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

# Identifiers of the SPDX licence list that data sets carry; another licence is given as the recipe spells it.
SPDX = {
    name.lower(): name
    for name in (
        "0BSD", "AFL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause",
        "BSD-3-Clause", "BSL-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0",
        "CC-BY-NC-4.0", "CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-2.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0",
        "CC-BY-ND-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0",
        "CDLA-Sharing-1.0", "ECL-2.0", "EPL-1.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2", "GFDL-1.3-only", "GPL-2.0-only",
        "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1-only", "LGPL-3.0-only", "MIT",
        "MPL-2.0", "MS-PL", "NCSA", "ODbL-1.0", "ODC-By-1.0", "OFL-1.1", "OSL-3.0", "PDDL-1.0", "PostgreSQL",
        "Unlicense", "WTFPL", "Zlib",
    )
}  # fmt: skip

# The name of a shard says its split; loaders match it against the path as they see it, with or without folders.
# A split's own name matches too: mlcroissant applies the pattern twice where a field refers to another.
SPLIT_OF_PATH = r"(?:.*/)?([a-z][a-z0-9_]*)(?:-[0-9]+-of-[0-9]+\.parquet)?$"


def write_croissant(manifest: Manifest, path: Path) -> None:
    """Write the description of a release whose manifest has everything but the files made from it."""
    path.write_bytes(orjson.dumps(croissant(manifest), option=orjson.OPT_INDENT_2) + b"\n")


def croissant(manifest: Manifest) -> dict[str, Any]:
    """The JSON-LD as plain Python. No date of publication, creator or address: nothing in a recipe says them."""
    shards = [file for file in manifest.files if file.path.startswith("data/")]
    splits = [name for name, one in manifest.splits.items() if one.rows]
    languages = sorted({one.language for one in manifest.sources.values() if one.language})
    facts: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "@id": f"{manifest.name}-{manifest.version}",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": manifest.name,
        "description": manifest.description or f"{manifest.name} {manifest.version}, curated with Gristmill.",
        "version": manifest.version,
        "license": licences(manifest),
    }
    if languages:
        facts["inLanguage"] = languages
    facts["distribution"] = [
        {
            "@type": "cr:FileObject",
            "@id": file.path,
            "name": file.path,
            "contentUrl": file.path,
            "contentSize": f"{file.bytes} B",
            "encodingFormat": PARQUET,
            "sha256": file.sha256,
        }
        for file in shards
    ]
    facts["distribution"].append(
        {
            "@type": "cr:FileSet",
            "@id": "shards",
            "name": "shards",
            "description": "All shards of all splits, in the folder that this description lies in.",
            "encodingFormat": PARQUET,
            "includes": "data/*.parquet",
        }
    )
    facts["recordSet"] = [_splits(splits), _records()]
    return facts


def licences(manifest: Manifest) -> list[str]:
    """Licences of the sources that gave rows: an SPDX address, or the name as the recipe spells it."""
    given = {one.license or "unknown" for one in manifest.sources.values() if one.kept}
    known = {name: SPDX.get(name.strip().lower()) for name in given or {"unknown"}}
    return sorted({f"https://spdx.org/licenses/{spdx}.html" if spdx else name for name, spdx in known.items()})


def _splits(names: list[str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The splits of the release that have rows.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": "splits/name",
                "name": "name",
                "description": "name of the split",
                "dataType": "sc:Text",
            }
        ],
        "data": [{"splits/name": name} for name in names],
    }


def _records() -> dict[str, Any]:
    texts = {name: one.get("description") for name, one in json_schema()["properties"].items()}
    split = {
        "@type": "cr:Field",
        "@id": "records/split",
        "name": "split",
        "description": "the split that the record is in, by the name of its shard",
        "dataType": "sc:Text",
        "source": {
            "fileSet": {"@id": "shards"},
            "extract": {"fileProperty": "fullpath"},
            "transform": {"regex": SPLIT_OF_PATH},
        },
        "references": {"field": {"@id": "splits/name"}},
    }
    return {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "description": "One conversation each, with where it comes from and what was measured of it.",
        "field": [split, *(_field(one, f"records/{one.name}", one.name, "", texts.get(one.name)) for one in RELEASE)],
    }


def _field(
    field: pa.Field, place: str, column: str, path: str = "", text: str | None = None, *, lists: int = 0
) -> dict[str, Any]:
    """A column or what lies in it. ``path`` leads from the column's value, or from each value of a list, down to it.

    A list inside a list (the tool calls of messages) has the source itself and its sub-fields have none: mlcroissant
    1.1 stops at a path that leads through two lists.
    """
    kind, source = field.type, lists < 2
    made: dict[str, Any] = {"@type": "cr:Field", "@id": place, "name": field.name}
    if text:
        made["description"] = text
    if pa.types.is_list(kind):
        made["repeated"] = True
        kind, lists = kind.value_type, lists + 1
    nested = pa.types.is_struct(kind)
    if nested:
        inner = [kind.field(number) for number in range(kind.num_fields)]
        names = [f"{path}.{one.name}" if path else one.name for one in inner]
        made["subField"] = [
            _field(one, f"{place}/{one.name}", column, name, lists=lists)
            for one, name in zip(inner, names, strict=True)
        ]
    else:
        made["dataType"] = _data_type(kind)
    if source and (lists == 2 or not nested):
        made["source"] = {"fileSet": {"@id": "shards"}, "extract": {"column": column}}
        if path:
            made["source"]["transform"] = {"jsonPath": path}
    if source and lists == 2:
        made["description"] = "loaders that read leaf fields alone give nulls for it; the Parquet files hold it"
    return made


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
