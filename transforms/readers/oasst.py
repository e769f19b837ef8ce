"""OpenAssistant trees, flat (a message a row, with parent ids) and nested (``replies`` inside ``replies``).

``trees="all"``: every root-to-assistant path that no other path goes on from: a leaf that is a user message
is cut back to the last assistant, and that path counts once. ``trees="best"``: one path a tree, at each
message the reply ranked best (lowest ``rank``, unranked last, then file order) among those that lead to an
assistant.

In a flat file the row of a path's last message gives the record, the other rows of its threads are consumed.
Quarantined are rows that no thread can use: an unknown parent, a parent loop, a second row with the same id,
a deleted message and what hangs below it, and threads without any assistant message.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import Unreadable
from transforms.readers.shape import Conversation, RawRow, Shape, TreeOutcome
from transforms.readers.source import SourceOptions, brief, kind_of, need_text
from transforms.readers.turns import ROLES

_IDS = ("message_id", "user_message_id")
_PARENTS = ("parent_id", "parent_message_id")
MAX_TURNS = 1000  # A longer path is a chain built to exhaust memory: all its prefixes would be written out.


@dataclass
class Node:
    """One message of a tree. ``leads`` tells whether it or something below it is an assistant message."""

    index: int
    identity: str
    role: str
    text: str
    rank: float
    language: str
    parent: "Node | None" = None
    replies: list["Node"] = field(default_factory=list)
    depth: int = 0
    leads: bool = False


def recognise_flat(keys: frozenset[str]) -> bool:
    return "text" in keys and "role" in keys and not keys.isdisjoint(_IDS) and "replies" not in keys


def convert_file(rows: Iterable[tuple[int, RawRow]], options: SourceOptions) -> TreeOutcome:
    reasons: dict[int, str] = {}
    nodes: dict[str, Node] = {}
    parents: dict[str, str] = {}
    for index, row in rows:
        try:
            node = _node(row, index)
            parent = next((need_text(row, key) for key in _PARENTS if row.get(key) is not None), "")
            if node.identity in nodes:
                raise Unreadable(f"message id {brief(node.identity)} appears twice in this file")
        except Unreadable as error:
            reasons[index] = str(error)
            continue
        nodes[node.identity] = node
        if parent:
            parents[node.identity] = parent
    roots = _link(nodes, parents, reasons)
    order = _top_down(roots)
    reached = {node.index for node in order}
    for node in nodes.values():
        if node.index not in reached and node.index not in reasons:
            reasons[node.index] = "its parents are not in this file, could not be read, or form a loop"
    _mark(order)
    records: list[tuple[int, Conversation]] = []
    for last in _ends(roots, order, options, reasons):
        if last.depth < MAX_TURNS:
            records.append((last.index, _conversation(last)))
        else:
            reasons[last.index] = f"a thread longer than {MAX_TURNS} messages"
    return TreeOutcome(sorted(records, key=lambda record: record[0]), reasons)


def recognise_nested(keys: frozenset[str]) -> bool:
    return ("replies" in keys and "text" in keys) or ("prompt" in keys and "message_tree_id" in keys)


def confirm_nested(row: RawRow) -> bool:
    return "replies" in row or isinstance(row.get("prompt"), dict)


def convert_parts(row: RawRow, options: SourceOptions) -> list[Conversation]:
    """The paths of one nested tree; a broken message anywhere quarantines the tree."""
    root = _node(row["prompt"] if isinstance(row.get("prompt"), dict) else row, 0)
    waiting = [(root, row["prompt"] if isinstance(row.get("prompt"), dict) else row)]
    number = 0
    while waiting:
        node, source = waiting.pop()
        replies = source.get("replies") or []
        if not isinstance(replies, list):
            raise Unreadable(f'"replies" is {kind_of(replies)}, not a list')
        for reply in replies:
            if not isinstance(reply, dict):
                raise Unreadable(f'"replies" holds {kind_of(reply)} where a message was expected')
            number += 1
            child = _node(reply, number)
            child.parent = node
            node.replies.append(child)
            waiting.append((child, reply))
    order = _top_down([root])
    _mark(order)
    ends = _ends([root], order, options, {})
    if not ends:
        raise Unreadable("a tree without an assistant message")
    tree = row.get("message_tree_id")
    conversations = [_conversation(last) for last in ends]
    if isinstance(tree, str):
        for conversation in conversations:
            conversation.setdefault("extra", {})["message_tree_id"] = tree
    return conversations


def _node(row: Any, index: int) -> Node:
    identity = next((row[key] for key in _IDS if isinstance(row.get(key), str)), "")
    role = ROLES.get(row["role"]) if isinstance(row.get("role"), str) else None
    if role is None or role == "call":
        raise Unreadable(f"unknown role {brief(row.get('role'))}")
    if not isinstance(row.get("text"), str):
        raise Unreadable(f'"text" is {kind_of(row.get("text"))}, not a string')
    if row.get("deleted") is True:
        raise Unreadable("a message marked deleted")
    if row.get("review_result") is False:
        raise Unreadable("a message that the set's review refused")
    rank = row.get("rank")
    order = float(rank) if isinstance(rank, int | float) and -1e9 < rank < 1e9 else float("inf")
    return Node(index, identity, role, row["text"], order, need_text(row, "lang"))


def _link(nodes: dict[str, Node], parents: dict[str, str], reasons: dict[int, str]) -> list[Node]:
    roots = []
    for identity, node in nodes.items():
        parent = parents.get(identity)
        if parent is None:
            roots.append(node)
        elif parent in nodes:
            node.parent = nodes[parent]
            node.parent.replies.append(node)
        else:
            reasons[node.index] = f"parent message {brief(parent)} is not in this file or could not be read"
    return roots


def _top_down(roots: list[Node]) -> list[Node]:
    """Every message below the roots, parents before replies; sets depths. Loops are never reached."""
    order = list(roots)
    for node in order:
        for reply in node.replies:
            reply.depth = node.depth + 1
        order.extend(node.replies)
    return order


def _mark(order: list[Node]) -> None:
    for node in reversed(order):
        node.leads = node.role == "assistant" or any(reply.leads for reply in node.replies)


def _ends(roots: list[Node], order: list[Node], options: SourceOptions, reasons: dict[int, str]) -> list[Node]:
    """The last messages of the paths to write; ``reasons`` grows by threads without an assistant."""
    ends = []
    answered: set[int] = set()
    for node in order:
        above = node.parent is not None and node.parent.index in answered
        if above or node.role == "assistant":
            answered.add(node.index)
        if not (above or node.leads):
            reasons[node.index] = "a thread without an assistant message"
        if options.trees == "all" and node.role == "assistant" and not any(reply.leads for reply in node.replies):
            ends.append(node)
    if options.trees == "best":
        ends = [_best(root) for root in roots if root.leads]
    return ends


def _best(node: Node) -> Node:
    while True:
        leading = [reply for reply in node.replies if reply.leads]
        if not leading:
            return node
        node = min(leading, key=lambda reply: (reply.rank, reply.index))


def _conversation(last: Node) -> Conversation:
    messages = []
    node: Node | None = last
    while node is not None:
        messages.append({"role": node.role, "content": node.text})
        node = node.parent
    messages.reverse()
    conversation: Conversation = {"messages": messages}
    if last.language:
        conversation["language"] = last.language
    if last.identity:
        conversation["extra"] = {"message_id": last.identity}
    return conversation


FLAT = Shape("oasst_flat", recognise_flat, convert_file=convert_file)
NESTED = Shape("oasst_nested", recognise_nested, confirm=confirm_nested, convert_parts=convert_parts)
