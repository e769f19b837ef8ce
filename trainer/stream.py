"""Documents of a plan's packs, in the plan's order: read, rendered and tokenised ahead of the step that needs them.

The stream decides nothing: which rows a step holds is the plan's, what a row holds is the release's, and what its
tokens are is the renderer's. So documents are the same whatever is prefetched and however many workers render.
"""

import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.chat.render import Renderer
from schemas.chat.template import Refusal
from schemas.errors import GristmillError
from trainer.outcome import Preflight
from trainer.pool import ordered
from trainer.shards import Rows, Shards, conversations
from trainer.truncate import cut
from trainer.weights import Weighting, targets

AHEAD = 2  # steps rendered before they are asked for

Pack = npt.NDArray[np.int64]  # the rows of one pack


@dataclass(frozen=True, eq=False)
class Document:
    """A row as it is trained on: ``ids`` int32 [t], and ``weights`` float32 [t] of each token as a target, of which
    the first is 0."""

    row: int
    ids: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]


class Job(NamedTuple):
    """Rows to render. ``sizes``: rows of each pack; ``last``: the last packs of their step; ``kept`` [n]: messages of
    each row that are trained on; ``batch``: the rows, None where there are none."""

    rows: Rows
    sizes: list[int]
    last: bool
    kept: npt.NDArray[np.int32]
    batch: pa.RecordBatch | None


class Made(NamedTuple):
    """Of a job: ``tokens`` of each row [n], all their ids and weights in a row [sum of tokens]; or, of the first row
    that cannot be rendered, its place and the reason."""

    tokens: npt.NDArray[np.int32]
    ids: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    trouble: tuple[int, str] | None


def rendered(context: tuple[Renderer, Weighting], job: Job) -> tuple[Job, Made]:
    """The tokens of a job under a renderer and a weighting; the job comes back without its batch."""
    nothing = np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32)
    if job.batch is None:
        return job, Made(*nothing, None)
    renderer, weighting = context
    talks = [cut(one, kept) for one, kept in zip(conversations(job.batch), job.kept.tolist())]
    done = []
    for at, one in enumerate(renderer.encode(talks)):
        if isinstance(one, Refusal):
            return job._replace(batch=None), Made(*nothing, (at, str(one)))
        done.append(one)
    return job._replace(batch=None), Made(
        np.array([len(one.ids) for one in done], np.int32),
        np.concatenate([one.ids for one in done]),
        np.concatenate([targets(one.weights, weighting) for one in done]),
        None,
    )


