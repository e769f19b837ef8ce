"""Work in other processes with results in the order of the jobs: the same whether there are none or many."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from schemas.errors import GristmillError

Job = TypeVar("Job")
Result = TypeVar("Result")

_context: Any = None  # of a worker process


def ordered(
    function: Callable[[Any, Job], Result],
    context: Any,
    jobs: Iterable[Job],
    workers: int,
    ahead: int = 0,
    here: int = 0,
) -> Generator[Result, None, None]:
    """``function(context, job)`` of each job, in order.

    ``workers``: processes that compute; 0: this one. ``ahead``: jobs under way besides one per worker. ``here``: jobs
    at the start that this process computes itself, while the others start. ``function`` is a module's, and ``context``
    is sent to each worker once.

    Raises:
        GristmillError: a worker was killed; and whatever ``function`` raises.
    """
    if workers == 0:
        for job in jobs:
            yield function(context, job)
        return
    # Never fork: threads of Arrow, of the tokenizer and of torch do not survive it.
    processes = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(context,)
    )
    try:
        source = iter(jobs)
        first = list(islice(source, here))
        waiting: deque[Future[Result]] = deque()
        for job in islice(source, workers + ahead):
            waiting.append(processes.submit(_call, function, job))
        for job in first:
            yield function(context, job)
        while waiting:
            done = waiting.popleft().result()
            for job in islice(source, 1):
                waiting.append(processes.submit(_call, function, job))
            yield done
    except BrokenProcessPool:
        raise GristmillError(
            f"one of {workers} worker processes was killed, most likely for want of memory; set fewer workers, or 0"
        ) from None
    finally:
        processes.shutdown(wait=False, cancel_futures=True)


def _start(context: Any) -> None:
    global _context
    _context = context
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(function: Callable[[Any, Job], Result], job: Job) -> Result:
    return function(_context, job)
