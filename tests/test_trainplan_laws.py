"""What a plan promises whatever the lengths are: every row once an epoch, the same for any ranks, nobody waits."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import GristmillError
from tests.trainplans import lengths_of, lognormal, some_lengths, some_settings
from trainer.plan.ledger import rows_of, steps_of
from trainer.plan.lengths import Lengths
from trainer.plan.plan import NONE, Plan, PlanSettings, make_plan

SMALL = PlanSettings(seed=1, capacity=64, packs_per_step=4)


def step_of(plan: Plan, step: int) -> list[list[int]]:
    return [pack.tolist() for pack in plan.packs(step)]


def gathered(plan: Plan, step: int, ranks: int, micro_batch: int) -> list[list[int]]:
    """The step put together from what every rank computes on its own."""
    slots: dict[int, list[int]] = {}
    for rank in range(ranks):
        packs = [pack.tolist() for batch in plan.owned(step, rank, ranks, micro_batch) for pack in batch]
        slots |= {slot: pack for slot, pack in zip(plan.slots(rank, ranks), packs) if slot != NONE}
    return [slots[slot] for slot in range(plan.settings.packs_per_step)]


@given(some_lengths(), some_settings())
def test_every_row_that_is_not_out_is_there_once_an_epoch(lengths: Lengths, settings: PlanSettings):
    plan = make_plan(lengths, settings, "release")
    seen = Counter(row for step in range(plan.steps) for pack in plan.packs(step) for row in pack.tolist())
    assert seen == dict.fromkeys(np.flatnonzero(lengths.tokens).tolist(), settings.epochs)
    for epoch in range(settings.epochs):  # and one epoch is over before the next begins
        packs = np.flatnonzero(plan.epochs == epoch)
        rows = plan.contents.chosen(packs).rows
        assert sorted(rows.tolist()) == np.flatnonzero(lengths.tokens).tolist()
    assert (np.diff(plan.epochs) >= 0).all()


@given(some_lengths(), some_settings())
def test_packs_hold_what_they_may(lengths: Lengths, settings: PlanSettings):
    plan = make_plan(lengths, settings, "release")
    for step in range(plan.steps):
        packs = plan.packs(step)
        assert len(packs) == settings.packs_per_step
        for pack in packs:
            assert pack.dtype == np.int64
            assert lengths.tokens[pack].sum() <= settings.capacity
            assert len(pack) <= settings.documents
            assert (np.diff(pack) > 0).all()
        assert plan.weight(step) == sum(lengths.weight[pack].sum() for pack in packs)
        assert step == plan.steps - 1 or all(len(pack) for pack in packs)  # dummies are at the very end only


@given(some_lengths(), some_settings(), st.sampled_from([1, 2, 3, 5, 8]), st.integers(1, 3))
def test_the_step_is_the_same_for_any_ranks_and_nobody_waits(
    lengths: Lengths, settings: PlanSettings, ranks: int, micro_batch: int
):
    plan = make_plan(lengths, settings, "release")
    for step in range(plan.steps):
        assert gathered(plan, step, ranks, micro_batch) == step_of(plan, step)
        shapes = {tuple(len(batch) for batch in plan.owned(step, rank, ranks, micro_batch)) for rank in range(ranks)}
        assert len(shapes) == 1
        assert set(shapes.pop()) == {micro_batch}


@given(some_lengths(), some_settings(), st.data())
def test_a_run_that_goes_on_elsewhere_sees_the_rest_and_no_more(
    lengths: Lengths, settings: PlanSettings, data: st.DataObject
):
    before = make_plan(lengths, settings, "release")
    first = data.draw(st.integers(0, before.steps))
    second = data.draw(st.integers(first, before.steps))
    whole = [step_of(before, step) for step in range(before.steps)]
    run = [gathered(before, step, 2, 1) for step in range(first)]
    after = make_plan(lengths, settings, "release")  # a new process on other machines knows no more than this
    assert after.digest == before.digest
    run += [gathered(after, step, 8, 1) for step in range(first, second)]
    again = make_plan(lengths, settings, "release")  # and once more
    run += [gathered(again, step, 3, 2) for step in range(second, again.steps)]
    assert run == whole


@given(some_lengths(), some_settings())
def test_stages_follow_one_another(lengths: Lengths, settings: PlanSettings):
    plan = make_plan(lengths, replace(settings, curriculum=True), "release")
    stages = [
        (
            int(plan.epochs[position]),
            {int(lengths.stage[row]) for row in plan.contents.chosen(np.array([position])).rows},
        )
        for position in range(plan.pack_count)
    ]
    assert all(len(held) == 1 for _, held in stages)
    order = [(epoch, max(held)) for epoch, held in stages]
    assert order == sorted(order)


@given(some_lengths(), some_settings())
def test_where_a_row_is_seen_is_computed(lengths: Lengths, settings: PlanSettings):
    plan = make_plan(lengths, settings, "release")
    everywhere: dict[int, list[tuple[int, int]]] = {row: [] for row in range(len(lengths))}
    for step in range(plan.steps):
        for entry in rows_of(plan, step):
            everywhere[entry.row].append((entry.step, entry.slot))
            assert plan.packs(step)[entry.slot][entry.place] == entry.row
            assert entry.source == lengths.sources[lengths.source[entry.row]]
    for row, places in everywhere.items():
        assert plan.find(row) == places
        assert [(entry.step, entry.slot) for entry in steps_of(plan, row)] == places


@given(some_lengths(), some_settings(), st.integers(1, 40))
def test_steps_instead_of_epochs(lengths: Lengths, settings: PlanSettings, steps: int):
    plan = make_plan(lengths, replace(settings, steps=steps), "release")
    assert plan.steps == steps
    assert plan.pack_count == steps * settings.packs_per_step
    seen = np.bincount(plan.contents.rows, minlength=len(lengths))[lengths.tokens > 0]
    assert seen.max() - seen.min() <= 1


def test_another_seed_release_or_setting_is_another_plan():
    lengths = lognormal(3000, 64, 20)
    plans = [
        make_plan(lengths, settings, identity)
        for settings, identity in [
            (SMALL, "release"),
            (SMALL, "other"),
            (replace(SMALL, seed=2), "release"),
            (replace(SMALL, packs_per_step=8), "release"),
        ]
    ]
    assert len({plan.digest for plan in plans}) == 4
    assert step_of(plans[0], 0) != step_of(plans[1], 0)
    assert step_of(plans[0], 0) != step_of(plans[2], 0)


def test_epochs_differ_and_rows_are_mixed():
    lengths = lengths_of(np.full(2000, 32), group=np.arange(2000) // 100)
    plan = make_plan(lengths, replace(SMALL, epochs=2), "release")
    once, again = np.array_split(plan.contents.rows, 2)
    assert sorted(once) == sorted(again)
    assert (once != again).mean() > 0.99
    halves = once[:1000]
    assert 450 < (halves < 1000).sum() < 550  # a fair share of the file's first half


def test_a_single_row_group_is_shuffled_anew_in_every_epoch():
    plan = make_plan(lengths_of(np.full(2000, 32)), replace(SMALL, epochs=2), "release")
    once, again = np.array_split(plan.contents.rows, 2)
    assert (once != again).mean() > 0.99
    assert (
        len(
            {tuple(one) for one in once.reshape(-1, 2).tolist()} & {tuple(one) for one in again.reshape(-1, 2).tolist()}
        )
        < 10
    )


def test_row_groups_come_in_another_order_in_every_epoch():
    lengths = lengths_of(np.full(2000, 32), group=np.arange(2000) // 20)
    plan = make_plan(lengths, replace(SMALL, epochs=2, block=20, window=20), "release")
    once, again = np.array_split(lengths.group[plan.contents.rows], 2)
    assert (once != again).mean() > 0.9


def test_streams_keep_their_slots():
    """With C | G, slot s holds rows of one stream in all stages and epochs, but for their ends: ranks read their own."""
    lengths = lognormal(60_000, group_rows=500)
    settings = PlanSettings(seed=0, capacity=4096, packs_per_step=8, streams=4, block=1000, curriculum=True, epochs=2)
    plan = make_plan(lengths, settings, "release")
    stage = np.array([lengths.stage[plan.packs(step)[0][0]] for step in range(plan.steps)])
    sizes = [int(((plan.epochs[::8] == epoch) & (stage == number)).sum()) for epoch in range(2) for number in range(3)]
    groups: list[set[int]] = [set(), set(), set(), set()]
    first = 0
    for size in sizes:
        for step in range(first + 1, first + size * 9 // 10):
            for slot, pack in enumerate(plan.packs(step)):
                groups[slot % 4] |= set(lengths.group[pack].tolist())
        first += size
    assert sum(len(one) for one in groups) == len(set.union(*groups)) == 120


@pytest.mark.parametrize("order", [[64, 5, 5], [5, 64, 5], [64], [64, 64, 64, 64, 64]])
def test_giant_rows_have_packs_alone(order: list[int]):
    plan = make_plan(lengths_of(order), SMALL, "release")
    assert plan.pack_count == order.count(64) + (5 in order)
    assert plan.steps == -(-plan.pack_count // 4)


def test_summary_counts():
    lengths = lengths_of([0, 10, 20, 0, 30], source=[0, 0, 1, 1, 1], sources=("a", "b"))
    plan = make_plan(lengths, replace(SMALL, epochs=2), "release")
    summary = plan.summary()
    assert (summary.rows, summary.packs, summary.steps, summary.dummies) == (6, 2, 1, 2)
    assert summary.tokens == 120
    assert summary.efficiency == 120 / 128
    assert [(one.source, one.rows, one.dropped, one.trained, one.epochs) for one in summary.sources] == [
        ("a", 2, 1, 2, 2.0),
        ("b", 3, 1, 4, 2.0),
    ]


def test_windows_of_4096_fill_packs():
    settings = PlanSettings(seed=0, capacity=4096, packs_per_step=32, streams=8)
    assert make_plan(lognormal(40_000), settings, "release").summary().efficiency >= 0.995


@pytest.mark.parametrize(
    ("tokens", "settings", "sentence"),
    [
        ([0, 0], SMALL, "none of the split's 2 rows is left"),
        ([], SMALL, "none of the split's 0 rows is left"),
        ([5, 65], SMALL, "row 1 has 65 tokens, and a pack holds 64"),
    ],
)
def test_what_cannot_be_planned_is_told(tokens: list[int], settings: PlanSettings, sentence: str):
    with pytest.raises(GristmillError, match=sentence):
        make_plan(lengths_of(tokens), settings, "release")


def test_settings_and_questions_are_checked():
    with pytest.raises(GristmillError, match="streams is 3, which does not divide packs_per_step, 4"):
        replace(SMALL, streams=3)
    with pytest.raises(GristmillError, match="window is 0"):
        replace(SMALL, window=0)
    plan = make_plan(lengths_of([5]), SMALL, "release")
    for question in (lambda: plan.packs(1), lambda: plan.weight(-1), lambda: plan.find(1), lambda: plan.slots(2, 2)):
        with pytest.raises(GristmillError, match="there is no"):
            question()
    assert plan.slots(1, 3) == [1, NONE]


def test_lengths_are_checked():
    good = lengths_of([5, 6])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"weight": np.array([1.0])}, "weight has shape"),
        ({"weight": np.array([1.0, np.nan])}, "weight holds nan"),
        ({"tokens": np.array([5, -1], np.int32)}, "tokens holds -1"),
        ({"source": np.array([0, 1], np.int16)}, "source 1 of 1"),
        ({"group": np.array([1, 0], np.int32)}, "order of their row groups"),
    ]
    for wrong, sentence in cases:
        with pytest.raises(GristmillError, match=sentence):
            replace(good, **wrong)
