"""Flink's own account of a job, by its REST interface: Beam's metrics of a batch job come only with its end."""

import contextlib
import json
import os
import re
import time
import urllib.parse
import urllib.request
from collections import Counter
from typing import Any

REST_VARIABLE = "GRISTMILL_FLINK_REST"
"""http://host:port of the job manager; default: port 8081 of the job server's host."""
_FUSED = re.compile(r"at \[\d+\](.+)\)")
"""In a vertex's name: the steps of one executable stage, as ``[2]{splits, read}`` or ``[1]select/apply``."""
_MOVES = ("read-bytes", "read-records", "write-bytes", "write-records")
SECONDS = 2.0
"""An answer that takes longer is not worth the wait: it is shown, and decides nothing."""


class FlinkRest:
    """Reads a cluster. Every method answers with nothing where the cluster does not."""

    def __init__(self, endpoint: str):
        host = endpoint.rpartition(":")[0] or endpoint
        self.address = (os.environ.get(REST_VARIABLE) or f"http://{host}:8081").rstrip("/")

    def ask(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self.address}/{path}", timeout=SECONDS) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return {}

    def job_of(self, beam_id: str) -> str | None:
        """Flink's id of a job that Beam's job server knows as ``beam_id``, its name and a number."""
        jobs = [one for one in self.ask("jobs/overview").get("jobs", ()) if beam_id.startswith(one["name"])]
        return str(max(jobs, key=lambda one: int(one["start-time"]))["jid"]) if jobs else None

    def cancel(self, job: str, seconds: float) -> bool:
        """End a job; whether it has ended within ``seconds``. Beam's job server only stops waiting for it."""
        request = urllib.request.Request(f"{self.address}/jobs/{urllib.parse.quote(job)}", method="PATCH")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(request, timeout=SECONDS).close()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.ask(f"jobs/{urllib.parse.quote(job)}").get("state") in ("CANCELED", "FAILED", "FINISHED"):
                return True
            time.sleep(0.2)
        return False

    def passed(self, job: str) -> tuple[Counter[str], str]:
        """Records that have entered each step so far, and the job's state.

        A vertex lists the steps that are fused in it; what it has read is what has entered the first of them.
        """
        facts = self.ask(f"jobs/{urllib.parse.quote(job)}")
        counts: Counter[str] = Counter()
        waiting = False
        for vertex in facts.get("vertices", ()):
            waiting |= vertex.get("status") == "SCHEDULED"
            for fused in _FUSED.findall(vertex["name"]):
                for step in filter(None, re.split(r"[{}/,()]\s*", fused)):
                    counts[step] = max(counts[step], vertex["metrics"]["read-records"])
        return counts, "waiting for free slots" if waiting else str(facts.get("state", ""))

    def moved(self, job: str) -> str:
        """What changes whenever the job gets on: states, and what each vertex has read and written; empty when the
        cluster does not answer."""
        facts = self.ask(f"jobs/{urllib.parse.quote(job)}")
        vertices = [
            [one.get("status"), *(one.get("metrics", {}).get(name) for name in _MOVES), one.get("tasks")]
            for one in facts.get("vertices", ())
        ]
        return json.dumps([facts["state"], vertices]) if "state" in facts else ""

    def failures(self, job: str) -> list[tuple[int, str]]:
        """Failures so far that the cluster has met by starting tasks again, or not: when (ms since 1970), and the stack
        trace."""
        history = self.ask(f"jobs/{urllib.parse.quote(job)}/exceptions").get("exceptionHistory") or {}
        return sorted(
            (int(one.get("timestamp") or 0), str(one.get("stacktrace") or "")) for one in history.get("entries", ())
        )

    def overview(self) -> dict[str, Any]:
        """Slots, task managers, version; empty when the cluster does not answer."""
        return dict(self.ask("overview"))
