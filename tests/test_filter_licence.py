"""Licences: the same name in any spelling, versions and families, expressions, and rows without one."""

import pyarrow as pa
import pytest

from schemas.errors import GristmillError
from schemas.strict import validate
from tests.annotated import alone, hostile
from transforms.annotate.licence import Licence
from transforms.assemble import assemble
from transforms.filters.licence import FILTER, Settings, normalise
from transforms.records import Records


@pytest.mark.parametrize(
    ("spdx", "names"),
    {
        "mit": ["MIT", " mit ", "MIT License", "The MIT Licence", "https://opensource.org/licenses/MIT", "Expat"],
        "apache-2.0": ["Apache-2.0", "apache 2.0", "Apache License, Version 2.0", "Apache License 2.0", "apache2", "Apache Software License 2.0"],
        "cc-by-sa-3.0": ["CC-BY-SA-3.0", "CC BY-SA 3.0", "cc_by_sa_3.0", "Creative Commons Attribution-ShareAlike 3.0 Unported",
                         "https://creativecommons.org/licenses/by-sa/3.0/"],
        "cc-by-nc-4.0": ["CC BY NC 4.0", "Creative Commons Attribution-NonCommercial 4.0 International", "cc-by-nc-4.0"],
        "cc0-1.0": ["CC0", "CC0-1.0", "CC0 1.0 Universal", "http://creativecommons.org/publicdomain/zero/1.0/"],
        "gpl-3.0": ["GPL-3.0-only", "gpl-3.0-or-later", "GPLv3", "GPL v3.0"],
        "": ["", "unknown", "Other", "N/A", "none", "see README"],
    }.items(),
)  # fmt: skip
def test_spellings(spdx: str, names: list[str]):
    assert [normalise(name) for name in names] == [spdx] * len(names)


def decided(licence: str | None, **plain: object) -> set[str]:
    features = pa.record_batch({"licence": pa.array([licence], pa.string())})
    findings = FILTER.decide(features, validate(Settings, plain, "filters.licence"))
    return {finding.rule.removeprefix("licence.") for finding in findings if finding.failed[0]}


@pytest.mark.parametrize(
    ("licence", "allow", "kept"),
    [
        ("MIT License", ["mit"], True), ("CC BY 4.0", ["CC-BY"], True), ("CC BY 4.0", ["CC-BY-4.0"], True), ("CC BY 3.0", ["CC-BY-4.0"], False),
        ("CC-BY-NC-4.0", ["CC-BY"], False), ("CC-BY-SA-3.0", ["CC-BY"], False), ("MIT OR GPL-3.0", ["MIT"], True), ("MIT AND GPL-3.0", ["MIT"], False),
        ("MIT and Apache-2.0", ["MIT", "apache"], True), ("proprietary", ["MIT"], False), ("MITx", ["MIT"], False),
    ],
)  # fmt: skip
def test_the_list_decides(licence: str, allow: list[str], kept: bool):
    assert decided(licence, allow=allow) == (set() if kept else {"not_allowed"})
    assert decided(licence) == set()


def test_unknown_licences_and_denied_ones():
    for none in (None, "", "other"):
        assert decided(none, allow=["MIT"]) == {"unknown"}
        assert decided(none, allow=["MIT"], unknown="keep") == decided(none) == decided(none, deny=["GPL"]) == set()
    assert decided("GPL-3.0", deny=["gpl"]) == {"denied"}
    assert decided("MIT", deny=["GPL"]) == set()


def test_the_row_says_it_and_zero_rows_have_rules():
    made = [{"messages": [{"role": "assistant", "content": "x"}], "license": licence} for licence in ("MIT", None)]
    assert Licence()(Records(assemble(made, [0, 1], [0, 0])))["licence"].to_pylist() == ["MIT", None]
    none = pa.RecordBatch.from_pylist([], schema=Licence().schema)
    settings = Settings(allow=["MIT"], deny=["GPL"])
    assert [finding.rule for finding in FILTER.decide(none, settings)] == [
        "licence.not_allowed",
        "licence.unknown",
        "licence.denied",
    ]
    assert alone(FILTER, hostile())


def test_mistakes_are_named():
    with pytest.raises(GristmillError, match="names no licence"):
        validate(Settings, {"allow": ["other"]}, "filters.licence")
