"""ToolBench search trees (``answer_generation``): the successful path, whose last call is the answer.

``train_messages`` holds a prompt for every step of the path; the last one is the whole path. A search that
gave up, or that ended without an answer, is no example to learn from and goes to quarantine.
"""

from schemas.errors import Unreadable
from transforms.readers.shape import Conversation, RawRow, Shape
from transforms.readers.source import SourceOptions, brief
from transforms.readers.tool_list import read_tools
from transforms.readers.turns import read_turns


def recognise(keys: frozenset[str]) -> bool:
    return "answer_generation" in keys


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    answer = row["answer_generation"]
    if not isinstance(answer, dict):
        raise Unreadable('"answer_generation" is not an object')
    finish = answer.get("finish_type")
    if finish != "give_answer":
        raise Unreadable(f"a tool search that found no answer (finish_type {brief(finish)}, not 'give_answer')")
    steps = answer.get("train_messages")
    if not isinstance(steps, list) or not steps:
        raise Unreadable('a tool search without "train_messages"')
    conversation: Conversation = {"messages": read_turns(steps[-1], "train_messages")}
    tools = read_tools(answer.get("function"))
    if tools is not None:
        conversation["tools"] = tools
    conversation["task"] = "tool use"
    if isinstance(answer.get("query"), str):
        conversation["extra"] = {"query": answer["query"]}
    return conversation


SHAPE = Shape("toolbench", recognise, convert)
