"""Every row of a split rendered, tokenised and checked once, before anything is trained: lengths, and what is left out.

The plan is made from the lengths. A row that the template refuses, that teaches nothing or that does not hold what
masks promise is left out and counted; too many of them in one source stop the run here, with the first one's reason.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.chat.render import Renderer
from schemas.chat.template import TEMPLATES_VERSION, Refusal
from trainer.cache import Cached, key_of, load, save
from trainer.checks import Rendered, checks_of, render
from trainer.outcome import TRAINED, Fate, First, Preflight
from trainer.plan.lengths import Lengths
from trainer.pool import ordered
from trainer.shards import CONVERSATION, Shards, conversations
from trainer.truncate import Overlong, cut, whole_turns
from trainer.weights import Weighting, targets

# Raise it when the same rows give other columns.
PREFLIGHT_VERSION = 1

SAMPLE = 2000  # rows of a split that the slow judge looks at, picked by their ids
_CHUNK = 1024  # rows rendered together; results do not depend on it

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]  # rows done, rows of the split


@dataclass(frozen=True)
class Settings:
    """What a worker needs besides rows. ``threshold``: ids whose hash is below it go to the judge, of 2^32."""

    renderer: Renderer
    capacity: int
    overlong: Overlong
    weighting: Weighting
    threshold: int


class Chunk(NamedTuple):
    """Rows that were looked at together [n]; ``reasons`` are of those that are out, by place."""

    columns: dict[str, Array]
    reasons: list[tuple[int, str]]
    sampled: int


def preflight(
    shards: Shards,
    renderer: Renderer,
    capacity: int,
    overlong: Overlong,
    identity: dict[str, Any],
    weighting: Weighting = "token",
    cache: Path | None = None,
    workers: int = 0,
    sample: int = SAMPLE,
    progress: Progress | None = None,
    first: int | None = None,
) -> Preflight:
    """Look at every row; whether it is good enough is for ``Preflight.require`` to say.

    ``shards`` has the columns of ``COLUMNS``; ``identity`` names release and split; ``first``: only so many rows from
    the split's start are looked at, and the result ends with them. The result is that of ``cache`` when it was made of
    the same release by the same renderer, and does not depend on ``workers``.

    Raises:
        GristmillError: a shard is damaged, a worker was killed, or the cache cannot be written.
    """
    import tokenizers

    count = len(shards) if first is None else min(first, len(shards))
    part = {} if first is None else {"first": first}
    key = key_of(
        part
        | {
            "version": [PREFLIGHT_VERSION, TEMPLATES_VERSION, tokenizers.__version__],
            "release": identity,
            "renderer": renderer.identity(),
            "capacity": capacity,
            "overlong": overlong,
            "weighting": weighting,
            "sample": sample,
        }
    )
    found = load(cache, key) if cache is not None else None
    if found is None:
        settings = Settings(renderer, capacity, overlong, weighting, _threshold(sample, count))
        found = _looked_at(shards, count, settings, workers, progress)
        if cache is not None:
            save(cache, key, found)
    columns, notes = found
    names = ("tokens", "supervised", "weight", "source", "stage", "group")
    firsts = {(source, Fate(fate)): First(*rest) for source, fate, *rest in notes["firsts"]}
    return Preflight(
        Lengths(
            sources=tuple(notes["sources"]),
            truncated=columns["fate"] == Fate.TRUNCATED,
            **{name: columns[name] for name in names},
        ),
        columns["kept"],
        columns["fate"],
        columns["state"],
        firsts,
        capacity,
        overlong,
        weighting,
        notes["verified"],
    )


COLUMNS = (*CONVERSATION, "source", "stage")


def _looked_at(shards: Shards, count: int, settings: Settings, workers: int, progress: Progress | None) -> Cached:
    ids: list[pa.Array] = []
    sources: list[pa.Array] = []
    stages: list[Array] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for group in range(len(shards.files)):
            last = min(count, int(shards.starts[group + 1]))
            for start in range(int(shards.starts[group]), last, _CHUNK):
                end = min(start + _CHUNK, last)
                batch = shards.take(np.arange(start, end))
                ids.append(batch.column("id"))
                sources.append(pc.fill_null(batch.column("source"), ""))
                known = "stage" in batch.schema.names
                stages.append(pc.fill_null(batch.column("stage"), 0).to_numpy() if known else np.zeros(end - start))
                yield batch.select(list(CONVERSATION))

    chunks: list[Chunk] = []
    done = 0
    for chunk in ordered(examine, settings, batches(), workers, ahead=workers):
        chunks.append(chunk)
        done += len(chunk.columns["fate"])
        if progress is not None:
            progress(done, count)
    names = pa.chunked_array(sources, pa.string())
    known = sorted(names.unique().to_pylist())
    code = pc.index_in(names, pa.array(known, pa.string())).to_numpy()
    columns = {name: np.concatenate([_NONE[name], *(one.columns[name] for one in chunks)]) for name in _NONE}
    columns |= {
        "source": code.astype(np.int16),
        "stage": np.concatenate([np.zeros(0), *stages]).astype(np.int16),
        "group": np.repeat(np.arange(len(shards.files)), np.diff(shards.starts))[:count].astype(np.int32),
    }
    firsts: dict[tuple[str, int], list[Any]] = {}
    start = 0
    all_ids = pa.chunked_array(ids, pa.string())
    for chunk in chunks:
        for place, reason in chunk.reasons:
            row = start + place
            mine = (known[int(code[row])], int(columns["fate"][row]))
            if mine not in firsts:
                firsts[mine] = [*mine, row, all_ids[row].as_py(), reason]
        start += len(chunk.columns["fate"])
    notes = {"sources": known, "firsts": list(firsts.values()), "verified": sum(one.sampled for one in chunks)}
    return Cached(columns, notes)


_NONE: dict[str, Array] = {
    "tokens": np.zeros(0, np.int32),
    "supervised": np.zeros(0, np.int32),
    "weight": np.zeros(0, np.float64),
    "kept": np.zeros(0, np.int32),
    "fate": np.zeros(0, np.int8),
    "state": np.zeros(0, np.int8),
}


def examine(settings: Settings, batch: pa.RecordBatch) -> Chunk:
    """Render, cut, count and check some rows."""
    renderer = settings.renderer
    talks = conversations(batch)
    made = render(renderer, talks)
    columns = {name: np.zeros(len(talks), none.dtype) for name, none in _NONE.items()}
    fate, reasons = columns["fate"], {}
    columns["kept"][:] = [len(one.messages) for one in talks]
    for at, one in enumerate(made):
        if isinstance(one, Refusal):
            fate[at], columns["state"][at], reasons[at] = Fate.REFUSED, one.state, str(one)
        elif len(one.encoded.ids) > settings.capacity:
            fate[at] = Fate.DROPPED
            reasons[at] = f"it has {len(one.encoded.ids)} tokens, and a sequence has {settings.capacity}"
    if settings.overlong == "truncate_at_turn":
        long = np.flatnonzero(fate == Fate.DROPPED).tolist()
        for at, kept in zip(long, whole_turns(renderer, [talks[at] for at in long], settings.capacity)):
            if not kept:
                reasons[at] += ", which no whole turn fits"
                continue
            talks[at] = cut(talks[at], kept)
            made[at] = render(renderer, [talks[at]])[0]
            fate[at], columns["kept"][at] = Fate.TRUNCATED, kept
            reasons.pop(at)
    sound: list[tuple[int, Rendered]] = []
    for at, one in enumerate(made):
        if isinstance(one, Refusal) or fate[at] == Fate.DROPPED:
            continue
        weights = targets(one.encoded.weights, settings.weighting)
        columns["tokens"][at] = len(one.encoded.ids)
        columns["supervised"][at] = np.count_nonzero(weights)
        columns["weight"][at] = weights.sum(dtype=np.float64)
        if not columns["supervised"][at]:
            fate[at], reasons[at] = Fate.MASKED, "no token in it is learned"
        elif one.encoded.straddles:
            fate[at] = Fate.STRADDLE
            reasons[at] = f"{one.encoded.straddles} borders of what is learned are not borders of tokens"
        else:
            sound.append((at, one))
    sampled = [_hash(id) < settings.threshold for id in batch.column("id").to_pylist()]
    places = [at for at, _ in sound]
    problems = checks_of(renderer).problems(
        [talks[at] for at in places], [one for _, one in sound], [sampled[at] for at in places]
    )
    for at, problem in zip(places, problems):
        if problem is not None:
            fate[at], reasons[at] = Fate.BROKEN, problem
    out = ~np.isin(fate, TRAINED)
    for name in ("tokens", "supervised", "weight", "kept"):
        columns[name][out] = 0
    return Chunk(columns, sorted(reasons.items()), sum(sampled[at] for at in places))


def _hash(id: str) -> int:
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=4).digest(), "big")


def _threshold(sample: int, rows: int) -> int:
    return min(2**32, sample * 2**32 // max(rows, 1))
