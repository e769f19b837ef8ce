"""Few-shot scaffolding of benchmark prompts: labels and option blocks that are the harness's words, not the item's.

``Question: Where is it?\\nChoices:\\nA. here\\nB. there\\nAnswer:`` holds one question and two options.
"""

import re
from typing import NamedTuple

_LABEL = re.compile(r"\A\s*(?:Question|Q|Problem|Task|Input|Instruction|Prompt)\s*:\s*", re.IGNORECASE)
_ANSWER = re.compile(r"\n\s*(?:Answer|A|Response|Output|Solution)\s*:\s*\Z", re.IGNORECASE)
_PASSAGE = re.compile(
    r"\A\s*(?:Passage|Context|Article|Story|Background)\s*:\s*(.*?)\n\s*(?:Question|Q)\s*:\s*(.*)\Z",
    re.IGNORECASE | re.DOTALL,
)
_OPTIONS = re.compile(r"\n\s*(?:Choices|Options|Answer\s+choices|Answer\s+options)\s*:[ \t]*\n", re.IGNORECASE)
_OPTION = re.compile(r"\s*(?:\(([A-Za-z]|\d{1,2})\)|([A-Za-z]|\d{1,2})[.)]|[-*•])(?:\s+(.*))?\Z", re.DOTALL)
_REFERENCE = re.compile(r"\s*\(?([A-Z])[.)]?\s*\Z")


class Parts(NamedTuple):
    """What a prompt holds: ``options`` are texts without their labels, ``block`` is how the prompt writes them."""

    passage: str
    question: str
    options: tuple[str, ...]
    block: str


def take_apart(prompt: str) -> Parts:
    """The parts of a prompt; a prompt without scaffolding is all question."""
    text = _ANSWER.sub("", prompt.rstrip())
    text, options, block = _cut_options(text)
    found = _PASSAGE.match(text)
    passage, question = (found[1].strip(), found[2]) if found else ("", text)
    return Parts(passage, _LABEL.sub("", question).strip(), options, block)


def chosen(options: tuple[str, ...], answer: str) -> str:
    """The text of the option that ``answer`` ("(B)", "B", "B.") points to; any other answer as it is."""
    found = _REFERENCE.match(answer)
    if found and options:
        number = ord(found[1]) - ord("A")
        if number < len(options):
            return options[number]
    return answer


def _cut_options(text: str) -> tuple[str, tuple[str, ...], str]:
    headed = _OPTIONS.search(text)
    if headed:
        block = text[headed.end() :]
        listed = [_OPTION.match(line) for line in block.split("\n") if line.strip()]
        return (text[: headed.start()], _texts(listed), block) if listed and all(listed) else (text, (), "")
    lines = text.split("\n")
    first = len(lines)
    while first > 1 and _letter(lines[first - 1]):
        first -= 1
    if len(lines) - first < 2 or _letter(lines[first]) != "A":  # a numbered list is what is asked, not its answers
        return text, (), ""
    return "\n".join(lines[:first]), _texts([_OPTION.match(line) for line in lines[first:]]), "\n".join(lines[first:])


def _letter(line: str) -> str:
    """ "B" of "b. mall" or "(B) mall"; empty for any other line."""
    found = _OPTION.match(line)
    label = (found[1] or found[2] or "") if found else ""
    return label.upper() if label.isalpha() else ""


def _texts(options: list[re.Match[str] | None]) -> tuple[str, ...]:
    return tuple((one[3] or "").strip() for one in options if one)
