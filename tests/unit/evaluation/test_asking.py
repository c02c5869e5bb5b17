from __future__ import annotations

from threading import Barrier

import pytest
import torch

from llmkit.core.errors import DataError, MemoryLimitError
from llmkit.evaluation import engine
from llmkit.evaluation.engine import Asked, Engine
from llmkit.evaluation.kept import Kept
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Facts, Generate, Label, Running, Score, Written


class Toy(Running):
    """Scores by the sum of the targets, writes the length of the prompt, and holds so many padded tokens at most."""

    def __init__(self, most: int = 10**9, error: type[Exception] = MemoryError) -> None:
        self.facts, self.most, self.error = Facts(positions=64), most, error
        self.batches: list[list[int]] = []
        self.asked: list[object] = []

    def takes(self, request):
        return "it has no head for that\nask another model" if isinstance(request, Label) else None

    def tokens(self, request):
        if isinstance(request, Score):
            return len(request.context) + len(request.target) - 1
        return len(request.prompt) + request.budget

    def answer(self, requests):
        assert len({type(one) for one in requests}) == 1
        sizes = [self.tokens(one) for one in requests]
        if max(sizes) * len(sizes) > self.most:
            raise self.error("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes.")
        self.batches.append(sizes)
        self.asked += requests
        if any(isinstance(one, Score) and 999 in one.target for one in requests):
            raise NotFiniteError("the model in 'toy' gives a text the log-likelihood nan")
        if isinstance(requests[0], Score):
            return [-float(sum(one.target)) for one in requests]
        return [Written((len(one.prompt),), "a", ended=True) for one in requests]


def score(length: int, target: int = 1) -> Score:
    return Score((0,) * length, (target,))


def rows(*requests):
    return [Asked([one], "toy task") for one in requests]


def test_answers_come_in_the_order_of_the_rows_whatever_their_length_and_kind():
    toy = Toy()
    asked = [
        Asked([score(3, 5), Generate((1, 2), 4)]), Asked([score(9, 7)]), Asked([]), Asked([score(1, 2), score(5, 3)]),
    ]  # fmt: skip
    found = list(Engine(toy).ask(asked))
    assert found == [[-5.0, Written((2,), "a", ended=True)], [-7.0], [], [-2.0, -3.0]]
    assert toy.batches == [[6], [9, 5, 3, 1]], "one batch of each kind, the longest first"


def test_batches_are_filled_up_to_the_budget_with_rows_of_like_length(monkeypatch):
    monkeypatch.setattr(engine, "FIRST_WINDOW", 100)
    toy = Toy()
    requests = [score(length, length) for length in (2, 30, 3, 29, 31, 1)]
    assert list(Engine(toy, batch_tokens=64).ask(rows(*requests))) == [[-float(one.target[0])] for one in requests]
    assert toy.batches == [[31, 30], [29, 3], [2, 1]]
    assert all(max(sizes) * len(sizes) <= 64 for sizes in toy.batches)


def test_a_row_over_the_budget_is_asked_alone(monkeypatch):
    monkeypatch.setattr(engine, "FIRST_WINDOW", 1)
    toy = Toy()
    assert len(list(Engine(toy, batch_tokens=8).ask(rows(score(20, 1), score(4, 2), score(4, 3))))) == 3
    assert toy.batches == [[20], [4, 4]]


def test_equal_requests_are_asked_once_in_any_row_and_window():
    toy = Toy()
    filler = [score(300, n) for n in range(2, 8)]
    asked = [Asked([score(4), score(4)]), *rows(score(4), *filler, score(4), filler[0])]
    done = []
    found = list(Engine(toy, batch_tokens=512).ask(asked, done=done.append))
    assert found[0] == [-1.0, -1.0] and found[1] == found[-2] == [-1.0] and found[-1] == [-2.0]
    assert len(toy.asked) == len(set(toy.asked)) == 7
    assert sum(done) == len(asked)


