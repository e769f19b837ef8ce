"""Which task a record is: the sum of the rules that match, the largest first."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.annotate.tags.names import TASKS
from transforms.annotate.tags.rules import RULES
from transforms.annotate.tags.views import Views

Scores = npt.NDArray[np.float64]

_CODE = {name: code for code, name in enumerate(TASKS)}
_TOOLS = 12.0
"""More than the rules of any other task add up to in practice: tools offered or called decide."""
_TALK = 1.2
"""For a first turn that tells something, in a conversation of three or more user turns."""
_TELLS = r"^(?:i|i'm|i’m|we|my|it|it's|that|yes|no|so|well|just|oh|today|yesterday)\b"


def scores(views: Views) -> Scores:
    """Score of each task [n, len(TASKS)]; "other" has 0.5, so that a record of which nothing is known is other."""
    found = np.zeros((len(views.ask), len(TASKS)))
    found[:, _CODE["other"]] = 0.5
    parts: dict[tuple[str, bool | None], tuple[pa.Array, npt.NDArray[np.int64] | slice]] = {}
    for rule in RULES:
        if (rule.where, rule.given) not in parts:
            parts[rule.where, rule.given] = _part(views, rule.where, rule.given)
        texts, rows = parts[rule.where, rule.given]
        found[rows, _CODE[rule.task]] += rule.weight * np.asarray(pc.match_substring_regex(texts, rule.pattern))
    found[:, _CODE["tool_use"]] += _TOOLS * views.tools
    tells = np.asarray(pc.match_substring_regex(views.ask, _TELLS)) & ~np.asarray(pc.match_substring(views.ask, "?"))
    found[:, _CODE["dialogue"]] += _TALK * ((views.users >= 3) & tells)
    return found


def _part(views: Views, where: str, given: bool | None) -> tuple[pa.Array, npt.NDArray[np.int64] | slice]:
    """The texts that a rule is about, and the rows that they are of: there is no need to search in the others."""
    texts: pa.Array = getattr(views, where)
    if given is None:
        return texts, slice(None)
    chosen = views.passage == given
    return texts.filter(pa.array(chosen)), np.flatnonzero(chosen)


def decide(found: Scores) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Code into TASKS and confidence [n].

    Of equal scores the later name in TASKS wins, for the general kinds of question stand before the special ones.
    Confidence is m / (m + 1) of the margin m to the second best: 0 is a tie, 0.5 a margin of one weight unit. It takes
    no exponential, whose last bit can depend on where in a block a record stands.
    """
    last = found.shape[1] - 1
    best = last - np.argmax(found[:, ::-1], axis=1)
    ordered = np.sort(found, axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    return best.astype(np.int8), np.round(margin / (margin + 1), 4).astype(np.float32)
