"""The whole main job again, in plain Python over dicts: what the Beam pipeline must equal.

Written from the documents, not from the code: records in a list, every pair looked at, fractions for numbers. Shared
with the product are only the leaf kernels that have tests of their own: words, window hashes, signatures, band keys.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from schemas.recipe import Mix, Recipe
from schemas.source import Source
from transforms.lsh import band_keys, solve_bands
from transforms.minhash import signatures
from transforms.shingles import shingle_hash
from transforms.words import words_of

U64 = 2**64
TRUST = {"human": 0, "mixed": 1, None: 2, "synthetic": 3}
SIZES = ("rows", "turns", "words", "characters")


class RefusedError(Exception):
    """The run must stop; the text says at which rule."""


@dataclass
class Record:
    """One record on its way; the first block is input, the rest is what became of it."""

    source: str
    file: str
    index: int
    messages: list[dict[str, str]]
    row_origin: str | None
    address: int

    stage: str | None = None  # that dropped it
    rule: str | None = None
    value: float | None = None
    threshold: float | None = None
    representative: str | None = None
    copies: int = 1
    split: str | None = None
    measured: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        text = json.dumps({"messages": self.messages}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def text(self, answers: bool | None = None) -> list[str]:
        return [m["content"] for m in self.messages if answers is None or (m["role"] == "assistant") is answers]

    def side(self, compare: str) -> list[str]:
        return self.text({"whole": None, "prompt": False, "response": True}[compare])

    def drop(
        self, rule: str, value: float, threshold: float, by: "Record | None" = None, stage: str = "filter"
    ) -> None:
        self.stage, self.rule, self.value, self.threshold = stage, rule, float(value), float(threshold)
        self.representative = by.id if by else None


@dataclass
class Result:
    """``records`` in address order with their verdicts; released rows by split, in order."""

    records: list[Record]
    released: dict[str, list[tuple[Record, int]]]
    left: dict[str, dict[str, Counter[str]]]  # by source and stage: what was still in
    mix: dict[str, tuple[int, int, int, int]]  # asked, available, target, got


def expected(recipe: Recipe, inputs: Mapping[str, Mapping[str, list[Any]]]) -> Result:
    """What a run of ``recipe`` over ``inputs`` (source → file → rows in the messages shape, or bytes) must give.

    Raises:
        RefusedError: the run must stop instead.
    """
    records: list[Record] = []
    for source in sorted(inputs):
        for file in sorted(inputs[source]):
            for index, row in enumerate(inputs[source][file]):
                if not isinstance(row, bytes):
                    records.append(Record(source, file, index, row["messages"], row.get("origin"), len(records)))
    left: dict[str, dict[str, Counter[str]]] = {source: {} for source in inputs}

    def count(stage: str) -> None:
        for source in inputs:
            mine = [one for one in records if one.source == source and one.rule is None]
            left[source][stage] = Counter({name: sum(one.measured[name] for one in mine) for name in SIZES})

    for one in records:
        one.measured = measure(one)
    count("ingest")
    for one in records:
        filter_record(one, recipe)
    count("filter")
    drop_copies(records, recipe)
    count("exact_dedup")
    drop_near(records, recipe)
    count("near_dedup")
    if all(one.rule for one in records):
        raise RefusedError("no record is left")
    table = choose(records, recipe)
    if not any(one.copies for one in records):
        raise RefusedError("the mix takes nothing")
    for source in inputs:
        taken = [one for one in records if one.source == source and one.rule is None]
        left[source]["released"] = Counter({n: sum(one.measured[n] * one.copies for one in taken) for n in SIZES})
    return Result(records, order(records, recipe), left, table)


def measure(one: Record) -> dict[str, int]:
    words = [len(words_of(text)) for text in one.text()]
    return {
        "rows": 1,
        "turns": len(one.text(answers=True)),
        "words": sum(words),
        "characters": sum(len(text) for text in one.text()),
        "answer_words": sum(len(words_of(text)) for text in one.text(answers=True)),
        "answer_characters": sum(len(text) for text in one.text(answers=True)),
    }


def filter_record(one: Record, recipe: Recipe) -> None:
    filters = recipe.filters if recipe.filters is not None else {"empty": {}}
    for name in filters:
        if one.rule is None and name == "empty":
            blank = sum(m["role"] in ("user", "assistant") and not m["content"].strip() for m in one.messages)
            prompt = one.measured["characters"] - one.measured["answer_characters"]
            if blank:
                one.drop("empty.blank_turns", blank, 0)
            elif one.measured["answer_characters"] == 0:
                one.drop("empty.answer_characters", 0, 1)
            elif prompt == 0:
                one.drop("empty.prompt_characters", 0, 1)
        if name == "length":
            for measure_name in ("characters", "words", "answer_characters", "answer_words", "turns"):
                bounds = filters[name].get(measure_name, {})
                value = one.measured[measure_name]
                if one.rule is None and value < bounds.get("min", value):
                    one.drop(f"length.{measure_name}.min", value, bounds["min"])
                if one.rule is None and value > bounds.get("max", value):
                    one.drop(f"length.{measure_name}.max", value, bounds["max"])


def survivor(one: Record, recipe: Recipe) -> tuple[Any, ...]:
    """Smaller stays."""
    source: Source = recipe.sources[one.source]
    answer = one.measured["answer_characters"]
    criteria = {
        "origin": TRUST[one.row_origin or source.origin],
        "priority": source.priority,
        "longest": -answer,
        "shortest": answer,
    }
    return (*(criteria[name] for name in recipe.dedup.keep), one.id, one.address)


def drop_copies(records: list[Record], recipe: Recipe) -> None:
    exact = recipe.dedup.exact
    if exact is None:
        return
    first: dict[Any, Record] = {}
    for one in sorted((one for one in records if one.rule is None), key=lambda one: survivor(one, recipe)):
        roles = [m["role"] for m in one.messages] if exact.compare == "whole" else []
        key = (tuple(roles), tuple(" ".join(text.lower().split()) for text in one.side(exact.compare)))
        stays = first.setdefault(key, one)
        if stays is not one:
            one.drop(f"exact.{exact.compare}", 1, 1, stays, "exact_dedup")


def drop_near(records: list[Record], recipe: Recipe) -> None:
    near = recipe.dedup.near
    if near is None:
        return
    alive = [one for one in records if one.rule is None]
    windows: dict[int, set[tuple[str, ...]]] = {}
    for one in alive:
        words = [word for text in one.side(near.compare) for word in words_of(text)]
        windows[one.address] = {tuple(words[i : i + near.shingle]) for i in range(len(words) - near.shingle + 1)}
    said = {one.address: {word for text in one.side("response") for word in words_of(text)} for one in alive}
    alive = [one for one in alive if windows[one.address]]
    if not alive:
        return
    hashed = [sorted({shingle_hash([w.encode() for w in window]) for window in windows[one.address]}) for one in alive]
    signed = signatures(
        np.array([value for one in hashed for value in one], np.uint32),
        np.cumsum([0, *map(len, hashed)]),
        near.permutations,
        near.hash_seed,
    )
    bands = solve_bands(near.similarity, float(near.recall), near.permutations)
    buckets: dict[int, list[int]] = defaultdict(list)
    for place, keys in enumerate(band_keys(signed, *bands).tolist()):
        for key in keys:
            buckets[key].append(place)
    for group in connected(len(alive), buckets):
        kept: list[Record] = []
        for one in sorted((alive[place] for place in group), key=lambda one: survivor(one, recipe)):
            mine = windows[one.address]
            for stays in kept:
                other = windows[stays.address]
                similarity = len(mine & other) / len(mine | other)
                words_here, words_there = said[one.address], said[stays.address]
                shared = len(words_here & words_there) / max(len(words_here | words_there), 1)
                if similarity >= near.similarity and shared >= near.answer_similarity:
                    one.drop(f"near.{near.compare}", similarity, near.similarity, stays, "near_dedup")
                    break
            else:
                kept.append(one)


def connected(nodes: int, buckets: Mapping[int, list[int]]) -> list[list[int]]:
    """Connected components, nodes of a bucket being connected; by walking, node after node."""
    neighbours: dict[int, set[int]] = defaultdict(set)
    for bucket in buckets.values():
        for node in bucket:
            neighbours[node].update(bucket)
    seen: set[int] = set()
    groups = []
    for start in range(nodes):
        if start in seen:
            continue
        group, waiting = [], [start]
        seen.add(start)
        while waiting:
            node = waiting.pop()
            group.append(node)
            waiting += neighbours[node] - seen
            seen |= neighbours[node]
        groups.append(group)
    return groups


def choose(records: list[Record], recipe: Recipe) -> dict[str, tuple[int, int, int, int]]:
    """Targets of the mix, and who is taken how often."""
    mix = recipe.mix
    for one in records:
        one.copies = int(one.rule is None)
    if mix is None:
        return {}
    by_source = {
        name: [one for one in records if one.source == name and one.rule is None] for name in sorted(recipe.sources)
    }
    weights = {name: sum(one.measured[mix.unit] for one in mine) for name, mine in by_source.items()}
    targets = settle(weights, mix)
    table = {}
    for name, mine in by_source.items():
        asked, target = targets[name]
        mine.sort(key=lambda one: (seeded(one.id, recipe.seed, "choose"), one.address))
        repeats, rest = divmod(target, weights[name]) if weights[name] else (0, 0)
        before = [0]
        for one in mine:
            before.append(before[-1] + one.measured[mix.unit])
        extra, fitting = cut(mine, before, rest, mix.unit)
        for place, one in enumerate(mine):
            one.copies = (repeats + (place < extra or place in fitting)) * (one.measured[mix.unit] > 0)
            if one.copies == 0:
                one.stage, one.rule = "mix", "mix.target"
        got = sum(one.copies * one.measured[mix.unit] for one in mine)
        table[name] = (asked, weights[name], target, got)
    return table


def cut(mine: list[Record], before: list[int], rest: int, unit: str) -> tuple[int, set[int]]:
    """How many of the first are taken, and who of the 64 after them fits into what is left."""
    extra = before.index(max(sum_ for sum_ in before if sum_ <= rest))
    left, fitting = rest - before[extra], set()
    for place, one in list(enumerate(mine))[extra : extra + 64]:
        if 0 < one.measured[unit] <= left:
            left -= one.measured[unit]
            fitting.add(place)
    nearest = min(range(len(before)), key=lambda place: (abs(before[place] - rest), place))
    if rest and abs(before[nearest] - rest) < left:
        return nearest, set()
    return extra, fitting


def settle(available: dict[str, int], mix: Mix) -> dict[str, tuple[int, int]]:
    """(asked, target) by source: capacities are filled at the level at which they add up to the total."""
    if mix.shares is not None:
        shares = {name: mix.shares[name].value if name in mix.shares else Fraction(0) for name in available}
    elif (mix.temperature or 1) == 1 and any(available.values()):
        shares = {name: Fraction(count, sum(available.values())) for name, count in available.items()}
    else:
        raise RefusedError("nothing left")
    wanted = {name: share for name, share in shares.items() if share}
    if any(available[name] == 0 for name in wanted):
        raise RefusedError("a wanted source has nothing left")
    capacity = {name: available[name] * mix.max_epochs for name in wanted}
    limits = sorted((capacity[name] / wanted[name], name) for name in wanted)  # sizes at which a source is exhausted
    fitting = int(limits[0][0])
    total = mix.size.number if mix.size else fitting
    asked = rounded({name: share * total for name, share in shares.items()}, total)
    short = any(asked[name] > capacity[name] for name in wanted)
    if short and mix.shortfall == "stop":
        raise RefusedError("shortfall")
    if short and mix.shortfall == "shrink":
        target = rounded({name: share * fitting for name, share in shares.items()}, fitting)
    else:
        goal = min(total, sum(capacity.values()))
        parts = dict.fromkeys(available, Fraction(0))
        given, open_share = Fraction(0), Fraction(1)
        for limit, name in limits:
            level = (goal - given) / open_share  # size of a mix in which all that are left fill their shares
            if level < limit:
                break
            parts[name] = Fraction(capacity[name])
            given, open_share = given + capacity[name], open_share - wanted[name]
        for name in wanted:
            if not parts[name] and open_share:
                parts[name] = wanted[name] * (goal - given) / open_share
        target = rounded(parts, goal)
    return {name: (asked[name], target[name]) for name in available}


def rounded(parts: dict[str, Fraction], total: int) -> dict[str, int]:
    """Largest remainders are rounded up, names deciding ties."""
    whole = {name: part.numerator // part.denominator for name, part in parts.items()}
    for name in sorted(parts, key=lambda name: (-(parts[name] - whole[name]), name))[: total - sum(whole.values())]:
        whole[name] += 1
    return whole


def order(records: list[Record], recipe: Recipe) -> dict[str, list[tuple[Record, int]]]:
    """Released (record, copy) by split, in order; sets each record's split."""
    bounds, shares = [], Fraction(0)
    for name, share in recipe.release.splits.items():
        shares += share.value
        bounds.append((int(shares * U64), name))
    placed: dict[str, list[tuple[int, str, int, int, Record]]] = {
        name: [] for name in ("train", *recipe.release.splits)
    }
    for one in records:
        if one.copies:
            at = seeded(one.id, recipe.seed, "split")
            one.split = next((name for bound, name in bounds if at < bound), "train")
            # Without exact dedup equal ids stand in the release, and their addresses keep them apart.
            salt = mixed(one.address) << 64 if recipe.dedup.exact is None else 0
            by = f"{int(one.id, 16) ^ salt:032x}"
            for copy in range(one.copies):
                place = (seeded(by, recipe.seed, "order") + copy * ((U64 - 1) // one.copies)) % U64
                placed[one.split].append((place, one.id, copy, one.address, one))
    return {
        split: [(one, copy) for _, _, copy, _, one in sorted(rows, key=lambda row: row[:4])]
        for split, rows in placed.items()
    }


def seeded(record: str, seed: int, purpose: str) -> int:
    """The 64-bit number by which an id is chosen, ordered or split (the docstring of transforms.keys, in integers)."""
    high, low = int(record[:16], 16), int(record[16:], 16)
    salt = mixed(int.from_bytes(purpose.encode().ljust(8), "little") ^ mixed(seed))
    return mixed(mixed(high ^ salt) ^ low)


def mixed(value: int) -> int:
    """MurmurHash3's fmix64."""
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD % U64
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 % U64
    return value ^ (value >> 33)
