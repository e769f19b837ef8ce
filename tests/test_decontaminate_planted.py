"""Floors of precision and recall on a small planted set of real benchmark items and real rows."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks.decontamination_planted import ours, plant, shared_ngrams
from schemas.decontaminate import Decontaminate


@pytest.mark.needs_shared
def test_planted_leaks_are_found_and_near_misses_are_not(shared: Path):
    items, cases = plant(shared, per_benchmark=4, seed=1)
    found = ours(items, Decontaminate(benchmarks=["-"]))(cases)
    truth = np.array([case.leak for case in cases])
    kinds: defaultdict[str, list[bool]] = defaultdict(list)
    for case, hit in zip(cases, found.tolist(), strict=True):
        kinds[case.kind].append(hit)
    shares = {kind: float(np.mean(hits)) for kind, hits in kinds.items()}
    for kind in ("copy", "case and punctuation", "among examples", "said by the assistant", "in the template"):
        assert shares[f"{kind}, long"] == shares[f"{kind}, 13 to 19 words"] == 1, kind
        assert shares[f"{kind}, short"] >= 0.85, kind  # questions of one to four words only as whole prompts
    assert min(shares[f"{kind}, long"] for kind in ("a typing error", "a word exchanged", "a word inserted")) >= 0.9
    assert shares["all numbers changed"] == shares["template, other question"] == shares["licence, other question"] == 0
    assert truth[found].mean() >= 0.995
    assert found[truth].mean() >= 0.9
    # the rules that others use convict many questions of the same kind that are no copies
    assert truth[shared_ngrams(items, 0.5)(cases)].mean() < 0.95
