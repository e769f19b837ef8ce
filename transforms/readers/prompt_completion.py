"""``prompt`` and ``completion`` (or ``response``): two texts, or two lists of messages (TRL)."""

from schemas.errors import Unreadable
from transforms.readers.shape import Conversation, RawRow, Shape, with_leftovers
from transforms.readers.source import SourceOptions, need_text
from transforms.readers.tool_list import read_tools
from transforms.readers.turns import read_turn, read_turns, with_system

# A fine-tuning file may spell the stop token out; the chat template adds its own.
END_MARKERS = (
    "<|endoftext|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|end|>",
    "<|end_of_text|>",
    "</s>",
    "<eos>",
    "<end_of_turn>",
)
SEPARATOR = "\n\n###\n\n"  # OpenAI's advice for the end of a prompt
_USED = frozenset(("prompt", "completion", "response", "system", "tools"))


def recognise(keys: frozenset[str]) -> bool:
    return "prompt" in keys and ("completion" in keys or "response" in keys)


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    """OpenAI's file conventions are undone: the separator after a prompt, one space before and a stop token
    after the completion. Everything else stays, the prompt's own line ends included."""
    prompt = row["prompt"]
    completion = completion_of(row)
    if isinstance(prompt, str):
        question = prompt[: -len(SEPARATOR)] if prompt.endswith(SEPARATOR) else prompt
        messages = [{"role": "user", "content": question}]
    else:
        messages = read_turns(prompt, "prompt")
    if isinstance(completion, str):
        messages.append({"role": "assistant", "content": bare_completion(completion)})
    else:
        messages += read_turn(completion, "completion")
    if "system" in row:
        messages = with_system(messages, row["system"])
    conversation: Conversation = {"messages": messages}
    if "tools" in row:
        tools = read_tools(row["tools"])
        if tools is not None:
            conversation["tools"] = tools
    return with_leftovers(conversation, row, _USED)


def completion_of(row: RawRow) -> object:
    if "completion" not in row:
        return row["response"]
    completion, response = row["completion"], row.get("response")
    if response and completion and response != completion:
        raise Unreadable('"completion" and "response" hold two different answers; map one of them by hand')
    return completion or need_text(row, "response")


def bare_completion(text: str) -> str:
    if text.endswith(END_MARKERS):
        for marker in END_MARKERS:
            text = text.removesuffix(marker)
    if text[:1] == " " and text[1:2] != " ":
        text = text[1:]
    return text


SHAPE = Shape("prompt_completion", recognise, convert)
