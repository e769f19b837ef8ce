"""Drops records whose licence is not on a list. Names are compared as SPDX writes them, however they were written."""

import re
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.licence import Licence
from transforms.filters.filter import Filter, Finding

_WORDS = (
    (r"https?://(?:www\.)?creativecommons\.org/licenses/([a-z-]+)/([\d.]+).*", r"cc-\1-\2"),
    (r"https?://(?:www\.)?creativecommons\.org/publicdomain/zero/([\d.]+).*", r"cc0-\1"),
    (r"https?://opensource\.org/licenses?/", ""),
    (r"\bcreative commons\b", "cc"),
    (r"\bpublic domain dedication\b", ""),
    (r"\battribution\b", "by"),
    (r"\bnon-?commercial\b", "nc"),
    (r"\bshare-?alike\b", "sa"),
    (r"\bno-?deriv(?:ative)?s?\b", "nd"),
    (r"\b(?:the|licen[cs]ed?|software|version|international|unported|generic|universal|under)\b", " "),
    (r"\bapache software\b", "apache"),
    (r"\bv(?:er)?\.? ?(?=\d)", ""),
    (r"[\s_/,()–-]+", "-"),
)
_ALIASES = {
    "apache": "apache-2.0", "apache-2": "apache-2.0", "apache2": "apache-2.0", "apache2.0": "apache-2.0",
    "expat": "mit",
    "cc0": "cc0-1.0", "cc-zero": "cc0-1.0", "cc-0": "cc0-1.0", "gnu-gpl-3.0": "gpl-3.0", "gplv3": "gpl-3.0",
    "gpl3": "gpl-3.0",
    "gplv2": "gpl-2.0", "bsd-3": "bsd-3-clause", "bsd-2": "bsd-2-clause", "odc-by": "odc-by-1.0", "pddl": "pddl-1.0",
}  # fmt: skip


class Settings(Strict):
    """The record's own licence counts, else its source's. ``MIT OR GPL-3.0`` needs one of the two on the list, ``AND``
    both."""

    allow: list[str] = Field(
        default=[],
        description="SPDX identifiers or names: MIT, Apache-2.0, CC-BY-4.0. A name without a version allows every "
        "version: CC-BY allows CC-BY-3.0, but never CC-BY-NC-3.0. Empty: everything is allowed",
    )
    deny: list[str] = Field(default=[], description="what goes in any case, named in the same way")
    unknown: Literal["keep", "drop"] = Field(
        "drop",
        description="with an allow list: records without any licence, or with one that says nothing (other, unknown)",
    )

    @field_validator("allow", "deny")
    @classmethod
    def _named(cls, names: list[str]) -> list[str]:
        for name in names:
            if not normalise(name):
                raise ValueError(f"{name!r} names no licence; give an SPDX identifier, for example CC-BY-4.0")
        return sorted(set(names))


def normalise(name: str) -> str:
    """As SPDX writes it, in small letters: "CC BY-SA 3.0 License" is "cc-by-sa-3.0". Nothing said: empty."""
    text = name.strip().lower()[:200]
    for pattern, new in _WORDS:
        text = re.sub(pattern, new, text)
    text = text.strip("-. ")
    text = re.sub(r"-(?:only|or-later)$", "", text)
    text = _ALIASES.get(text, text)
    return "" if text in ("other", "unknown", "none", "n-a", "na", "null", "nan", "unspecified", "see-readme") else text


def covers(listed: str, licence: str) -> bool:
    """Whether a list's name (normalised) covers a licence (normalised): itself, or any version of it."""
    if listed == licence:
        return True
    return licence.startswith(f"{listed}-") and re.fullmatch(r"\d+(?:\.\d+)*", licence[len(listed) + 1 :]) is not None


def _allowed(text: str, names: list[str]) -> bool:
    choices = re.split(r"\s+or\s+|\s*\|\s*", text.strip().strip("()"), flags=re.IGNORECASE)
    return any(
        all(
            any(covers(name, normalise(part)) for name in names)
            for part in re.split(r"\s+and\s+", one, flags=re.IGNORECASE)
        )
        for one in choices
    )


def _any(text: str, names: list[str]) -> bool:
    parts = re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE)
    return any(covers(name, normalise(part)) for name in names for part in parts)


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    coded = pc.dictionary_encode(pc.fill_null(features["licence"], ""))
    names = coded.dictionary.to_pylist()
    codes = np.asarray(coded.indices)
    allow, deny = ([normalise(name) for name in listed] for listed in (settings.allow, settings.deny))

    def each(flags: list[bool]) -> npt.NDArray[np.bool_]:
        return np.array(flags, bool)[codes] if names else np.zeros(len(codes), bool)

    known = each([bool(normalise(name)) for name in names])
    if settings.allow:
        allowed = each([_allowed(name, allow) for name in names])
        yield Finding("licence.not_allowed", known & ~allowed, allowed.astype(np.float64), 1)
        if settings.unknown == "drop":
            yield Finding("licence.unknown", ~known, known.astype(np.float64), 1)
    if settings.deny:
        denied = each([_any(name, deny) for name in names])
        yield Finding("licence.denied", denied, denied.astype(np.float64), 0)


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Licence(),)


FILTER = Filter("licence", Settings, decide, needs)
