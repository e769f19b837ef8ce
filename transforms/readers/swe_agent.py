"""SWE-agent trajectories (``.traj``): the ``history`` of an agent's run is the conversation.

Demonstrations at the start of a history are prompts of another task and are left out. The run's
``trajectory`` says the same again; of the rest the environment and the exit status are kept.
"""

from typing import Any

from schemas.errors import Unreadable
from transforms.readers.shape import Conversation, RawRow, Shape
from transforms.readers.source import SourceOptions, kind_of
from transforms.readers.turns import read_turns


def recognise(keys: frozenset[str]) -> bool:
    return "history" in keys and "trajectory" in keys


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    history = row["history"]
    if not isinstance(history, list):
        raise Unreadable(f'"history" is {kind_of(history)}, not a list of messages')
    turns = [_turn(turn) for turn in history if not (isinstance(turn, dict) and turn.get("is_demo") is True)]
    conversation: Conversation = {"messages": read_turns(turns, "history"), "task": "agent"}
    extra = {}
    if isinstance(row.get("environment"), str):
        extra["environment"] = row["environment"]
    info = row.get("info")
    if isinstance(info, dict) and isinstance(info.get("exit_status"), str):
        extra["exit_status"] = info["exit_status"]
    if extra:
        conversation["extra"] = extra
    return conversation


def _turn(turn: Any) -> Any:
    """A turn without the agent's bookkeeping; of ``tool_call_ids`` the one id is kept."""
    if not isinstance(turn, dict):
        return turn
    kept = {key: turn[key] for key in ("role", "content", "tool_calls") if key in turn}
    ids = turn.get("tool_call_ids")
    if isinstance(ids, list) and len(ids) == 1:
        kept["tool_call_id"] = ids[0]
    return kept


SHAPE = Shape("swe_agent", recognise, convert)
