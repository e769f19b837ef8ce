"""Roles: each fault of order is a rule of its own, and no shape that real data have by right is a fault."""

from typing import Any

import pytest

from tests.annotated import alone, failed, hostile, records
from transforms.filters.roles import FILTER

CALL = {"id": "1", "type": "function", "function": {"name": "order_tea", "arguments": "{}"}}
CALLS: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [CALL]}
S, U, A, T = ("system", "Be brief."), ("user", "Tea?"), ("assistant", "Oolong."), ("tool", '{"success": true}')


@pytest.mark.parametrize(
    "turns",
    [
        [U, A],
        [S, U, A],
        [U, A, U, A, U, A],
        [U, CALLS, T, A],
        [U, CALLS, T, T, A],  # parallel calls
        [U, CALLS, T, CALLS, T, A, U, A],
        [S, U, CALLS],  # the call is what is learnt
        [U, CALLS, CALLS, T, A],  # calls stored one to a message
        [U, A, CALLS, T, A],  # a text and its call stored apart
        [U, CALLS, A],  # a call whose result nobody kept
        [U, A, U, CALLS, T],  # an agent's trace often ends so
        [U, CALLS, T, U, A],
        [A],  # plain text
        [S, A],
    ],
)
def test_lawful_shapes_pass(turns: list[Any]):
    assert failed(FILTER, records(turns)) == [set()]


@pytest.mark.parametrize(
    ("turns", "fault"),
    [
        ([U, S, A], "late_systems"),
        ([S, S, U, A], "late_systems"),
        ([U, A, S, U, A], "late_systems"),
        ([U, U, A], "user_runs"),
        ([U, A, A], "assistant_runs"),
        ([U, A, U, A, A, U, A], "assistant_runs"),
        ([U, T, A], "stray_tools"),
        ([U, A, T, A], "stray_tools"),
        ([U, A, T, T, A], "stray_tools"),
        ([U, CALLS, U, T, A], "stray_tools"),
        ([A, U, A], "early_turns"),
        ([S, A, U, A], "early_turns"),
        ([U, A, U], "closing_users"),
    ],
)
def test_each_fault_has_its_rule_and_its_switch(turns: list[Any], fault: str):
    block = records(turns, [U, A])
    assert failed(FILTER, block) == [{fault}, set()]
    assert failed(FILTER, block, **{fault: None}) == [set(), set()]
    assert failed(FILTER, block, **{fault: 1}) == [set(), set()]


def test_an_ending_on_a_tool_is_a_fault_on_demand():
    block = records([U, CALLS, T], [U, CALLS, T, A])
    assert failed(FILTER, block) == [set(), set()]
    assert failed(FILTER, block, closing_tools=0) == [{"closing_tools"}, set()]


def test_a_fault_ends_with_its_record():
    """The last message of one record and the first of the next are no run."""
    block = records([U, A, U], [U, A], [A], [A, U, A], [U, CALLS], [T])
    found = failed(FILTER, block)
    assert found == [{"closing_users"}, set(), set(), {"early_turns"}, set(), {"stray_tools"}]


def test_a_record_is_measured_alone():
    assert alone(FILTER, hostile())
    assert failed(FILTER, records()) == []
