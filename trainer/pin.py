"""The pin: which release, template, tokenizer, plan and settings a checkpoint was trained with, by hash.

Training goes on from a checkpoint only with the same ones. Another is refused unless ``accept_release_change`` is set;
then the change stands in the lineage, in this checkpoint and in all that follow.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import Field

from schemas.errors import GristmillError
from schemas.strict import Strict
from schemas.version import __version__

FILE_NAME = "pin.json"
FORMAT = 2
# What must be the same, in the order in which a difference is told: the cause before its consequences.
PARTS = ("release", "model", "tokenizer", "template", "config", "plan")


class Change(Strict):
    """One accepted change: after which update, and for each part that differed what it was and became."""

    update: int
    was: dict[str, str]
    became: dict[str, str]
    settings: dict[str, tuple[Any, Any]] = Field(
        default_factory=dict, description="dotted keys of the settings that differed: what each was and became"
    )


class Pin(Strict):
    """``pin.json``; all but names are sha256 in hex."""

    format: int = FORMAT
    gristmill: str = __version__
    release_name: str = Field(description="name and version")
    release: str = Field(description="the release's digest: every byte of it")
    split: str
    template_name: str
    template: str = Field(description="of the template's identity: what the rendered text depends on")
    tokenizer: str
    model_name: str = Field("", description="the model that the run started from, as the configuration names it")
    model: str = Field("", description="of its weights and configuration, or of its commit on the hub")
    plan: str = Field(description="of the order and packs of all steps")
    config: str = Field(description="of the settings below")
    settings: dict[str, Any] = Field(description="the settings that weights depend on")
    lineage: list[Change] = Field(default_factory=list)

    def encode(self) -> bytes:
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False).encode() + b"\n"


def digest_of(value: Any) -> str:
    """sha256 of JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_pin(checkpoint: Path) -> Pin:
    """The pin of a checkpoint.

    Raises:
        GristmillError: there is none, or it is not one of ours.
    """
    path = checkpoint / FILE_NAME
    try:
        return Pin.model_validate_json(path.read_bytes())
    except OSError as error:
        raise GristmillError(f"{path}: {error.strerror}; name a checkpoint that Gristmill's trainer wrote") from None
    except ValueError:
        raise GristmillError(f"{path} is no pin of format {FORMAT}; name a checkpoint of this version") from None


def matched(saved: Pin, now: Pin, accept: bool, update: int, where: Path) -> tuple[Pin, bool]:
    """The pin to go on with, its lineage kept, and whether the plan is still the same (so the cursor holds).

    Raises:
        GristmillError: a part differs and that was not accepted.
    """
    changed = [part for part in PARTS if getattr(saved, part) != getattr(now, part)]
    same_plan = "plan" not in changed
    if not changed:
        return now.model_copy(update={"lineage": saved.lineage}), same_plan
    if not accept:
        raise GristmillError(
            f"{where} was trained with {_told(saved, now, changed[0])}; restore that, write to another folder, or "
            "set accept_release_change to go on with the new one and have that recorded"
        )
    change = Change(
        update=update,
        was={part: _named(saved, part) for part in changed},
        became={part: _named(now, part) for part in changed},
        settings={key: (was, became) for key, was, became in _differing(saved, now)},
    )
    return now.model_copy(update={"lineage": [*saved.lineage, change]}), same_plan


def _named(pin: Pin, part: str) -> str:
    name = {"release": pin.release_name, "template": pin.template_name, "model": pin.model_name}.get(part)
    return f"{name} {getattr(pin, part)}" if name else str(getattr(pin, part))


def _told(saved: Pin, now: Pin, part: str) -> str:
    if part == "config":
        for key, was, became in _differing(saved, now):
            return f"{key} = {json.dumps(was)}, and it is {json.dumps(became)} now"
    names = {
        "release": (saved.release_name, now.release_name),
        "template": (saved.template_name, now.template_name),
        "model": (saved.model_name, now.model_name),
    }
    before, after = names.get(part, ("", ""))
    hashes = (getattr(saved, part)[:12], getattr(now, part)[:12])
    return f"{part} {before} ({hashes[0]}…), and it is {after} ({hashes[1]}…) now".replace("  ", " ")


def _differing(saved: Pin, now: Pin) -> list[tuple[str, Any, Any]]:
    """Settings that differ, by dotted key: what each was and is."""
    was, became = _flat(saved.settings), _flat(now.settings)
    keys = sorted({*was, *became})
    return [(key, was.get(key), became.get(key)) for key in keys if was.get(key) != became.get(key)]


def _flat(settings: dict[str, Any], within: str = "") -> dict[str, Any]:
    """Nested settings by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{within}{key}.") if isinstance(value, dict) else {f"{within}{key}": value}
    return found
