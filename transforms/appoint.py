"""Clusters for records: a fitted set of centres, assigned unit by unit."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transforms.blocks import Block as Keyed
from transforms.blocks import key_number
from transforms.clusters import assign
from transforms.corpus import read_batch
from transforms.standing import Standing
from transforms.units import Plan, UnitView


@dataclass(frozen=True)
class AssignClusters:
    """Unit → the verdicts of the next stage, with the cluster of every record."""

    before: Plan
    after: Plan
    centres: str  # file with one column of vectors

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[Keyed]:
        view = UnitView(self.after, key_number(key))
        standing = Standing.read(self.before, view)
        standing.plan = self.after
        column = read_batch(self.centres)["vector"]
        centres = np.asarray(column.flatten()).reshape(len(column), column.type.list_size)
        standing.cluster, _ = assign(view.vectors(np.arange(view.rows)), centres)
        yield from standing.leave()
