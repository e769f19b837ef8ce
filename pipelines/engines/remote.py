"""A job on somebody else's engine, watched from here: progress, first cause, cancelling, cost."""

import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pipelines.engines.cause import first_cause, our_sentence
from pipelines.engines.flink import FlinkRest
from pipelines.engines.profiles import Profile
from pipelines.engines.watch import FlinkWatch
from schemas.errors import GristmillError
from transforms.progress import CPU_COUNTER, NAMESPACE, PASSED

POLL_SECONDS = 0.5
CANCEL_SECONDS = 30.0
"""How long a cancelled job may take to be CANCELLED before the command goes without it."""
LATE_SECONDS = 3.0
"""How long Flink may take to show a job that the job server has been given."""


class RemoteJob:
    """One pipeline of Beam's on an engine that is not ours."""

    def __init__(self, profile: Profile, endpoint: str | None, file: Path):
        self._profile, self._file = profile, file
        self._endpoint = endpoint
        self._rest = FlinkRest(endpoint) if endpoint and profile.name == "flink" else None
        self._watch = FlinkWatch(self._rest) if self._rest else None
        self._flink_job: str | None = None
        self._written: Counter[str] = Counter()
        self.cpu_seconds = 0.0

    def run(self, pipeline: Any) -> None:
        """Submit and wait.

        Raises:
            GristmillError: the job failed; the first cause, or the sentence of a GristmillError in a worker.
            KeyboardInterrupt: the job was cancelled.
        """
        if self._profile.here:
            from apache_beam.runners.worker import sdk_worker

            # Workers in this process would print every traceback that also comes back as the job's error.
            vars(sdk_worker)["print"] = lambda *arguments, **options: None
        result, interrupted = self._submit(pipeline)
        if interrupted:
            self._cancel(result)
            raise KeyboardInterrupt
        failed: list[BaseException] = []
        threading.excepthook = _hear
        waiter = threading.Thread(target=_wait, args=(result, failed), daemon=True)
        waiter.start()
        try:
            while waiter.is_alive():
                waiter.join(POLL_SECONDS)
                self._follow(result)
                self._judge(result)
        except KeyboardInterrupt:
            self._cancel(result)
            raise
        self._cost(result)
        if failed:
            raise self._left_alone(result) if _is_away(failed[0]) else self._error(failed[0])

    def _submit(self, pipeline: Any) -> tuple[Any, bool]:
        """The submitted job, and whether Ctrl-C came meanwhile: it must not leave a job that nobody knows."""
        if self._endpoint is None:
            # Beam starts a server of its own, and takes SIGINT for it.
            handler = signal.getsignal(signal.SIGINT)
            try:
                return pipeline.run(), False
            finally:
                if threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGINT, handler)
        done: list[Any] = []
        failed: list[BaseException] = []

        def submit() -> None:
            try:
                done.append(pipeline.run())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=submit, daemon=True)
        thread.start()
        interrupted = False
        while thread.is_alive():
            try:
                thread.join(POLL_SECONDS)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
        if failed:
            raise self._error(failed[0])
        return done[0], interrupted

    def _follow(self, result: Any) -> None:
        """Write what has passed since the last time to the file that the report reads."""
        if self._profile.here:
            return  # the workers write their own
        counts = self._of_flink(result) if self._rest else _of_metrics(result)
        with self._file.open("a") as file:
            for stage in sorted(counts):
                file.write(f"{stage}\n" * (counts[stage] - self._written[stage]))
        self._written |= counts

    def _judge(self, result: Any) -> None:
        """End a job that cannot succeed.

        Raises:
            GristmillError: why it cannot.
        """
        sentence = self._watch.look(self._flink_job) if self._watch and self._flink_job else None
        if sentence is not None:
            self._end(result)
            raise GristmillError(sentence)

    def _of_flink(self, result: Any) -> Counter[str]:
        assert self._rest is not None
        self._flink_job = self._flink_job or self._rest.job_of(str(result._job_id))
        return self._rest.passed(self._flink_job)[0] if self._flink_job else Counter()

    def _cost(self, result: Any) -> None:
        if self._profile.here:
            return  # their CPU time is this process's
        self.cpu_seconds = _counters(result)[CPU_COUNTER] / 1000

    def _error(self, error: BaseException) -> BaseException:
        if not isinstance(error, Exception) or isinstance(error, GristmillError):
            return error
        text = str(error)
        sentence = our_sentence(error)
        if sentence is not None:
            return GristmillError(sentence)
        cause = f"--engine {self._profile.name}: the job failed: {first_cause(text)}"
        return EngineError(f"{cause}; all that the engine said: {_keep(text)}", text)

    def _left_alone(self, result: Any) -> GristmillError:
        """The job server is gone; on Flink the job would go on without it, for nobody."""
        ended = self._rest is not None and self._ended(result)
        return GristmillError(
            f"--engine {self._profile.name}: the job server at {self._endpoint} no longer answers; nothing was "
            "published, " + ("and the job was cancelled" if ended else "but the job may go on: look there, and end it")
        )

    def _cancel(self, result: Any) -> None:
        """Have the engine end the job, and wait until it says so."""
        sys.stderr.write(f"\ncancelling the job on {self._profile.name} …\n")
        sys.stderr.flush()
        self._end(result)

    def _end(self, result: Any) -> None:
        try:
            result.cancel()
            ended = self._ended(result)
        except Exception as error:
            sys.stderr.write(f"warning: {first_cause(str(error))}\n")
            ended = False
        if not ended:
            sys.stderr.write(f"warning: {self._profile.name} does not say that the job has ended; look there\n")

    def _ended(self, result: Any) -> bool:
        end = time.monotonic() + CANCEL_SECONDS
        if self._rest is not None:
            while self._flink_job is None and time.monotonic() < end - CANCEL_SECONDS + LATE_SECONDS:
                self._flink_job = self._rest.job_of(str(result._job_id))
                time.sleep(0.2)
            return self._flink_job is None or self._rest.cancel(self._flink_job, CANCEL_SECONDS)
        while time.monotonic() < end:
            if str(result.state) in ("CANCELLED", "FAILED", "DONE", "DRAINED"):
                return True
            time.sleep(0.2)
        return False