def test_windows_grow_so_that_the_first_answer_needs_few_rows():
    toy, read = Toy(), []

    def stream():
        for number in range(60):
            read.append(number)
            yield Asked([score(100, number)])

    answers = Engine(toy, batch_tokens=512).ask(stream())
    next(answers)
    assert len(read) == 2, "200 tokens: a quarter of a batch and a part of one"
    assert [next(answers) for _ in range(2)]
    assert len(read) == 2 + 6
    assert [next(answers) for _ in range(6)]
    assert len(read) == 2 + 6 + 21
    assert len(list(answers)) == 60 - 9
    asked = [one.target[0] for one in toy.asked]
    assert asked == sorted(asked)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_what_does_not_fit_into_memory_is_halved_and_stays_small(error):
    toy = Toy(most=100, error=error)
    asking = Engine(toy, batch_tokens=400)
    requests = [score(20, n) for n in range(1, 31)]
    assert list(asking.ask(rows(*requests))) == [[-float(n)] for n in range(1, 31)]
    assert max(map(len, toy.batches)) == 5, "20 tokens each: 20, 10, then 5 fit"
    assert asking.batch_tokens <= 100


def test_one_request_that_does_not_fit_says_so():
    kept = Kept()
    asking = Engine(Toy(most=50), kept)
    with pytest.raises(
        MemoryLimitError, match=r"toy task: out of memory: a single score request of 60 tokens does not"
    ):
        list(asking.ask([*rows(*(score(length) for length in range(10, 62, 10)))]))
    assert len(kept) == 0, "the longest is asked first"


def test_any_other_error_is_what_it_is():
    with pytest.raises(RuntimeError, match="shapes"):
        toy = Toy()
        toy.answer = lambda _: (_ for _ in ()).throw(RuntimeError("shapes"))
        list(Engine(toy).ask(rows(score(3))))


def test_answers_that_are_no_numbers_name_the_task():
    with pytest.raises(NotFiniteError, match=r"^toy task: the model in 'toy' gives a text the log-likelihood nan$"):
        list(Engine(Toy()).ask(rows(score(3, 999))))
    both = [Asked([score(4)], "one task"), Asked([score(4), score(3, 999)], "another task")]
    with pytest.raises(NotFiniteError, match=r"^one task or another task: the model"):
        list(Engine(Toy()).ask(both))  # asked together: any of them may be to blame


def test_a_kind_that_the_runtime_does_not_answer_is_refused_before_anything_is_asked():
    toy = Toy()
    with pytest.raises(DataError) as caught:
        Engine(toy).check(Label("a"), "the model in 'toy'")
    assert caught.value.message == "the model in 'toy' does not answer label requests: it has no head for that"
    assert caught.value.hint == "ask another model"
    Engine(toy).check(score(1), "the model in 'toy'")
    assert not toy.asked


def test_a_killed_run_is_gone_on_with(tmp_path):
    file, requests = tmp_path / "answers", [score(n, n) for n in range(1, 40)]

    class KilledError(Exception):
        pass

    def die(count, seen=[]):  # noqa: B006 - counts over calls
        seen.append(count)
        if sum(seen) >= 12:
            raise KilledError

    first = Toy()
    with Kept(file, "toy") as kept, pytest.raises(KilledError):
        list(Engine(first, kept, batch_tokens=64).ask(rows(*requests), done=die))
    assert 12 <= len(first.asked) < len(requests)
    with file.open("ab") as torn:
        torn.write(b"0123456789abcdef0123456789abcdef 00000000 -3")
    second, done = Toy(), []
    with Kept(file, "toy") as kept:
        found = list(Engine(second, kept, batch_tokens=64).ask(rows(*requests), done=done.append))
    assert found == [[-float(n)] for n in range(1, 40)]
    assert not set(first.asked) & set(second.asked)
    assert len(first.asked) + len(second.asked) == len(requests) == sum(done)


