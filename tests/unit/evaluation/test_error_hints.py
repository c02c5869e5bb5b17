"""Every error that an evaluation tells its user has a next step."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import llmkit
from llmkit.core import errors

SOURCES = Path(llmkit.__file__).parent
FILES = [
    *(path for folder in ("evaluation", "tasks", "metrics", "runtimes") for path in (SOURCES / folder).glob("*.py")),
    *(path for pattern in ("_eval_*.py", "_compare*.py") for path in (SOURCES / "stages").glob(pattern)),
    *(SOURCES / name for name in ("stages/evaluate.py", "cli/compare.py", "cli/evaluate.py")),
]
TOLD = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.UserError)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_errors_have_a_next_step(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    lacking = [
        node.lineno
        for node in calls
        if isinstance(node.func, ast.Name) and node.func.id in TOLD
        if len(node.args) < 2 and not any(word.arg == "hint" for word in node.keywords)
    ]
    assert not lacking
