"""``question`` and ``answer``, with a ``rationale`` where the set explains its answers (FLAN's CoT files)."""

from schemas.errors import Unreadable
from transforms.readers.shape import Conversation, RawRow, Shape, with_leftovers
from transforms.readers.source import SourceOptions, need_text

_USED = frozenset(("question", "answer", "rationale"))
_FINAL = "\n#### "  # GSM8K writes its final answer on a line of its own


def recognise(keys: frozenset[str]) -> bool:
    return "question" in keys and "answer" in keys


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    """With a rationale the reply is the rationale and, on a line of its own, "The answer is X."; both pieces
    are kept in ``extra``. Without one the answer stays as it is, GSM8K's calculator marks included."""
    question, answer = need_text(row, "question"), need_text(row, "answer")
    if not question:
        raise Unreadable('"question" is empty')
    rationale = need_text(row, "rationale")
    reply = explained(rationale, answer) if rationale else answer
    conversation: Conversation = {
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    }
    if rationale or _FINAL in answer:
        conversation["task"] = "reasoning"
    if rationale:
        conversation["extra"] = {"answer": answer, "rationale": rationale}
    return with_leftovers(conversation, row, _USED)


def explained(rationale: str, answer: str) -> str:
    if not answer:
        return rationale
    end = "" if answer.endswith((".", "!", "?", "。")) else "."
    return f"{rationale}\nThe answer is {answer}{end}"


SHAPE = Shape("question_answer", recognise, convert)
