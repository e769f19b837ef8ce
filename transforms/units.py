"""The plan that decisions share, and units: neighbouring blocks of a source, seen as one run of addresses."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.features import FEATURES
from transforms.census import SOURCES, Grouping
from transforms.corpus import Block, annotation_path, read_batch, read_sets, read_signatures
from transforms.filters import Chosen
from transforms.near import take_ragged
from transforms.shingles import Ragged
from transforms.spill import Spill
from transforms.storage import place
from transforms.survivors import survivor_order

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SourceRules:
    """What decisions need to know of a source."""

    origin: str | None
    priority: int
    license: str | None = None


@dataclass(frozen=True)
class Plan:
    """Everything the decision stages share. Small, pickled into every stage; block places are in a mapped file."""

    folder: str  # the run's own folder
    blocks_file: str
    total: int
    sources: tuple[SourceRules, ...]
    filters: Chosen
    filter_rules: tuple[str, ...]
    annotations: tuple[tuple[str, tuple[str, ...]], ...]  # folders in the corpus, and the columns in each
    filter_columns: tuple[str, ...]  # what the filters read
    keep: tuple[str, ...]
    exact: str | None  # what is compared
    near: str | None
    similarity: float
    answers: float  # how similar the answers must be too, 0: not asked
    bands: int
    rows: int
    parts: int
    seed: int
    mix_unit: str  # of the mix: rows, characters, tokens, supervised_tokens
    spill: Spill | None  # where large batches lie meanwhile
    later_rules: tuple[str, ...] = ()  # of the stages after deduplication, in their order
    weights: tuple[tuple[str, float], ...] = ()  # of the quality score, empty when nothing asks for it
    benchmarks: tuple[str, str] | None = None  # path and digest of the index of benchmarks
    curriculum: bool = False  # whether the release has stages
    stage: int = 0  # which stage's verdicts these are: 0 after deduplication
    grouping: Grouping = SOURCES  # what the stage to come settles its quotas by

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of rules by number, as VERDICT and TALLY hold them."""
        return (*self.filter_rules, f"exact.{self.exact}", f"near.{self.near}", *self.later_rules)

    @property
    def exact_rule(self) -> int:
        return len(self.filter_rules)

    @property
    def near_rule(self) -> int:
        return len(self.filter_rules) + 1

    def unit(self, number: int) -> list[Block]:
        """The blocks of a unit."""
        blocks, starts, _ = _units(self.blocks_file)
        chosen = blocks.slice(starts[number], starts[number + 1] - starts[number])
        return [Block(**row) for row in chosen.to_pylist()]

    def units_of(self, addresses: Ints) -> Ints:
        """Number of the unit that each address lies in."""
        *_, bases = _units(self.blocks_file)
        return np.searchsorted(bases, addresses, side="right") - 1

    def filtered_path(self, number: int) -> str:
        return str(place(self.folder) / "filtered" / f"{number:08d}.arrow")

    def verdict_path(self, number: int) -> str:
        return str(place(self.folder) / "verdicts" / f"{self.stage}-{number:08d}.arrow")

    def number_of(self, rule: str) -> int:
        """Number of a rule of a later stage."""
        return self.near_rule + 1 + self.later_rules.index(rule)


@lru_cache(maxsize=4)
def _units(path: str) -> tuple[pa.RecordBatch, list[int], Ints]:
    """All blocks; position of each unit's first block, and one past the last; each unit's first address."""
    blocks = read_batch(path)
    unit = np.asarray(blocks["unit"])
    starts = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1]])
    return blocks, [*starts.tolist(), len(unit)], np.asarray(blocks["base"])[starts]


