"""Records at a rule's edge: just dropped, just kept, and some of all that it drops; read from the corpus by address."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.report import harmless
from pipelines.signal_units import Corpus, Unit
from transforms.corpus import read_batch
from transforms.filters.filter import Finding
from transforms.keys import halves, hex_ids, seeded
from transforms.records import Records

Floats = npt.NDArray[np.float64]
HEAD, TAIL = 1600, 800
"""Characters that are read of a text's beginning and end: a message may be of any size."""
NEWLINE = " ↵ "


class Found(NamedTuple):
    """A record of a heap: what it is ordered by, then its id."""

    order: float
    id: str
    value: float
    unit: int
    row: int


@dataclass
class Heap:
    """The ``most`` lowest of all records seen, each content once; the same in whatever order they come."""

    most: int
    held: dict[str, Found] = field(default_factory=dict)

    def add(self, unit: Unit, finding: Finding, order: npt.NDArray[Any], chosen: npt.NDArray[np.bool_]) -> None:
        """Offer the chosen rows of a unit, lowest ``order`` [rows] first."""
        rows = np.flatnonzero(chosen)
        if not self.most or not len(rows):
            return
        high, low = halves(unit.ids)
        offered = rows[np.lexsort((rows, low[rows], high[rows], order[rows]))]
        # The lowest rows in order, of which copies of a content may be many: on until there are enough others.
        new: dict[str, Found] = {}
        for start in range(0, len(offered), 64):
            part = offered[start : start + 64]
            ids = hex_ids(unit.ids.take(pa.array(part))).to_pylist()
            for row, one in zip(part.tolist(), ids):
                new.setdefault(one, Found(float(order[row]), one, float(finding.value[row]), unit.number, row))
            if len(new) >= self.most:
                break
        for one in new.values():
            self.held[one.id] = min(one, self.held.get(one.id, one))
        self.held = {one.id: one for one in sorted(self.held.values())[: self.most]}

    def rows(self) -> list[Found]:
        return sorted(self.held.values())


@dataclass
class Edge:
    """Examples for one rule. Which side of the threshold it drops is seen from what it drops."""

    most: int
    seed: int
    threshold: float
    above: int = 0  # dropped records with a value above the threshold, and below
    below: int = 0
    spared_above: int = 0  # likewise of records that it does not drop
    spared_below: int = 0
    heaps: dict[str, Heap] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = {"dropped": 1, "low": 1, "high": 1, "drawn": 2}  # those nearest the bound may be drawn too
        self.heaps = {name: Heap(self.most * size) for name, size in sizes.items()}

    def add(self, unit: Unit, finding: Finding) -> None:
        value, failed = finding.value, finding.failed
        self.above += int((failed & (value > self.threshold)).sum())
        self.below += int((failed & (value < self.threshold)).sum())
        self.spared_above += int((~failed & (value > self.threshold)).sum())
        self.spared_below += int((~failed & (value < self.threshold)).sum())
        distance: Floats = np.abs(value - self.threshold)
        known = np.isfinite(distance)
        self.heaps["dropped"].add(unit, finding, distance, failed & known)
        self.heaps["low"].add(unit, finding, distance, ~failed & (value <= self.threshold))
        self.heaps["high"].add(unit, finding, distance, ~failed & (value >= self.threshold))
        self.heaps["drawn"].add(unit, finding, _chance(unit, self.seed), failed)

    def falls(self, otherwise: bool | None) -> bool | None:
        """Whether what lies above the threshold is dropped; ``otherwise`` says it where nothing is dropped."""
        return otherwise if self.above == self.below else self.above > self.below

    def spared(self, falls: bool | None) -> int:
        """Records beyond the threshold that the rule keeps all the same, for what else it asks."""
        return 0 if falls is None else self.spared_above if falls else self.spared_below

    def groups(self, falls: bool | None) -> dict[str, list[Found]]:
        """Just dropped, just kept, drawn from the other dropped ones."""
        low, high = self.heaps["low"].rows(), self.heaps["high"].rows()
        kept = sorted({*low, *high})[: self.most] if falls is None else low if falls else high
        dropped = self.heaps["dropped"].rows()
        shown = {one.id for one in dropped}
        drawn = [one for one in self.heaps["drawn"].rows() if one.id not in shown][: self.most]
        return {"just dropped": dropped, "just kept": kept, "drawn": drawn}


def _chance(unit: Unit, seed: int) -> npt.NDArray[np.uint64]:
    """A seeded number [rows] by content; 53 bits, so that a float holds it."""
    return seeded(halves(unit.ids), seed, "example") >> np.uint64(11)


@dataclass(frozen=True)
class Example:
    """A record as it is shown: texts are one line without control characters."""

    value: float
    id: str
    source: str
    place: str  # FILE:ROW, as gristmill why takes it
    turns: int  # answers
    prompt: str
    answer: str

    def plain(self) -> dict[str, Any]:
        value = float(f"{self.value:.6g}") if np.isfinite(self.value) else None
        return self.__dict__ | {"value": value}


def read_examples(corpus: Corpus, found: Iterable[Found]) -> list[Example]:
    """The records themselves; opens a block for each."""
    examples = []
    for one in found:
        unit = corpus.unit(one.unit)
        block, at = unit.place(one.row)
        records = Records(read_batch(block.text).slice(at, 1))
        row = block.first_row + records.batch["index"][0].as_py()
        prompt, answer = int(records.first_user[0]), int(records.last_answer[0])
        texts = [records.texts[number].as_py() if number >= 0 else "" for number in (prompt, answer)]
        examples.append(
            Example(
                one.value, one.id, corpus.job.names[unit.source], f"{block.file}:{row}",
                int(records.assistant.sum()), *(one_line(text) for text in texts),
            )
        )  # fmt: skip
    return examples


def one_line(text: str) -> str:
    """A text's beginning and end on one line; line breaks are shown, control characters written out."""
    if len(text) > HEAD + TAIL:
        return f"{one_line(text[:HEAD])} … {one_line(text[-TAIL:])}"
    lines = (" ".join(line.split()) for line in text.strip().splitlines())
    return harmless(NEWLINE.join(lines))


def shortened(text: str, room: int) -> str:
    """At most ``room`` characters: two thirds from the beginning, the rest from the end, where answers break off."""
    if len(text) <= room:
        return text
    head = room * 2 // 3
    return f"{text[:head].rstrip()} … {text[len(text) - (room - head - 3) :].lstrip()}"
