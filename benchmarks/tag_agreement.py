"""How far the tags agree with people's marks, as markdown tables.

    python -m benchmarks.tag_agreement [--part held-out]

``tag_agreement.jsonl`` holds marks of the task: a record's content id, what a person called it, and the part: "develop"
was looked at while the rules were written, "measure" and "fresh" (together "held-out") were not. docs/tags.md holds the
guideline. No text is stored; the records are read from ``../shared/data``, as ``shared_data.yaml`` names it.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from schemas.strict import read_yaml
from transforms.annotate.tags import TASKS, Tags
from transforms.assemble import assemble
from transforms.readers import ReadStats, SourceOptions, convert, list_files, plan_splits, read_rows, sniff
from transforms.records import Records

HERE = Path(__file__).resolve().parent
MARKS, RECIPE = HERE / "tag_agreement.jsonl", HERE / "shared_data.yaml"
DATA = HERE.parent.parent / "shared" / "data"
PARTS = {"develop": ("develop",), "measure": ("measure",), "fresh": ("fresh",), "held-out": ("measure", "fresh")}
SPLIT_BYTES, BLOCK_ROWS = 1 << 24, 4096


class Mark(NamedTuple):
    id: str
    task: str
    part: str
    source: str


class Agreement(NamedTuple):
    """``matrix[i, j]``: records that people call TASKS[i] and the rules TASKS[j]."""

    matrix: npt.NDArray[np.int64]

    @property
    def marked(self) -> int:
        return int(self.matrix.sum())

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.matrix) / self.matrix.sum())

    @property
    def kappa(self) -> float:
        """Cohen's kappa: agreement beyond what the two would have by chance, each with its own frequencies."""
        total = self.matrix.sum()
        chance = float(self.matrix.sum(axis=0) @ self.matrix.sum(axis=1)) / float(total) ** 2
        return (self.accuracy - chance) / (1 - chance)


def marks() -> list[Mark]:
    return [Mark(**orjson.loads(line)) for line in MARKS.read_bytes().splitlines()]


def source_batches(name: str) -> Iterable[pa.RecordBatch]:
    """CORPUS batches of one source of ``shared_data.yaml``."""
    source: Mapping[str, Any] = read_yaml(RECIPE)["sources"][name]
    options = SourceOptions(placeholders=tuple(sorted(source.get("placeholders", {}).items())))
    paths = source["path"] if isinstance(source["path"], list) else [source["path"]]
    for path in paths:
        for file in list_files(path, str(HERE)):
            for split in plan_splits(file, sniff(file, options), SPLIT_BYTES):
                good = [one for one in convert(read_rows(split, options), options, ReadStats()) if one.conversation]
                for start in range(0, len(good), BLOCK_ROWS):
                    block = good[start : start + BLOCK_ROWS]
                    conversations = [one.conversation for one in block if one.conversation is not None]
                    yield assemble(conversations, [one.index for one in block], [one.part for one in block])


def predicted(names: Iterable[str]) -> dict[str, int]:
    """Task code of every record of these sources by its id in hex."""
    found: dict[str, int] = {}
    for name in names:
        for batch in source_batches(name):
            codes = Tags()(Records(batch))["task"].to_pylist()
            found.update(zip((one.hex() for one in batch["id"].to_pylist()), codes, strict=True))
    return found


def agreement(marked: Iterable[Mark], codes: Mapping[str, int]) -> Agreement:
    """Raises KeyError where a marked record is not among ``codes``: the data, or how it is read, has changed."""
    matrix = np.zeros((len(TASKS), len(TASKS)), np.int64)
    for mark in marked:
        matrix[TASKS.index(mark.task), codes[mark.id]] += 1
    return Agreement(matrix)


def table(found: Agreement) -> str:
    """Precision and recall of each task that was marked or found."""
    lines = ["| task | marked | found | precision | recall |", "| --- | ---: | ---: | ---: | ---: |"]
    for code, name in enumerate(TASKS):
        marked, named = int(found.matrix[code].sum()), int(found.matrix[:, code].sum())
        if marked or named:
            right = int(found.matrix[code, code])
            precision = f"{right / named:.0%}" if named else "–"
            recall = f"{right / marked:.0%}" if marked else "–"
            lines.append(f"| {name} | {marked} | {named} | {precision} | {recall} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=sorted(PARTS), default="held-out", help="whose table is printed in full")
    chosen = parser.parse_args().part
    if not DATA.is_dir():
        sys.exit(f"{DATA} is absent: the marks name records of the shared data, and hold no text of their own")
    marked = marks()
    codes = predicted(sorted({mark.source for mark in marked}))
    print("| part | sources | marked | accuracy | Cohen's kappa |\n| --- | --- | ---: | ---: | ---: |")
    for part, names in PARTS.items():
        for label, kept in (("Dolly", {"dolly"}), ("the others", {one.source for one in marked} - {"dolly"})):
            found = agreement((one for one in marked if one.part in names and one.source in kept), codes)
            print(f"| {part} | {label} | {found.marked} | {found.accuracy:.1%} | {found.kappa:.2f} |")
    print(f"\n{chosen}, all sources:\n")
    print(table(agreement((one for one in marked if one.part in PARTS[chosen]), codes)))


if __name__ == "__main__":
    main()