class UnitView:
    """A unit's features, one row after the other as the addresses go, with what the plan says of them."""

    def __init__(self, plan: Plan, number: int):
        self.plan = plan
        self.number = number
        self.blocks = plan.unit(number)
        self.base = self.blocks[0].base
        self.source = self.blocks[0].source
        self.rows = sum(block.rows for block in self.blocks)
        batches = [read_batch(block.signals).select(FEATURES.names) for block in self.blocks]
        self.features = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
        self.addresses = self.base + np.arange(self.rows)
        self._read: dict[str, list[pa.Array]] = {}

    @property
    def columns(self) -> set[str]:
        """Names of all columns there are: features and annotations."""
        return {*FEATURES.names, *(name for _, names in self.plan.annotations for name in names)}

    def column(self, name: str) -> pa.Array:
        """A feature or an annotation's column [rows]; a licence that a row does not state is its source's."""
        if name in FEATURES.names:
            return self.features[name]
        if name not in self._read:
            folder, names = next(one for one in self.plan.annotations if name in one[1])
            batches = [read_batch(annotation_path(folder, block.text)) for block in self.blocks]
            for column in names:
                parts = [batch[column] for batch in batches]
                self._read[column] = parts
        parts = self._read[name]
        if len(parts) > 1:
            parts[:] = [pa.concat_arrays(parts)]  # only of columns that are asked for: a copy of their rows
        found = parts[0]
        default = self.plan.sources[self.source].license
        return found.fill_null(default) if name == "licence" and default is not None else found

    def table(self, names: Iterable[str]) -> pa.RecordBatch:
        """Some columns as one batch."""
        chosen = list(names)
        return pa.RecordBatch.from_arrays([self.column(name) for name in chosen], chosen)

    def signatures(self, rows: Ints) -> npt.NDArray[np.uint32]:
        """Signatures of some rows [n, permutations]."""
        parts = []
        for block, mine in self.by_block(rows):
            parts.append(read_signatures(read_batch(block.signals))[mine])
        # Of no rows too, so that the width is right: all rows of a unit may have been dropped before.
        return np.concatenate(parts or [read_signatures(read_batch(self.blocks[0].signals))[:0]])

    def vectors(self, rows: Ints) -> npt.NDArray[np.float32]:
        """Embeddings of some rows [n, dimensions]."""
        column = self.column("embedding")
        flat = np.asarray(column.flatten()).reshape(len(column), column.type.list_size)
        return flat[rows].astype(np.float32)

    def sets(self, rows: Ints, name: str) -> Ragged:
        """The ``shingles`` or ``answers`` of some rows, which must be in ascending order."""
        parts = [take_ragged(read_sets(block.signals, name), mine) for block, mine in self.by_block(rows)]
        values = [part.values for part in parts] or [np.empty(0, np.uint32)]
        lengths = [np.diff(part.offsets) for part in parts] or [np.empty(0, np.int64)]
        return Ragged(np.concatenate(values), np.r_[0, np.cumsum(np.concatenate(lengths))])

    def by_block(self, rows: Ints) -> Iterator[tuple[Block, Ints]]:
        """Ascending rows of the unit as rows of its blocks; blocks without any are left out."""
        for block in self.blocks:
            start = block.base - self.base
            low, high = np.searchsorted(rows, (start, start + block.rows))
            if low < high:
                yield block, rows[low:high] - start

    @cached_property
    def order(self) -> npt.NDArray[np.uint64]:
        source = self.plan.sources[self.source]
        return survivor_order(self.features, self.plan.keep, source.origin, source.priority)

    def weight(self) -> Ints:
        """What each row weighs in the mix's unit."""
        if self.plan.mix_unit == "rows":
            return np.ones(self.rows, np.int64)
        return np.asarray(self.column(self.plan.mix_unit).fill_null(0)).astype(np.int64)

    def score(self, name: str) -> npt.NDArray[np.float64]:
        """A score [rows], NaN where it is missing."""
        if name == "evol":
            # DEITA's "evol score" is complexity times quality; here both are by rules.
            return self.score("quality") * self.score("difficulty")
        if name == "quality":
            from transforms.annotate.quality import quality

            parts = {
                part: np.asarray(self.column(f"quality_{part}").fill_null(np.nan)) for part, _ in self.plan.weights
            }
            return quality(parts, dict(self.plan.weights))
        return np.asarray(self.column(name).cast(pa.float64()).fill_null(np.nan))
