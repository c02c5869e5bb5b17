"""What program an answer makes, and pass@k against its definition: by counting all draws."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.core.errors import DataError
from llmkit.evaluation.programs import code_in, pass_at, problem_of
from llmkit.tasks.code import Code

ROW = {
    "task_id": "own/0",
    "prompt": 'from math import pi\n\n\ndef area(r):\n    """Return the area of a circle."""\n',
    "entry_point": "area",
    "canonical_solution": "    return pi * r * r\n",
    "test": "def check(candidate):\n    assert 3.1 < candidate(1) < 3.2\n",
}
MBPP = {"task_id": 7, "text": "Write a function double.", "code": "def double(x):\n    return 2 * x",
        "test_list": ["assert double(2) == 4", "assert double(0) == 0"]}  # fmt: skip


def runs(program):
    """Whether it runs to its end; it is the test's own code, so that it needs no confinement."""
    try:
        exec(program, {})
    except Exception:  # noqa: BLE001
        return False
    return True


@given(st.integers(1, 9), st.data())
def test_pass_at_k_is_the_share_of_draws_with_one_that_passes(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(combinations([1] * c + [0] * (n - c), k))
    assert pass_at(k, n, c) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)


def test_pass_at_k_by_hand():
    assert pass_at(1, 200, 37) == pytest.approx(37 / 200, abs=1e-15)
    assert pass_at(2, 4, 1) == pytest.approx(1 - (3 / 4) * (2 / 3))
    assert pass_at(100, 200, 101) == 1.0
    assert pass_at(10, 10, 0) == 0.0
    with pytest.raises(ValueError, match="pass@5 cannot be told of 4 samples"):
        pass_at(5, 4, 4)


@given(st.integers(1, 1000), st.data())
def test_pass_at_k_is_the_estimator_of_the_paper_and_of_lm_eval(n, data):
    """Chen et al. 2021, figure 3: 1 - prod(1 - k / i) for i from n - c + 1 to n, and 1 where n - c < k."""
    from lm_eval.tasks.cruxeval.utils import _pass_at_k

    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    of_the_paper = 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1)) if n - c >= k else 1.0
    assert pass_at(k, n, c) == pytest.approx(of_the_paper, rel=1e-9, abs=1e-12)
    assert pass_at(k, n, c) == pytest.approx(float(_pass_at_k(n, c, k)), rel=1e-9, abs=1e-12)


def test_pass_at_k_of_problems_is_the_mean_of_theirs():
    """By hand, of 5 programs, k of 2: 1 - C(3,2)/C(5,2) = 0.7, 1 - C(5,2)/C(5,2) = 0, 1 - C(4,2)/C(5,2) = 0.4."""
    task = Code.model_validate({"data": {"path": "none.jsonl"}, "k": [1, 2], "num_samples": 5, "temperature": 0.8})
    samples = [{f"pass@{k}": pass_at(k, 5, passed) for k in task.k} for passed in (2, 0, 1)]
    found = {name: measure.value for name, measure in task.measures(samples).items()}
    assert found == {"pass@1": pytest.approx(3 / 15), "pass@2": pytest.approx(1.1 / 3)}


@pytest.mark.parametrize(("answer", "code"), [
    ("x = 1", "x = 1"),
    ("Sure:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
    ("```\nimport os\n```\nthen\n```py\ndef area(r):\n    return r\n```", "def area(r):\n    return r\n"),
    ("```python\ndef area(r):\n    return r", "def area(r):\n    return r"),  # out of tokens
    ("~~~\nx = 1\n~~~", "x = 1\n"),
    ("````python\nx = '''\n```\n'''\n````", "x = '''\n```\n'''\n"),
    ("Use `area` so: ```area(1)``` yes", "Use `area` so: ```area(1)``` yes"),
    ("  ```python\n  x = 1\n  ```", "  x = 1\n"),
    ("```\n```", ""),
])  # fmt: skip
def test_code_in_an_answer(answer, code):
    assert code_in(answer, "area") == code


@pytest.mark.parametrize(("answer", "chat", "right"), [
    ("    return pi * r * r\n", False, True),
    ("    return r * r\n", False, False),
    ("```python\ndef area(r):\n    return pi * r * r\n```", True, True),  # the import is the prompt's
    ("```python\nfrom math import pi\ndef area(r):\n    return pi * r ** 2\n```\nIt is simple.", True, True),
    ("```python\narea = lambda r: pi * r * r\n```", True, True),
    ("    return pi * r * r", True, True),
    ("```python\ndef other(r):\n    return 1\n```", True, False),
    ("I do not know.", True, False),
    ("", False, False),
])  # fmt: skip
def test_programs_of_humaneval(answer, chat, right):
    assert runs(problem_of(ROW, "own/0").program(answer, chat=chat)) is right


@pytest.mark.parametrize("solution", ["    return pi * r * r\n", "def area(r):\n    return pi * r * r\n"])
def test_own_solutions_are_bodies_or_functions(solution):
    assert runs(problem_of({**ROW, "canonical_solution": solution}, "own/0").own_program())


def test_programs_of_mbpp():
    problem = problem_of({**MBPP, "test_setup_code": "zero = 0", "test_imports": ["import math"]}, "7")
    assert runs(problem.own_program())
    assert runs(problem.program("```python\ndef double(x):\n    return x + x + zero * math.pi\n```", chat=True))
    assert not runs(problem.program("def double(x):\n    return x"))
    assert problem.prompt == '"""\nWrite a function double.\nassert double(2) == 4\nassert double(0) == 0\n"""\n'
    sanitized = problem_of({"task_id": 1, "prompt": "Double it.", "test_list": ["assert True"]}, "1")
    assert (sanitized.solution, "Double it." in sanitized.question) == (None, True)


@pytest.mark.parametrize(("change", "message"), [
    ({"test": None}, "problem own/0 has no 'test'; its columns are"),
    ({"prompt": 3}, "has no text as its 'prompt', but int"),
    ({"entry_point": "not a name"}, "entry_point is no name of Python: 'not a name'"),
])  # fmt: skip
def test_rows_that_are_no_problems(change, message):
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        problem_of({**ROW, **change}, "own/0")


def test_other_rows_and_lists():
    with pytest.raises(DataError, match=r"neither entry_point .HumanEval. nor test_list .MBPP.; its columns are text"):
        problem_of({"text": "x"}, "1")
    with pytest.raises(DataError, match="'test_list' is no list of texts"):
        problem_of({**MBPP, "test_list": "assert True"}, "7")
