"""Beam's options from a command line, strictly: Beam itself only warns of what it does not know."""

import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from itertools import pairwise
from typing import Any

from schemas.errors import GristmillError


def strict(arguments: Sequence[str], beam_args: Sequence[str], runner: str) -> Any:
    """PipelineOptions of ``arguments``, which end with ``beam_args``, the user's own.

    Raises:
        GristmillError: an option that Beam does not know (it would only warn and use its default), or a value that is
            none of the option's.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    for before, one in pairwise(("", *beam_args)):
        if not one.startswith("-") and ("=" in before or not before.startswith("-")):
            raise GristmillError(f"{one!r} belongs to no option of Beam; after -- give --option=value")
    options, said = PipelineOptions(list(arguments)), io.StringIO()
    try:
        with redirect_stderr(said):  # argparse prints all that Beam knows, and exits
            given = options.get_all_options(retain_unknown_options=True)
    except SystemExit:
        reason = said.getvalue().rpartition("error: ")[2].strip()
        raise GristmillError(f"Beam does not understand its options: {reason}") from None
    unknown = sorted(set(given) - set(PipelineOptions([]).get_all_options()))
    if unknown:
        raise GristmillError(f"--{unknown[0]} is no option of Beam; see the Beam documentation of {runner}")
    return options
