"""First causes: what a failed engine says, shortened to the sentence a user can act on."""

import pytest

from pipelines.engines.cause import first_cause, our_sentence

# A real failure on Flink 1.19, three task managers; frames and workers of the same kind are left out.
FLINK = """\
org.apache.flink.runtime.JobException: Recovery is suppressed by FixedDelayRestartBackoffTimeStrategy(\
maxNumberRestartAttempts=6, backoffTimeMS=1000)
\tat org.apache.flink.runtime.executiongraph.failover.ExecutionFailureHandler.handleFailure(ExecutionFailureHandler.java:180)
\tat org.apache.flink.runtime.scheduler.DefaultScheduler.recordTaskFailure(DefaultScheduler.java:277)
Caused by: java.lang.Exception: The user defined 'close()' method caused an exception: java.util.concurrent.\
ExecutionException: java.lang.RuntimeException: Error received from SDK harness for instruction 13: Traceback (most \
recent call last):
  File "apache_beam/runners/common.py", line 1512, in apache_beam.runners.common.DoFnRunner.process
  File "/home/transforms/blocks.py", line 86, in process
    for *tag, target, batch in self._function(key, rows, *extra):
                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/home/fail.py", line 14, in bug
    raise {raised}
{first}

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/env/lib/python3.11/site-packages/apache_beam/runners/worker/sdk_worker.py", line 310, in _execute
    response = task()
               ^^^^^^
  File "apache_beam/runners/common.py", line 1623, in apache_beam.runners.common.DoFnRunner._reraise_augmented
  File "/home/transforms/blocks.py", line 86, in process
    for *tag, target, batch in self._function(key, rows, *extra):
                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/home/fail.py", line 14, in bug
    raise {raised}
{last}

\tat org.apache.flink.runtime.operators.BatchTask.run(BatchTask.java:541)
\tat java.base/java.lang.Thread.run(Thread.java:840)
Caused by: java.util.concurrent.ExecutionException: java.lang.RuntimeException: Error received from SDK harness
\tat org.apache.beam.runners.fnexecution.control.FnApiControlClient$ResponseStreamObserver.onNext(FnApiControlClient.java:160)
\t... 1 more
"""

BUG = FLINK.format(
    raised='KeyError(numbers.get("x", "the_missing_key"))',
    first="KeyError: 'the_missing_key'",
    last="KeyError: \"the_missing_key [while running 'work/apply']\"",
)
MISTAKE = FLINK.format(
    raised='GristmillError("a.jsonl: [bold] 3 of 4; do «this» [or that]")',
    first="schemas.errors.GristmillError: a.jsonl: [bold] 3 of 4; do «this» [or that]",
    last="schemas.errors.GristmillError: a.jsonl: [bold] 3 of 4; do «this» [or that] [while running 'work/apply']",
)


def test_a_bug_on_flink_is_its_exception_and_its_place():
    assert our_sentence(RuntimeError(BUG)) is None
    assert first_cause(BUG) == 'KeyError: "the_missing_key" (in bug, fail.py line 14)'


def test_a_mistake_on_flink_comes_back_as_its_sentence():
    assert our_sentence(RuntimeError(MISTAKE)) == "a.jsonl: [bold] 3 of 4; do «this» [or that]"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "the engine gave no reason"),
        ("\n  something odd \nmore", "something odd"),
        (
            "java.lang.RuntimeException: outer\n\tat x.Y.z(Y.java:1)\nCaused by: java.io.IOException: No space left on "
            "device\n\tat x.Y.z(Y.java:2)",
            "IOException: No space left on device",
        ),
        (
            "Pipeline x failed in state FAILED: org.apache.beam.vendor.grpc.v1p69p0.io.grpc.StatusRuntimeException: "
            "CANCELLED: call already cancelled. Use ServerCallStreamObserver.setOnCancelHandler()",
            "a Python worker ended while it worked, perhaps killed for want of memory",
        ),
        ("x" * 5000, "x" * 599 + "…"),
    ],
)
def test_other_causes(text: str, cause: str):
    assert first_cause(text) == cause
