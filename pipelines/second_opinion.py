"""``gristmill verify --near``: does the release still hold near duplicates? datasketch looks, not our own kernels.

Signatures, bands and look-up are ``datasketch.MinHash`` and ``MinHashLSH`` under the scheme that the manifest records;
every pair that it proposes is held against the law by exact Jaccard similarity. What deduplication promises is that no
two different records that share a band are similar; so the answer must be none, with no room for chance.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from schemas.errors import GristmillError
from schemas.manifest import Manifest
from transforms.parquet import Parquet
from transforms.signals import SignalSettings, sets_of
from transforms.words import UNICODE_VERSION, WORDS_VERSION

EXAMPLES = 3


def near_duplicates(release: Path, manifest: Manifest) -> Iterator[str]:
    """A sentence for each of the first pairs of released records that are near duplicates, then how many there are.

    Raises:
        GristmillError: the release was made without near dedup, or with other words than this version knows.
    """
    scheme = manifest.near_dedup
    if scheme is None:
        raise GristmillError(f"{release} was made without near deduplication; there is nothing to look for")
    made_with = (scheme["words_version"], scheme["unicode"])
    if made_with != (WORDS_VERSION, UNICODE_VERSION):
        raise GristmillError(
            f"{release} was made with words version {made_with[0]} and Unicode {made_with[1]}, this is "
            f"{WORDS_VERSION} and {UNICODE_VERSION}; verify it with the version that made it ({manifest.gristmill})"
        )
    from datasketch import MinHash, MinHashLSH  # brings scipy: nobody else should wait for it

    permutations, similarity = scheme["permutations"], scheme["similarity"]
    index = MinHashLSH(num_perm=permutations, params=(scheme["bands"], scheme["rows"]))
    empty = MinHash(permutations, seed=scheme["seed"], scheme="affine32", hashfunc=int)
    sets: dict[str, frozenset[int]] = {}
    answers: dict[str, frozenset[int]] = {}
    found = 0
    for record, values, said in _released(release, manifest, scheme["compare"], scheme["shingle_words"]):
        if record in sets or not len(values):
            continue  # another copy of the same record, or too short for shingles
        sketch = empty.copy()
        sketch.update_batch(values)
        mine = frozenset(values.tolist())
        for other in index.query(sketch):
            shared = len(mine & sets[other])
            score = shared / (len(mine) + len(sets[other]) - shared)
            if score >= similarity and _agree(said, answers[other], scheme["answers"]):
                found += 1
                if found <= EXAMPLES:
                    yield f"near duplicates: {record} and {other} are both released at similarity {score:.4f}"
        index.insert(record, sketch, check_duplication=False)
        sets[record], answers[record] = mine, said
    if found > EXAMPLES:
        yield f"near duplicates: {found} pairs in all"


def _agree(left: frozenset[int], right: frozenset[int], least: float) -> bool:
    """Whether two answers share enough of their words."""
    return least == 0 or len(left & right) >= least * max(len(left | right), 1)


def _released(
    release: Path, manifest: Manifest, compare: str, words: int
) -> Iterator[tuple[str, np.ndarray, frozenset[int]]]:
    """Id, shingle hashes and hashes of the answers' words of every released row, in release order."""
    settings = SignalSettings(None, compare, words, 0, 0, None)
    for file in manifest.files:
        if file.path.startswith("data/"):
            groups = Parquet(release / file.path).groups(["id", "messages"])
            for batch in (one for rows in groups for one in rows.to_batches()):
                shingles, answers = sets_of(batch["messages"], settings)
                for row, record in enumerate(batch["id"].to_pylist()):
                    said = answers.values[answers.offsets[row] : answers.offsets[row + 1]]
                    mine = shingles.values[shingles.offsets[row] : shingles.offsets[row + 1]]
                    yield record, mine, frozenset(said.tolist())
