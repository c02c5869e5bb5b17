r"""Problems whose answers are programs, and the program that an answer makes: HumanEval's rows and MBPP's.

    {"task_id": "own/0", "prompt": "def double(x):\n    \"\"\"Return twice x.\"\"\"\n", "entry_point": "double",
     "canonical_solution": "    return 2 * x\n", "test": "def check(candidate):\n    assert candidate(2) == 4\n"}
    {"task_id": 1, "text": "Write a function double that returns twice a number.", "code": "def double(x): ...",
     "test_list": ["assert double(2) == 4"]}

Sources: Chen et al., Evaluating Large Language Models Trained on Code, 2021 (HumanEval, pass@k, the stop texts);
Austin et al., Program Synthesis with Large Language Models, 2021 (MBPP).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmkit.core.errors import DataError
from llmkit.data.column_names import listed

FUNCTION_STOPS = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint")
"""What a model writes once the function is done, of those that go on with a text."""
PROGRAM_STOPS = ("\nassert", '\n"""', "\nprint", "\nif ", "\n```")
"""The same where the answer may hold several functions."""
TASK = "Write Python for the following task. Answer with one block of code that holds all that it needs.\n\n"
"""What a chat model is told before the problem."""


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        prompt: What a model that goes on with text is given.
        question: What a chat model is asked.
        is_body: The answer goes on with the prompt, in the function that it begins; else it is a program of its own.
        entry_point: Name of the function; "" where the tests alone know it.
        solution: The row's own answer, None where it has none.
        setup: What stands before an answer.
        tests: What stands behind it.
        stop: Texts that end an answer to `prompt`.
    """

    prompt: str
    question: str
    is_body: bool
    entry_point: str
    solution: str | None
    setup: str
    tests: str
    stop: tuple[str, ...]

    def program(self, answer: str, *, chat: bool = False) -> str:
        """Return the whole program, tests included, that an answer makes.

        Args:
            answer: What the model said behind the prompt, or to the question.
            chat: It was the question: the code is looked for in the answer.
        """
        if not chat:
            return self._tested(self.prompt + answer if self.is_body else answer)
        return self._tested(self._whole(code_in(answer, self.entry_point)))

    def own_program(self) -> str:
        """Return the same of the row's own answer: a body, or the function."""
        return self._tested(self._whole(self.solution or ""))

    def _whole(self, code: str) -> str:
        """Return code with what the prompt has before it: all, or imports and functions before one that it defines."""
        if not self.is_body:
            return code
        begin = _definition(self.entry_point).search(self.prompt) if defines(code, self.entry_point) else None
        return (self.prompt if begin is None else self.prompt[: begin.start()]) + code

    def _tested(self, code: str) -> str:
        return "\n".join((*filter(None, (self.setup,)), code, "", self.tests, ""))


def problem_of(fields: Mapping[str, Any], name: str) -> Problem:
    """Return the problem that a row holds.

    Args:
        fields: Its columns.
        name: Its id, for errors.

    Raises:
        DataError: It is neither HumanEval's nor MBPP's; the message says what is missing.
    """
    if "entry_point" in fields:
        prompt, entry, test = (_text(fields, column, name) for column in ("prompt", "entry_point", "test"))
        if not entry.isidentifier():
            raise DataError(
                f"tasks.data: problem {name}: entry_point is no name of Python: {entry[:40]!r}",
                "it is the name of the function that the tests call",
            )
        solution = _text(fields, "canonical_solution", name) if fields.get("canonical_solution") else None
        tests = f"{test}\n\ncheck({entry})"
        return Problem(prompt, f"{TASK}```python\n{prompt}```", True, entry, solution, "", tests, FUNCTION_STOPS)
    if "test_list" in fields:
        text = _text(fields, "text" if "text" in fields else "prompt", name)
        tests = "\n".join(_texts(fields, "test_list", name))
        imports = fields.get("test_imports") or ()
        setup = "\n".join(
            [*_texts({"test_imports": imports}, "test_imports", name), fields.get("test_setup_code") or ""]
        )
        solution = _text(fields, "code", name) if fields.get("code") else None
        question = f"{TASK}{text}\n\nIt has to pass these tests:\n```python\n{tests}\n```"
        return Problem(
            f'"""\n{text}\n{tests}\n"""\n', question, False, "", solution, setup.strip(), tests, PROGRAM_STOPS
        )
    raise DataError(
        f"tasks.data: problem {name} has neither entry_point (HumanEval) nor test_list (MBPP); its columns are"
        f" {listed(fields)}",
        "rows of HumanEval have prompt, entry_point and test, those of MBPP text and test_list",
    )


def code_in(answer: str, entry_point: str) -> str:
    """Return the code of an answer: of its fenced blocks the first that defines the function, else the first one.

    A block that the answer does not close, since it ran out of tokens, goes to the end. Without a block all is code.
    """
    blocks = [found[2] for found in _FENCED.finditer(answer)]
    if not blocks:
        return answer
    return next((block for block in blocks if entry_point and defines(block, entry_point)), blocks[0])


def defines(code: str, name: str) -> bool:
    """Tell whether code defines a function at its outermost level."""
    return _definition(name).search(code) is not None


def pass_at(k: int, num_samples: int, num_passed: int) -> float:
    """Return the unbiased estimate of the chance that one of k samples passes, 1 - C(n - c, k) / C(n, k).

    Args:
        k: How many may be drawn.
        num_samples: n, those that were drawn.
        num_passed: c, those of them that passed.

    Raises:
        ValueError: n < k, of which the formula would say 1.
    """
    if num_samples < k:
        raise ValueError(f"pass@{k} cannot be told of {num_samples} samples")
    return 1 - math.comb(num_samples - num_passed, k) / math.comb(num_samples, k)


_FENCED = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)


def _definition(name: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:async\s+)?def\s+{re.escape(name)}\b|^{re.escape(name)}\s*=", re.MULTILINE)


def _text(fields: Mapping[str, Any], column: str, name: str) -> str:
    value = fields.get(column)
    if not isinstance(value, str) or not value:
        what = "no" if value is None or value == "" else f"no text as its '{column}', but {type(value).__name__}:"
        raise DataError(
            f"tasks.data: problem {name} has {what} '{column}'; its columns are {listed(fields)}",
            f"give the row a text as its '{column}', or leave it out",
        )
    return value


def _texts(fields: Mapping[str, Any], column: str, name: str) -> list[str]:
    values = fields[column]
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise DataError(
            f"tasks.data: problem {name}: '{column}' is no list of texts", f'{column}: ["assert f(1) == 2"]'
        )
    return list(values)
