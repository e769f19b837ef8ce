"""Imported by the fork server before it forks: what every worker needs, so that no worker imports it again."""

from apache_beam.runners.worker import statesampler

import transforms.decide
import transforms.ingest
import transforms.release  # noqa: F401
from schemas.store import warm

SAMPLING_PERIOD_MS = 10


def sample_briefly() -> None:
    """Beam joins its sampling thread at the end of every bundle, and the thread may be asleep for up to 200 ms.

    A local run has some thirty bundles; at 10 ms they wait a third of a second less in all (measured).
    """
    statesampler.StateSampler.__init__.__defaults__ = (SAMPLING_PERIOD_MS,)


sample_briefly()
warm()