class Stream:
    """Documents of a split. Use it as a context, or close it: it holds files open.

    ``shards`` is read with the columns of a conversation, and ``checked`` is the preflight of the same rows by the same
    renderer. ``ahead``: steps that are ready before they are asked for. ``workers``: processes that render; 0: a thread
    of this one, which shares its interpreter with the training loop.
    """

    def __init__(self, shards: Shards, renderer: Renderer, checked: Preflight, ahead: int = AHEAD, workers: int = 0):
        self.shards, self.checked = shards, checked
        self._context = (renderer, checked.weighting)
        self.ahead, self.workers = max(1, ahead), workers
        self.waited = 0.0  # seconds that steps waited for their documents, from the second step on
        self.first = 0.0  # seconds until the first step had its documents

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.shards.close()

    def documents(self, rows: Sequence[int] | Rows) -> list[Document]:
        """These rows in this order, rendered here and now.

        Raises:
            GristmillError: a shard is damaged, or a row is not what preflight saw.
            ValueError: preflight left a row out.
        """
        wanted = np.asarray(rows, np.int64)
        return self._documents(*rendered(self._context, self._job([wanted], True)))

    def iterate(self, steps: Iterable[Sequence[Pack]]) -> Iterator[list[list[Document]]]:
        """The documents of each step's packs, in order; an empty pack gives no document.

        Steps are drawn from ``steps`` a few ahead, by another thread. What goes wrong there is raised here, at the step
        where it would have been missed. Closing the iterator ends the thread and the workers.
        """
        ready: queue.Queue[list[list[Document]] | BaseException | None] = queue.Queue(self.ahead)
        stop = threading.Event()
        thread = threading.Thread(target=self._fill, args=(steps, ready, stop), daemon=True, name="gristmill-stream")
        begin = time.perf_counter()
        thread.start()
        number = 0
        try:
            while True:
                step = ready.get()
                now = time.perf_counter()
                if step is None:
                    return
                if isinstance(step, BaseException):
                    raise step
                if number == 0:
                    self.first = now - begin
                else:
                    self.waited += now - begin
                number += 1
                yield step
                begin = time.perf_counter()
        finally:
            stop.set()
            while thread.is_alive():  # it may be waiting for room
                try:
                    ready.get_nowait()
                except queue.Empty:
                    pass
                thread.join(0.01)

    def _fill(self, steps: Iterable[Sequence[Pack]], ready: "queue.Queue[Any]", stop: threading.Event) -> None:
        results: Generator[tuple[Job, Made], None, None] | None = None
        try:
            source = iter(steps)
            first = list(islice(source, 1))
            # This process renders the first step itself, because workers take a second to come.
            here = len(first[0]) if first else 0
            jobs = self._jobs(chain(first, source), stop)
            results = ordered(rendered, self._context, jobs, self.workers, ahead=self.workers, here=here)
            packs: list[list[Document]] = []
            for job, made in results:
                documents = self._documents(job, made)
                ends = np.cumsum(job.sizes).tolist()
                packs += [documents[end - size : end] for size, end in zip(job.sizes, ends)]
                if job.last:
                    ready.put(packs)
                    packs = []
            ready.put(None)
        except BaseException as error:  # for the thread that waits
            ready.put(error)
        finally:
            if results is not None:
                results.close()

    def _jobs(self, steps: Iterable[Sequence[Pack]], stop: threading.Event) -> Iterator[Job]:
        """A job per step, or with workers a job per pack."""
        for packs in steps:
            if stop.is_set():
                return
            if self.workers == 0 or len(packs) <= 1:
                yield self._job(packs, True)
                continue
            for number, pack in enumerate(packs, 1):
                yield self._job([pack], number == len(packs))

    def _job(self, packs: Sequence[Pack], last: bool) -> Job:
        sizes = [len(pack) for pack in packs]
        rows = np.concatenate([np.zeros(0, np.int64), *packs]).astype(np.int64)
        kept = self.checked.kept[rows]
        if (kept == 0).any():
            raise ValueError(f"row {rows[kept == 0][0]} is not trained on, preflight left it out")
        return Job(rows, sizes, last, kept, self.shards.take(rows) if len(rows) else None)

    def _documents(self, job: Job, made: Made) -> list[Document]:
        """What was rendered, row by row, once it is found to be what preflight counted."""
        if made.trouble is not None:
            at, reason = made.trouble
            raise GristmillError(self._changed(int(job.rows[at]), reason))
        ends = np.cumsum(made.tokens)
        documents = []
        lengths = self.checked.lengths
        for row, start, end in zip(job.rows.tolist(), (ends - made.tokens).tolist(), ends.tolist()):
            ids, weights = made.ids[start:end], made.weights[start:end]
            counted = (int(lengths.tokens[row]), int(lengths.supervised[row]))
            got = (len(ids), int(np.count_nonzero(weights)))
            if got != counted:
                raise GristmillError(
                    self._changed(
                        row, f"it has {got[0]} tokens, {got[1]} of them learned, not {counted[0]} and {counted[1]}"
                    )
                )
            documents.append(Document(row, ids, weights))
        return documents

    def _changed(self, row: int, reason: str) -> str:
        id = self.shards.take(np.array([row])).column("id")[0].as_py()
        return f"row {row}, id {id}, is not what preflight saw: {reason}; delete the preflight cache and start again"
