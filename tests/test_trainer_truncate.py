"""Cutting over-long conversations after whole turns."""

import numpy as np
import pytest

from schemas.chat.template import Conversation, Refusal
from tests.trainer_shards import chatml
from trainer.truncate import cut, ends, whole_turns
from trainer.weights import targets


def talk(*roles: str, **more: object) -> Conversation:
    return Conversation([{"role": role, "content": f"{role} number {at}"} | more for at, role in enumerate(roles)])


def tokens(conversation: Conversation) -> int:
    [encoded] = chatml().encode([conversation])
    assert not isinstance(encoded, Refusal)
    return len(encoded.ids)


LONG = talk("system", *("user", "assistant") * 6)


def test_a_conversation_may_be_cut_behind_every_answer_but_the_last():
    assert ends(LONG) == [3, 5, 7, 9, 11]
    assert ends(talk("user", "assistant")) == []
    assert ends(talk("user", "assistant", "tool", "assistant", "user")) == [2, 4]


def test_not_where_nothing_was_learned_yet():
    messages = [one | {"train": False} if at < 3 else one for at, one in enumerate(LONG.messages)]
    assert ends(Conversation(messages)) == [5, 7, 9, 11]


def test_the_longest_start_that_fits_is_kept():
    for kept in ends(LONG):
        size = tokens(cut(LONG, kept))
        assert whole_turns(chatml(), [LONG, LONG], size) == [kept, kept]
        assert whole_turns(chatml(), [LONG], size - 1) == [kept - 2 if kept > 3 else 0]


def test_the_cut_conversation_ends_with_its_own_learned_stop():
    renderer = chatml()
    [whole, short] = renderer.encode([LONG, cut(LONG, 5)])
    assert not isinstance(whole, Refusal)
    assert not isinstance(short, Refusal)
    assert whole.ids[: len(short.ids)].tolist() == short.ids.tolist()
    stop = renderer.encoder.specials["<|im_end|>"]
    learned = short.ids[short.weights > 0]
    assert learned[-1] == stop
    assert (learned == stop).sum() == 2


def test_tools_stay_on_offer():
    offered = Conversation(LONG.messages, '[{"name": "weather"}]')
    assert cut(offered, 3).tools == offered.tools


def test_no_conversations():
    assert whole_turns(chatml(), [], 10) == []


@pytest.mark.parametrize(("weighting", "total"), [("token", 3.5), ("sequence", 3.5 / 3), ("sqrt", 3.5 / 3**0.5)])
def test_weights_of_targets(weighting, total):
    weights = np.array([1, 0, 1, 0.5, 2, 0], np.float32)
    made = targets(weights, weighting)
    assert made.dtype == np.float32
    assert made[0] == 0
    assert made.sum() == pytest.approx(total)
    assert weights[0] == 1  # what was given stays as it is
    assert targets(np.array([1], np.float32), weighting).tolist() == [0]
    assert targets(np.zeros(0, np.float32), weighting).tolist() == []
