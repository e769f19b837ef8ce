"""Blocks, the one element type, and the two moves everything is made of. All Beam knowledge lives here.

A block is ``(key, pyarrow.RecordBatch)``: a thousand to ten thousand rows under a ``bytes`` key.

* ``MapBlocks``: a pure function on one block.
* ``Repartition``: group blocks by key, hand each key's rows to a pure function as one table. Arrival order means
  nothing, so the function sorts first.

Both take ``function(key, rows) -> iterable of (key, batch)``, or of ``(output, key, batch)`` with named outputs.

With a ``spill`` a large batch does not go through the runner: the shuffle carries its place (``transforms.spill``).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type

from transforms.progress import tick
from transforms.spill import Spill, Spilled, encoded, fetch

Block = tuple[bytes, pa.RecordBatch]


class RecordBatchCoder(beam.coders.Coder):
    """Arrow IPC on the wire: pickle would ship a slice with its whole parent (arrow GH-26685)."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        return encoded(value).to_pybytes()

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        return pa.ipc.open_stream(encoded).read_next_batch()

    def is_deterministic(self) -> bool:
        return False  # never a key

    def estimate_size(self, value: pa.RecordBatch) -> int:
        # Beam's default would encode the batch a second time just to measure it.
        return int(value.nbytes)

    def to_type_hint(self) -> type:
        return pa.RecordBatch


beam.coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)


class _Apply(beam.DoFn):
    def __init__(
        self,
        function: Callable[..., Iterable[tuple[Any, ...]]],
        named: bool,
        stage: str,
        grouped: bool,
        spill: Spill | None,
    ):
        self._function, self._named, self._stage = function, named, stage
        self._grouped, self._spill = grouped, spill

    def process(self, element: tuple[bytes, Any], *extra: Any) -> Iterator[Any]:
        key, rows = element
        rows = pa.Table.from_batches([fetch(batch) for batch in rows]) if self._grouped else fetch(rows)
        with Spilled(self._spill) as spilled:
            for *tag, target, batch in self._function(key, rows, *extra):
                block = target, spilled.leave(batch)
                yield beam.pvalue.TaggedOutput(tag[0], block) if self._named else block
        tick(self._stage)

    def finish_bundle(self) -> None:
        # What numpy and Arrow have freed goes back to the system, so that the next stage does not add to this one's
        # most. (After each element it would cost a twentieth of the run: pages that come back are new ones.)
        pa.system_memory_pool().release_unused()


@dataclass
class MapBlocks(beam.PTransform):
    """``PCollection[Block] -> PCollection[Block]``, or a dict of them when ``outputs`` names several.

    ``extra`` are Beam side inputs (kilobytes, never data) passed on to the function.
    """

    function: Callable[..., Iterable[tuple[Any, ...]]]
    stage: str
    outputs: Sequence[str] = ()
    extra: Sequence[Any] = ()
    spill: Spill | None = None
    _grouped = False

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, blocks: Any) -> Any:
        apply = _Apply(self.function, bool(self.outputs), self.stage, self._grouped, self.spill)
        step = beam.ParDo(apply, *self.extra)
        if not self.outputs:
            return blocks | "apply" >> step.with_output_types(Block)
        results = blocks | "apply" >> step.with_outputs(*self.outputs)
        for name in self.outputs:
            # Types of tagged outputs are not inferred; as Any they would be pickled, not coded by RecordBatchCoder.
            results[name].element_type = convert_to_beam_type(Block)
        return {name: results[name] for name in self.outputs}


@dataclass
class Repartition(MapBlocks):
    """Group blocks by key; the function gets each key's rows as one ``pyarrow.Table`` in no particular order."""

    _grouped = True

    def expand(self, blocks: Any) -> Any:
        return super().expand(blocks | "group" >> beam.GroupByKey())


@dataclass
class Start(beam.PTransform):
    """The first blocks, spread over the workers (a Create alone would run as one bundle on one of them)."""

    blocks: Sequence[Block]

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, pipeline: Any) -> Any:
        return (
            pipeline
            | "create" >> beam.Create(list(self.blocks), reshuffle=False).with_output_types(Block)
            | "spread" >> beam.GroupByKey()
            | "open" >> beam.FlatMap(_each).with_output_types(Block)
        )


def _each(element: tuple[bytes, Iterable[pa.RecordBatch]]) -> Iterator[Block]:
    key, batches = element
    for batch in batches:
        yield key, batch


def number_key(number: int, kind: bytes = b"") -> bytes:
    """A partition or unit number as a key: 8 bytes, after the ``kind`` of rows where one shuffle carries several."""
    return kind + int(number).to_bytes(8, "big")


def key_number(key: bytes) -> int:
    return int.from_bytes(key[-8:], "big")


def key_kind(key: bytes) -> bytes:
    return key[:-8]


def split_by(
    batch: pa.RecordBatch, parts: np.ndarray, tag: str | None = None, kind: bytes = b""
) -> Iterator[tuple[Any, ...]]:
    """Split ``batch`` by partition number ``parts`` [rows]; yields ``(key, rows)``, with ``tag`` before it if given."""
    if len(parts) == 0:
        return
    order = np.argsort(parts, kind="stable")
    numbers = parts[order]
    starts = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]])
    rows = batch.take(pa.array(order)) if len(starts) > 1 else batch
    for start, end in zip(starts, np.r_[starts[1:], len(numbers)], strict=True):
        block = number_key(int(numbers[start]), kind), rows.slice(start, end - start)
        yield block if tag is None else (tag, *block)


def hash_parts(keys: np.ndarray, partitions: int) -> np.ndarray:
    """Partition of a well-mixed 64-bit hash: its high bits, as an order-preserving range."""
    return ((keys.astype(np.uint64) >> np.uint64(32)) * np.uint64(partitions)) >> np.uint64(32)
