"""What the submitter is, told to the workers by a pipeline option, and what a run used, told to run.json."""

import json
import re
from importlib.metadata import version
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.engines.profiles import name_of
from schemas.version import __version__

MATTERS = ("apache-beam", "numpy", "pyarrow", "orjson", "xxhash", "tokenizers", "ftfy")
"""What must be the same on the workers: Beam, and what bytes depend on (publish.DEPENDENCIES)."""
_SECRET = re.compile(r"key|secret|token|passw|credential|signature|auth", re.IGNORECASE)


class GristmillOptions(PipelineOptions):
    """Our own option among Beam's; set by the engine, read by ``gristmill-worker``."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--gristmill_facts", default=None, help="set by gristmill: what the workers must have")


def told(sees: list[str], wheels: dict[str, str]) -> str:
    """The value of the option: versions that workers must have, files that they must see, hashes of wheels that come
    with the job."""
    versions = {"gristmill": __version__} | {name: version(name) for name in MATTERS}
    return json.dumps({"versions": versions, "sees": sees, "wheels": wheels})


def plain(options: list[str]) -> dict[str, Any]:
    """Options for people and run.json, without secrets: names that sound like one, and users in addresses."""
    found: dict[str, Any] = {}
    for place, one in enumerate(options):
        name = name_of(one)
        if not name:
            continue
        value = one.partition("=")[2]
        if "=" not in one:
            following = options[place + 1] if place + 1 < len(options) else "--"
            value = "true" if following.startswith("-") else following
        value = "***" if _SECRET.search(name) else re.sub(r"//[^/@\s]+@", "//***@", value)
        # A worker's environment may hold anything.
        value = re.sub(r'("env"\s*:\s*)\{[^}]*\}', r'\1{"***": "***"}', value)
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
