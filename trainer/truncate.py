"""What to do with a conversation that is longer than a pack: leave it out, cut it after a whole turn, or stop."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from schemas.chat.render import Renderer, counted
from schemas.chat.template import Conversation, weight_of

Overlong = Literal["drop", "truncate_at_turn", "raise"]


def cut(conversation: Conversation, kept: int) -> Conversation:
    """The first ``kept`` messages; the tools stay on offer."""
    if kept == len(conversation.messages):
        return conversation
    return Conversation(conversation.messages[:kept], conversation.tools)


def ends(conversation: Conversation) -> list[int]:
    """Where a conversation may be cut, in messages, ascending: behind an assistant message, before the end, with
    something learned before it."""
    found, learned = [], False
    for at, message in enumerate(conversation.messages[:-1]):
        learned = learned or weight_of(message) > 0
        if learned and message["role"] == "assistant":
            found.append(at + 1)
    return found


def whole_turns(renderer: Renderer, conversations: Sequence[Conversation], capacity: int) -> list[int]:
    """Messages to keep of each conversation [n] so that it has at most ``capacity`` tokens; 0: no whole turn fits.

    A conversation is cut behind the last assistant message that fits, and rendered again as a conversation that ends
    there: the stop token of that answer is its own, none is added. Found by bisection, because a conversation gets
    longer with every message: log2(answers) renderings. The result fits in any case, since it was measured.
    """
    choices = [ends(one) for one in conversations]
    kept = [0] * len(conversations)
    low, high = [0] * len(conversations), [len(one) for one in choices]  # the answer lies in choices[low:high], or not
    while True:
        active = [row for row in range(len(conversations)) if low[row] < high[row]]
        if not active:
            return kept
        middles = {row: (low[row] + high[row]) // 2 for row in active}
        tried = [cut(conversations[row], choices[row][middle]) for row, middle in middles.items()]
        measured = renderer.measure(tried)
        fits = np.asarray(counted(measured.states)) & (measured.rendered <= capacity)
        for (row, middle), fit in zip(middles.items(), fits.tolist()):
            if fit:
                kept[row], low[row] = choices[row][middle], middle + 1
            else:
                high[row] = middle
