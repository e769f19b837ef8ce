"""The portrait of a release before and after selection, from the samples that the release stages left."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.manifest import SelectionReport
from schemas.recipe import Recipe
from schemas.selection import Diversity
from transforms.clusters import describe
from transforms.corpus import read_batch
from transforms.portrait import NGRAMS, Portrait, portrait
from transforms.sampling import AFTER, BEFORE
from transforms.storage import files_in
from transforms.words import tokenise

SAMPLE = 4096
"""Records on each side."""


def bounds(entered: int, released: int) -> tuple[int, int]:
    """Highest hashes of the two samples."""
    return tuple(2**64 - 1 if rows <= SAMPLE else int(2**64 * SAMPLE / rows) for rows in (entered, released))  # type: ignore[return-value]


def with_portrait(recipe: Recipe, found: SelectionReport, folder: Path) -> SelectionReport:
    """The report with the portraits, and with words for its clusters."""
    if not recipe.selects:
        return found
    clusters = (recipe.diversity or Diversity()).clusters if recipe.clustered else None
    update: dict[str, Any] = {"portrait": portraits(folder, clusters)}
    if found.clusters and clusters:
        names = names_of_clusters(folder, clusters)
        update["clusters"] = [row.model_copy(update={"words": list(names[row.cluster])}) for row in found.clusters]
    return found.model_copy(update=update)


def portraits(folder: Path, clusters: int | None) -> list[dict[str, Any]]:
    """Before and after, as plain numbers; distinct-n at the largest number of words that both sides have."""
    found = _sample(folder)
    if found is None:
        return []
    sides = [found.filter(pc.equal(found["which"], which)) for which in (BEFORE, AFTER)]
    words = min(
        int(tokenise(side[name].combine_chunks()).offsets[-1]) for side in sides for name in ("prompt", "answer")
    )
    return [asdict(_portrait(side, clusters, min(NGRAMS, words // 1000 * 1000))) for side in sides]


def names_of_clusters(folder: Path, clusters: int) -> list[tuple[str, ...]]:
    """The most telling words of each cluster."""
    found = _sample(folder)
    if found is None:
        return [()] * clusters
    before = found.filter(pc.equal(found["which"], BEFORE)).sort_by("id")
    return describe(before["prompt"].combine_chunks(), np.asarray(before["cluster"]), clusters)


def _portrait(side: pa.Table, clusters: int | None, ngrams: int) -> Portrait:
    side = side.sort_by("id")
    vectors = None
    if "vector" in side.schema.names:
        column = side["vector"].combine_chunks()
        vectors = np.asarray(column.flatten()).reshape(len(column), column.type.list_size)
    assigned = np.asarray(side["cluster"]) if clusters else None
    return portrait(
        side["prompt"].combine_chunks(), side["answer"].combine_chunks(), vectors, assigned, clusters, max(1, ngrams)
    )


def _sample(folder: Path) -> pa.Table | None:
    files = files_in(folder, "portrait-*.arrow")
    return pa.Table.from_batches([read_batch(str(file)) for file in files]) if files else None
