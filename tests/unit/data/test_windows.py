"""Windows of whole parts, and the exchanges of conversations, against hand-made ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmkit.data.rows.messages import Messages
from llmkit.data.rows.prompt_completion import PromptCompletion
from llmkit.data.windows import exchanges, latest, shorter_chats, windows

sizes = st.lists(st.integers(1, 9), max_size=12)


@given(sizes, st.integers(1, 20))
def test_windows_hold_all_parts_that_fit_in_order_and_none_could_take_one_more(parts, room):
    def fits(start, stop):
        return sum(parts[start:stop]) <= room

    found, lost = windows(len(parts), fits)
    inside = [i for start, stop in found for i in range(start, stop)]
    assert inside == [i for i, size in enumerate(parts) if size <= room]
    assert lost == sum(size > room for size in parts)
    for start, stop in found:
        assert fits(start, stop)
        assert stop == len(parts) or not fits(start, stop + 1)


@given(sizes, st.integers(1, 20))
def test_the_latest_parts_are_the_longest_tail_that_fits(parts, room):
    tails = [i for i in range(len(parts)) if sum(parts[i:]) <= room]
    found = latest(len(parts), lambda start, stop: sum(parts[start:stop]) <= room)
    assert found == ((min(tails), len(parts)) if tails else None)


def turns(roles):
    names = {"s": "system", "u": "user", "a": "assistant", "t": "tool", "d": "developer"}
    return [{"role": names[role], "content": f"{role}{i}"} for i, role in enumerate(roles)]


def test_an_exchange_ends_with_the_last_of_its_answers():
    assert exchanges(turns("suaua")) == (1, [3, 5])
    assert exchanges(turns("sduuatau")) == (2, [7])  # a call, what the tool says, the answer; then nobody answers
    assert exchanges(turns("uaau")) == (0, [3])
    assert exchanges(turns("su")) == (1, [])
    assert exchanges(turns("suauat")) == (
        1,
        [3, 6],
    )  # the last answer is a call, and nothing follows what the tool says
    assert exchanges(turns("uat")) == (0, [3])


def said(rows):
    return ["".join(turn["role"][0] + turn["content"][1:] for turn in row["messages"]) for row in rows]


def test_conversations_lose_their_beginning_or_are_split_and_keep_what_leads_them():
    talk = turns("suauaua")
    row = {"messages": talk, "id": "x"}

    def fits(one):
        return len(one["messages"]) <= 5

    rows, lost = shorter_chats(row, Messages(), fits, split=False)
    assert (said(rows), lost, rows[0]["id"]) == (["s0u3a4u5a6"], 0, "x")
    rows, lost = shorter_chats(row, Messages(), fits, split=True)
    assert (said(rows), lost) == (["s0u1a2u3a4", "s0u5a6"], 0)
    assert shorter_chats(row, Messages(), lambda _: False, split=False) == ([], 1)
    assert shorter_chats(row, Messages(), lambda _: False, split=True) == ([], 3)


def test_of_one_question_and_its_answer_nothing_is_cut():
    assert shorter_chats({"prompt": "a", "completion": "b"}, PromptCompletion(), lambda _: True, split=False) == ([], 1)
