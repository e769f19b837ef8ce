"""datatrove's MinHash deduplication as its examples/minhash_deduplication.py has it, on local files.

    .venv-peers/bin/python benchmarks/datatrove_minhash.py ROWS WORK [--words split|eng] [--workers 2]

ROWS is a folder of JSONL files with ``text`` and ``id``, one file a task. Four stages: signatures (5-word
shingles, 14 buckets of 8 hashes), buckets, cluster, filter. Left out of the example: its token counter; what
is kept is written uncompressed, what is removed is not written. ``--words eng`` is the example's own splitter
for English (spaCy's rules, which need no download); ``split`` is ``str.split``, the cheapest splitter that
can be given to it. Prints JSON: seconds of each stage and the number of rows kept.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

from datatrove.executor.local import LocalPipelineExecutor  # type: ignore[import-not-found]
from datatrove.pipeline.dedup import MinhashDedupSignature  # type: ignore[import-not-found]
from datatrove.pipeline.dedup.minhash import (  # type: ignore[import-not-found]
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
)
from datatrove.pipeline.readers import JsonlReader  # type: ignore[import-not-found]
from datatrove.pipeline.writers.jsonl import JsonlWriter  # type: ignore[import-not-found]
from datatrove.utils.word_tokenizers import WordTokenizer  # type: ignore[import-not-found]


class Split(WordTokenizer):
    """Words between white space; datatrove has lower-cased the text and removed punctuation before."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def run(rows: Path, work: Path, words: str, workers: int) -> dict[str, Any]:
    shutil.rmtree(work, ignore_errors=True)
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    reader = JsonlReader(str(rows))
    signatures, buckets, remove, kept = (str(work / name) for name in ("signatures", "buckets", "remove", "kept"))
    language = Split("eng") if words == "split" else words
    tasks = len(list(rows.glob("*.jsonl")))
    stages: dict[str, tuple[int, list[Any]]] = {
        "signatures": (tasks, [reader, MinhashDedupSignature(signatures, config=config, language=language)]),
        "buckets": (config.num_buckets, [MinhashDedupBuckets(signatures, buckets, config=config)]),
        "cluster": (1, [MinhashDedupCluster(buckets, remove, config=config)]),
        "filter": (tasks, [reader, MinhashDedupFilter(remove), JsonlWriter(kept, compression=None)]),
    }
    seconds = {}
    for name, (count, pipeline) in stages.items():
        start = time.perf_counter()
        logs = str(work / "logs" / name)
        LocalPipelineExecutor(pipeline, tasks=count, workers=min(count, workers), logging_dir=logs).run()
        seconds[name] = round(time.perf_counter() - start, 3)
    left = sum(path.read_bytes().count(b"\n") for path in Path(kept).iterdir())
    return {"stages": seconds, "kept": left}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--words", default="split")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    print(json.dumps(run(arguments.rows, arguments.work, arguments.words, arguments.workers)))
