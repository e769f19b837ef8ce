"""What an engine says of a failure, as one sentence: its first cause, not the stack around it."""

import re

from schemas.errors import GristmillError

FULL = "no space is left on the disk of --out or --work-dir; nothing was published"
LONGEST = 600
"""Characters of a cause that is not ours; a runner may quote whole messages."""

_OURS = re.compile(r"^(?:schemas\.errors\.)?GristmillError: (.+)$", re.MULTILINE)
_PYTHON = re.compile(
    r"Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*([A-Za-z_][\w.]*(?:: .*)?)$", re.MULTILINE
)
_PLACE = re.compile(r'^  File "[^"]*?([^/"]+)", line (\d+), in (\S+)$', re.MULTILINE)
_JAVA = re.compile(r"^(?:Caused by: )?((?:[a-z_]\w*\.)+[A-Z]\w*(?:: .+)?)$", re.MULTILINE)
_DIED = re.compile(r"call already cancelled|client cancelled|Process died with exit code", re.IGNORECASE)
"""What Beam's Java side says when a worker's connections break."""
_PACKAGES = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Z]\w*(?:Exception|Error)\b)")


def our_sentence(error: Exception) -> str | None:
    """The message of a GristmillError, also from inside the traceback text that a runner hands back."""
    text = str(error)
    if re.search(r"\[errno 28\]", text, flags=re.IGNORECASE):
        return FULL  # first: what a reader says of a failed file may quote it
    if isinstance(error, GristmillError):
        found = [text]
    else:
        found = _OURS.findall(text)
    return re.sub(r" \[while running .*", "", found[-1]) if found else None


def first_cause(text: str) -> str:
    """One line that says what happened: the exception a Python worker raised, or the deepest of Java's causes."""
    if _DIED.search(text) and not _PYTHON.search(text):
        return "a Python worker ended while it worked, perhaps killed for want of memory"
    raised = _PYTHON.findall(text)
    if raised:
        places = _PLACE.findall(text)
        found = raised[-1] + (f" (in {places[-1][2]}, {places[-1][0]} line {places[-1][1]})" if places else "")
    else:
        causes = _JAVA.findall(text)
        found = causes[-1] if causes else next((line.strip() for line in text.splitlines() if line.strip()), "")
    found = _PACKAGES.sub("", re.sub(r" \[while running '[^']*'\]", "", found)).strip()
    found = found or "the engine gave no reason"
    return found if len(found) <= LONGEST else found[: LONGEST - 1] + "…"
