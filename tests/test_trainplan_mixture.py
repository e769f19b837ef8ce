"""Mixtures keep their shares of supervised tokens at every moment, and end as they are told to."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import GristmillError
from tests.trainplans import lengths_of, lognormal, some_lengths, some_settings
from trainer.plan.lengths import Lengths
from trainer.plan.plan import Plan, PlanSettings, make_plan

SETTINGS = PlanSettings(seed=0, capacity=4096, packs_per_step=8, streams=4)


def by_pack(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Supervised tokens and source of each pack; a pack has one source."""
    lengths, starts = plan.lengths, plan.contents.starts
    source = lengths.source[plan.contents.rows]
    first = source[starts[:-1]]
    assert (source == np.repeat(first, np.diff(starts))).all()
    return plan.contents.sums(lengths.supervised), first


def worst(plan: Plan, shares: dict[str, float]) -> float:
    """By how much a source misses its share at worst, over what half a pack of each source allows."""
    mass, source = by_pack(plan)
    most = [mass[source == code].max(initial=0) for code in range(len(plan.lengths.sources))]
    found = 0.0
    for code, name in enumerate(plan.lengths.sources):
        share = shares.get(name, 0.0)
        served = np.cumsum(np.where(source == code, mass, 0))
        miss = np.abs(served - share * np.cumsum(mass)).max()
        found = max(found, miss / (most[code] / 2 + share * sum(most) / 2 + 1e-6))
    return found


@pytest.mark.parametrize("share", [0.5, 0.1, 0.9])
def test_shares_hold_all_the_time(share: float):
    shares = {"a": share, "b": 1 - share}
    settings = replace(SETTINGS, mixture=tuple(shares.items()), max_epochs=10)
    plan = make_plan(lognormal(20_000), settings, "release")
    assert worst(plan, shares) <= 1
    for one in plan.summary().sources:
        assert one.share == pytest.approx(shares[one.source], abs=1e-3)


@given(some_lengths(), some_settings(), st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_shares_hold_with_any_sources_until_one_ends(lengths: Lengths, settings: PlanSettings, parts: list[int]):
    there = [
        name for code, name in enumerate(lengths.sources) if (lengths.supervised[lengths.source == code] > 0).any()
    ]
    shares = {name: float(part) for name, part in zip(there, parts)}
    shares = shares if sum(shares.values()) else dict.fromkeys(there, 1.0)
    shares = {name: part / sum(shares.values()) for name, part in shares.items()}
    mixture = tuple(shares.items())
    plan = make_plan(lengths, replace(settings, mixture=mixture, exhausted="stop", max_epochs=3), "release")
    assert worst(plan, shares) <= 1
    seen = np.bincount(plan.contents.rows, minlength=len(lengths))
    for code, name in enumerate(lengths.sources):
        mine = (lengths.source == code) & (lengths.tokens > 0)
        if not shares.get(name):
            assert not seen[mine].any()
        else:  # no row twice before every other once
            assert seen[mine].max() <= 3
            assert seen[mine].max() - seen[mine].min() <= 1


def test_a_mixture_is_as_long_as_its_sources():
    settings = replace(SETTINGS, mixture=(("a", 0.5), ("b", 0.5)), epochs=2)
    lengths = lognormal(20_000)
    plan = make_plan(lengths, settings, "release")
    total = 2 * int(lengths.supervised.sum())
    assert total <= plan.summary().supervised < total + 4096


def test_others_go_on_when_a_source_ends():
    mixture = (("a", 0.2), ("b", 0.4), ("c", 0.4))
    rng = np.random.default_rng(0)
    source = np.repeat([0, 1, 2], [8000, 500, 8000])
    lengths = lengths_of(rng.integers(50, 500, len(source)), source, sources=("a", "b", "c"))
    plan = make_plan(lengths, replace(SETTINGS, mixture=mixture, max_epochs=2, epochs=1), "release")
    seen = {one.source: one for one in plan.summary().sources}
    assert seen["b"].epochs == 2
    mass, code = by_pack(plan)
    last = np.flatnonzero(code == 1)[-1]
    rest, kinds = mass[last + 1 :], code[last + 1 :]
    assert rest[kinds == 0].sum() / rest.sum() == pytest.approx(1 / 3, abs=0.02)  # as 0.2 is to 0.4
    stopped = make_plan(lengths, replace(SETTINGS, mixture=mixture, max_epochs=2, exhausted="stop"), "release")
    assert stopped.pack_count == pytest.approx(last + 1, abs=2)
    assert stopped.summary().sources[1].epochs == 2


def test_a_mixture_by_steps():
    settings = replace(SETTINGS, mixture=(("a", 0.5), ("b", 0.5)), steps=30)
    plan = make_plan(lognormal(20_000), settings, "release")
    assert plan.steps == 30
    assert plan.pack_count == 240


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mixture": (("a", 0.5), ("bb", 0.5))}, "no source 'bb'; did you mean 'b'?"),
        ({"mixture": (("a", 0.5), ("empty", 0.5))}, "source empty has no row that can be trained on"),
        ({"mixture": (("a", 0.5), ("b", 0.5)), "steps": 10_000}, "raise max_epochs"),
    ],
)
def test_what_cannot_be_mixed_is_told(change: dict, sentence: str):
    made = lognormal(500)
    lengths = replace(made, sources=("a", "b", "empty"))
    with pytest.raises(GristmillError, match=sentence.replace("?", r"\?")):
        make_plan(lengths, replace(SETTINGS, **change), "release")


def test_shares_that_are_none_are_refused():
    with pytest.raises(GristmillError, match="add up to 1"):
        replace(SETTINGS, mixture=(("a", 0.5), ("b", 0.4)))
