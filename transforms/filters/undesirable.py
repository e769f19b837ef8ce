"""Drops answers that their own data set labels as undesirable (KTO): supervised training would teach them."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from schemas.strict import Strict
from transforms.filters.filter import Filter, Finding


class Settings(Strict):
    """No settings."""


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    desirable = np.asarray(features["label"].fill_null(True))
    yield Finding("undesirable.label", ~desirable, desirable.astype(np.float64), 1)


FILTER = Filter("undesirable", Settings, decide)