class EngineError(GristmillError):
    """A job failed on its engine: the sentence is the first cause, ``report`` all that the engine said."""

    def __init__(self, sentence: str, report: str):
        super().__init__(sentence)
        self.report = report


def _keep(text: str) -> str:
    """Write what the engine said to a file of its own; returns its path."""
    handle, path = tempfile.mkstemp(prefix="gristmill-engine-", suffix=".txt")
    with os.fdopen(handle, "w", errors="replace") as file:
        file.write(text)
    return path


def _is_away(error: BaseException) -> bool:
    """Whether it was the job server that broke off, not the job."""
    code = getattr(error, "code", None)
    return callable(code) and str(code()) == "StatusCode.UNAVAILABLE"


def _hear(arguments: Any) -> None:
    """Threads' own errors as ever, but for Beam's reader of messages: it prints again what the waiting call raises."""
    if arguments.thread is None or not arguments.thread.name.startswith("wait_until_finish"):
        threading.__excepthook__(arguments)


def _wait(result: Any, failed: list[BaseException]) -> None:
    try:
        result.wait_until_finish()
    except BaseException as error:
        failed.append(error)


def _of_metrics(result: Any) -> Counter[str]:
    counters = _counters(result)
    return Counter({name[len(PASSED) :]: count for name, count in counters.items() if name.startswith(PASSED)})


def _counters(result: Any) -> Counter[str]:
    """Our counters, attempted: a retried bundle counts again. They are shown, and decide nothing."""
    found: Counter[str] = Counter()
    try:
        result._metrics = None  # Beam would answer with what it read the first time
        for one in result.metrics().query()["counters"]:
            if one.key.metric.namespace == NAMESPACE:
                found[one.key.metric.name] += one.attempted or one.committed or 0
    except Exception:
        return found  # engines differ in what they tell of a job that runs
    return found
