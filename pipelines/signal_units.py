"""What ``gristmill signals`` reads: the cached columns of a corpus, unit by unit, and which rows stand for all."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.accounts import Ingested
from pipelines.job import Job
from schemas.features import FEATURES
from transforms.annotate.annotation import key
from transforms.annotate.quality import quality
from transforms.corpus import Block, annotation_path, read_batch
from transforms.keys import U64, halves, mix, seeded

SAMPLE_ROWS = 200_000
"""Rows whose values are held in memory for quantiles, over all sources: 1.6 MB a signal."""


class Unit:
    """Neighbouring blocks of a source, with the columns that decisions see of them."""

    def __init__(self, number: int, blocks: list[Block], annotations: tuple[str, ...], corpus: "Corpus"):
        self.number, self.blocks, self._annotations, self._corpus = number, blocks, annotations, corpus
        self.source, self.rows = blocks[0].source, sum(block.rows for block in blocks)

    @cached_property
    def columns(self) -> pa.RecordBatch:
        """[rows]: features and annotations, but no vectors; a licence that a row does not state is its source's."""
        columns: dict[str, pa.Array] = {}
        for batches in (
            [read_batch(block.signals).select(FEATURES.names) for block in self.blocks],
            *([read_batch(annotation_path(one, block.text)) for block in self.blocks] for one in self._annotations),
        ):
            for column in batches[0].schema:
                if not pa.types.is_nested(column.type):
                    parts = [batch[column.name] for batch in batches]
                    columns[column.name] = parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
        default = self._corpus.job.recipe.sources[self._corpus.job.names[self.source]].license
        if "licence" in columns and default is not None:
            columns["licence"] = columns["licence"].fill_null(default)
        return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))

    @property
    def ids(self) -> pa.Array:
        return self.columns["id"]

    def quality(self) -> npt.NDArray[np.float64]:
        """The quality score [rows] under the recipe's weights, NaN where it has none."""
        weights = dict(self._corpus.job.weights)
        parts = {name: np.asarray(self.columns[f"quality_{name}"].fill_null(np.nan)) for name in weights}
        return quality(parts, weights)

    def place(self, row: int) -> tuple[Block, int]:
        """The block that a row lies in, and its row there."""
        for block in self.blocks:
            if row < block.rows:
                return block, row
            row -= block.rows
        raise IndexError(f"unit {self.number} has no row {row} more")


@dataclass(frozen=True)
class Corpus:
    """The records of the sources that are looked at, unit by unit."""

    job: Job
    folder: Path
    blocks: dict[int, list[Block]]  # by unit, in order

    @staticmethod
    def of(job: Job, ingested: Ingested, folder: Path, sources: list[str]) -> "Corpus":
        chosen = {job.names.index(name) for name in sources}
        blocks: dict[int, list[Block]] = {}
        for block in ingested.blocks:
            if block.source in chosen:
                blocks.setdefault(block.unit, []).append(block)
        return Corpus(job, folder, blocks)

    @cached_property
    def rows(self) -> dict[int, int]:
        """Records by source, those that are looked at."""
        found: Counter[int] = Counter()
        for block in (block for blocks in self.blocks.values() for block in blocks):
            found[block.source] += block.rows
        return dict(sorted(found.items()))

    def unit(self, number: int) -> Unit:
        annotations = tuple(str(self.folder / "annotations" / key(one)) for one in self.job.annotations)
        return Unit(number, self.blocks[number], annotations, self)

    def units(self) -> Iterator[Unit]:
        """All units, in order, one in memory at a time."""
        for number in self.blocks:
            yield self.unit(number)


@dataclass(frozen=True)
class Sample:
    """Which rows stand for all when quantiles are asked for: those of a source whose seeded key is below its cutoff.

    Keys follow from content and position, so the same rows are drawn whatever the blocks. Without a cutoff all of a
    source's rows are in.
    """

    seed: int
    rows: dict[int, int]  # by source, all
    cutoffs: dict[int, np.uint64] = field(default_factory=dict)
    drawn: dict[int, int] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        return not self.cutoffs

    @property
    def size(self) -> int:
        return sum(self.drawn.get(source, rows) for source, rows in self.rows.items())

    def weight(self, source: int) -> float:
        """How many rows of a source each of its drawn rows stands for."""
        return self.rows[source] / max(1, self.drawn.get(source, self.rows[source]))

    def chosen(self, unit: Unit) -> npt.NDArray[np.int64] | None:
        """Positions of the drawn rows of a unit; None: all."""
        if unit.source not in self.cutoffs:
            return None
        return np.flatnonzero(_keys(unit, self.seed) < self.cutoffs[unit.source])


def draw(corpus: Corpus, most: int) -> Sample:
    """Settle who is drawn: all rows if they are no more than ``most``, else evenly, small sources whole."""
    seed = corpus.job.recipe.seed
    if sum(corpus.rows.values()) <= most:
        return Sample(seed, corpus.rows)
    quota, left = {}, most
    ascending = sorted(corpus.rows, key=lambda source: (corpus.rows[source], source))
    for position, source in enumerate(ascending):
        quota[source] = min(corpus.rows[source], left // (len(ascending) - position))
        left -= quota[source]
    lowest: dict[int, U64] = {}
    for unit in corpus.units():
        size = quota[unit.source]
        if size < corpus.rows[unit.source]:
            keys = np.concatenate([lowest.get(unit.source, np.empty(0, np.uint64)), _keys(unit, seed)])
            lowest[unit.source] = keys if len(keys) <= size + 1 else np.partition(keys, size)[: size + 1]
    cutoffs = {source: keys.max() for source, keys in lowest.items()}  # the first that is not drawn
    drawn = {source: int((keys < cutoffs[source]).sum()) for source, keys in lowest.items()}
    return Sample(seed, corpus.rows, cutoffs, drawn)


def _keys(unit: Unit, seed: int) -> U64:
    """A key [rows] for each row; copies of a record, which share its id, have keys of their own."""
    place = np.asarray(unit.columns["index"]).astype(np.uint64) * np.uint64(1 << 16)
    place += np.asarray(unit.columns["part"]).astype(np.uint64)
    return mix(seeded(halves(unit.columns["id"]), seed, "signals") ^ mix(place))