@pytest.mark.parametrize("shares", [True, False])
def test_rows_that_begin_alike_are_asked_side_by_side_and_counted_once(shares, monkeypatch):
    monkeypatch.setattr(engine, "FIRST_WINDOW", 100)
    toy = Toy()
    toy.shares_prefixes = shares
    one, two = tuple(range(40)), tuple(range(100, 140))
    shared = [Score((*prefix, n), (1,) * n) for n in (3, 1, 2) for prefix in (one, two)]
    list(Engine(toy, batch_tokens=86).ask(rows(*shared, Score((7,) * 42, (1,)), Score((8,) * 20, (1,)))))
    begins = [asked.context[0] for asked in toy.asked if asked in shared]
    if shares:  # 40 + 1 + 2 + 3 tokens; one more row of the other family would be 41 more
        assert sorted(map(len, toy.batches)) == [2, 3, 3]
        assert begins in ([0] * 3 + [100] * 3, [100] * 3 + [0] * 3)
    else:
        assert max(map(len, toy.batches)) == 2


def test_what_a_whole_batch_begins_with_is_not_counted_and_batches_of_trees_are_bounded(monkeypatch):
    monkeypatch.setattr(engine, "FIRST_WINDOW", 1000)
    monkeypatch.setattr(engine, "TREE_TOKENS", 60)
    toy = Toy()
    toy.shares_prefixes = True
    prefix = tuple(range(90))
    list(Engine(toy, batch_tokens=100).ask(rows(*(Score((*prefix, n), (1,)) for n in range(200)))))
    assert list(map(len, toy.batches)) == [60, 60, 60, 20], "each has one token of its own"


def test_lanes_have_as_many_tokens_each():
    class Two(Toy):
        def lanes(self, kind):
            return 2

    threads = torch.get_num_threads()
    toy = Two()
    list(Engine(toy, batch_tokens=2000).ask([Asked([score(100, number) for number in range(30)])]))
    assert sorted(map(len, toy.batches)) == [6, 8, 8, 8], "2,000 and 1,000 tokens would keep one waiting"
    toy.batches.clear()
    list(Engine(toy, batch_tokens=2000).ask([Asked([score(10, number) for number in range(14)])]))
    assert sorted(map(len, toy.batches)) == [2, 12], "very small batches are not worth it"
    torch.set_num_threads(threads)


def test_answers_that_came_before_memory_ended_are_kept():
    class Streaming(Toy):
        def stream(self, requests):
            for number, one in enumerate(requests):
                if number == 2 and len(requests) > 2:
                    raise MemoryError
                yield [(number, self.answer([one])[0])]

    toy = Streaming()
    done = []
    found = list(Engine(toy).ask(rows(*(score(20, n) for n in range(1, 8))), done=done.append))
    assert found == [[-float(n)] for n in range(1, 8)]
    assert len(toy.asked) == 7, "none is asked twice"
    assert sum(done) == 7


def test_several_batches_are_answered_at_a_time_and_come_in_order():
    class Two(Toy):
        both = Barrier(2, timeout=30)

        def lanes(self, kind):
            return 2

        def answer(self, requests):
            self.both.wait()  # ends the test where one batch waits for the other
            return super().answer(requests)

    toy = Two()
    threads = torch.get_num_threads()
    asked = [Asked([score(100, number) for number in range(6)])]
    assert list(Engine(toy, batch_tokens=100).ask(asked)) == [[0.0, -1.0, -2.0, -3.0, -4.0, -5.0]]
    assert toy.batches == [[100]] * 6
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)


def test_an_error_of_one_of_several_batches_ends_the_others():
    class Two(Toy):
        def lanes(self, kind):
            return 2

    threads = torch.get_num_threads()
    with pytest.raises(NotFiniteError, match="toy task: the model in 'toy' gives a text the log-likelihood nan"):
        list(Engine(Two(), batch_tokens=64).ask(rows(*(score(60, number) for number in (1, 2, 999, 4, 5, 6)))))
    torch.set_num_threads(threads)
