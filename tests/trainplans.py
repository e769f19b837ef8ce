"""Lengths for tests of the plan: made by NumPy from a seed, or drawn by Hypothesis."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from trainer.plan.lengths import Lengths
from trainer.plan.settings import PlanSettings


def lengths_of(
    tokens: Any, source: Any = None, stage: Any = None, group: Any = None, sources: tuple[str, ...] = ("a",)
) -> Lengths:
    """Two thirds of each row are supervised."""
    tokens = np.asarray(tokens, np.int32)
    zeros = np.zeros(len(tokens))
    supervised = np.where(tokens > 0, tokens * 2 // 3 + 1, 0).clip(max=np.maximum(tokens - 1, 0)).astype(np.int32)
    return Lengths(
        tokens,
        supervised,
        supervised.astype(np.float64),
        np.asarray(zeros if source is None else source, np.int16),
        sources,
        np.asarray(zeros if stage is None else stage, np.int16),
        np.asarray(zeros if group is None else group, np.int32),
    )


def lognormal(rows: int, capacity: int = 4096, median: float = 350, group_rows: int = 2000, seed: int = 0) -> Lengths:
    """The lengths of training.md 2.4, in row groups of ``group_rows``, of two sources and three stages."""
    rng = np.random.default_rng(seed)
    tokens = np.clip(rng.lognormal(np.log(median), 0.9, rows), 8, capacity)
    stage = np.arange(rows) * 3 // max(rows, 1)
    source = rng.random(rows) < 0.3
    return lengths_of(tokens, source, stage, np.arange(rows) // group_rows, ("a", "b"))


@st.composite
def some_lengths(draw: st.DrawFn, capacity: int = 64, least: int = 1) -> Lengths:
    """Up to 150 rows of up to ``capacity`` tokens, some out, of up to three sources; stages as releases order them."""
    rows = draw(st.integers(least, 150))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    longest = draw(st.integers(2, capacity))
    tokens = rng.integers(2, longest + 1, rows)
    tokens[rng.random(rows) < draw(st.sampled_from([0.0, 0.1, 0.9]))] = 0
    if not tokens.any():
        tokens[draw(st.integers(0, rows - 1))] = longest
    sources = tuple("abc"[: draw(st.integers(1, 3))])
    source = rng.integers(0, len(sources), rows)
    stage = np.sort(rng.integers(0, draw(st.integers(1, 4)), rows))
    group = np.arange(rows) // draw(st.integers(1, 40))
    return lengths_of(tokens, source, stage, group, sources)


@st.composite
def some_settings(draw: st.DrawFn, capacity: int = 64) -> PlanSettings:
    streams = draw(st.sampled_from([1, 2, 4]))
    return PlanSettings(
        seed=draw(st.integers(0, 2**63 - 1)),
        capacity=capacity,
        packs_per_step=streams * draw(st.integers(1, 4)),
        streams=streams,
        window=draw(st.integers(1, 40)),
        block=draw(st.integers(1, 30)),
        epochs=draw(st.integers(1, 3)),
        curriculum=draw(st.booleans()),
        documents=draw(st.integers(1, 6)),
    )
