"""Filter ``scores``: bounds on columns of numbers, and what to do without a number."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.errors import GristmillError
from schemas.strict import validate
from transforms.annotate.quality import WEIGHTS, Quality
from transforms.filters.scores import FILTER, Settings, decide


def found(columns: dict[str, list[float | None]], **settings: Any) -> dict[str, list[bool]]:
    batch = pa.record_batch({name: pa.array(values, pa.float32()) for name, values in columns.items()})
    return {one.rule: one.failed.tolist() for one in decide(batch, validate(Settings, settings, "filters.scores"))}


def test_bounds_are_closed_and_a_missing_score_is_a_rule_of_its_own():
    assert found({"ifd": [0.3, 0.7, 1.0, None]}, ifd={"min": 0.7, "max": 0.99}) == {
        "scores.ifd.missing": [False, False, False, True],
        "scores.ifd.min": [True, False, False, False],  # float32(0.7) is below 0.7; four decimals are compared
        "scores.ifd.max": [False, False, True, False],
    }
    assert found({"ifd": [0.3, None]}, ifd={"min": 0.7, "missing": "keep"}) == {"scores.ifd.min": [True, False]}


def test_quality_is_weighed_when_deciding():
    columns: dict[str, list[float | None]] = {f"quality_{name}": [1.0, 1.0, None] for name in WEIGHTS}
    columns["quality_form"] = [1.0, 0.1, None]
    assert found(columns, quality={"min": 0.9})["scores.quality.min"] == [False, True, False]
    assert found(columns, quality={"min": 0.9}, weights={"form": 0})["scores.quality.min"] == [False, False, False]
    assert found(columns, quality={"min": 0.9})["scores.quality.missing"] == [False, False, True]
    assert found(columns, quality_form={"min": 0.5})["scores.quality_form.min"] == [False, True, False]


def test_measured_values_are_reported():
    batch = pa.record_batch({"judge": pa.array([4.5, 2.0], pa.float32())})
    rule = list(decide(batch, validate(Settings, {"judge": {"min": 4.5}}, "filters.scores")))[1]
    assert (rule.rule, rule.value.tolist(), rule.threshold) == ("scores.judge.min", [4.5, 2.0], 4.5)


def test_rules_have_names_on_no_rows():
    settings = validate(Settings, {"judge": {"min": 4}, "quality": {"min": 0.5}}, "filters.scores")
    empty = pa.record_batch({"id": pa.array([], pa.binary(16))})
    assert [one.rule for one in decide(empty, settings)] == [
        "scores.quality.missing", "scores.quality.min", "scores.judge.missing", "scores.judge.min"
    ]  # fmt: skip
    assert list(decide(empty, Settings())) == []


def test_only_quality_is_computed_for_the_asking():
    assert FILTER.needs(validate(Settings, {"quality": {"min": 0.5}}, "here")) == (Quality(),)
    assert FILTER.needs(validate(Settings, {"quality_form": {"min": 0.5}}, "here")) == (Quality(),)
    assert FILTER.needs(validate(Settings, {"judge": {"min": 5}}, "here")) == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"judge": {}}, "give min, max or both"),
        ({"judge": {"min": 2, "max": 1}}, r"min 2.0 is above max 1.0"),
        ({"judgement": {"min": 2}}, "did you mean 'judge'"),
        ({"judge": {"least": 2}}, "unknown key"),
        ({"judge": {"min": float("nan")}}, "finite"),
        ({"weights": {"length": 1}}, "is no component of quality"),
        ({"weights": dict.fromkeys(WEIGHTS, 0)}, "all are 0"),
        ({"weights": {"form": -1}}, "greater than or equal to 0"),
    ],
)
def test_mistakes_are_sentences(settings: dict[str, Any], said: str):
    with pytest.raises(GristmillError, match=said):
        validate(Settings, settings, "filters.scores")


def test_a_score_that_nobody_computed_stops_the_run():
    batch = pa.record_batch({"id": pa.array([bytes(16)], pa.binary(16))})
    with pytest.raises(GristmillError, match="no such score was computed"):
        list(decide(batch, validate(Settings, {"judge": {"min": 4}}, "here")))


def test_every_component_can_be_bounded():
    assert {f"quality_{name}" for name in WEIGHTS} <= set(Settings.model_fields)
    assert np.isnan(next(iter(decide(pa.record_batch({"ifd": pa.array([None], pa.float32())}), validate(Settings, {"ifd": {"max": 1}}, "x")))).value).all()  # fmt: skip
