"""JSON that is JSON: no NaN, no infinity, and one place that writes it."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import llmkit
from llmkit.core.digest import canonical_json
from llmkit.core.durable import write_json
from llmkit.core.json import dumps, not_finite

NAN, INF = float("nan"), float("inf")


def test_layouts():
    value = {"b": [1, 0.5], "a": "春"}
    assert dumps(value) == '{"b": [1, 0.5], "a": "春"}'
    assert dumps(value, sort_keys=True, compact=True) == '{"a":"春","b":[1,0.5]}'
    assert dumps(value, ascii_only=True) == '{"b": [1, 0.5], "a": "\\u6625"}'
    assert dumps(value, indent=1) == json.dumps(value, indent=1, ensure_ascii=False)
    assert dumps({"path": Path("x")}, default=str) == '{"path": "x"}'


@pytest.mark.parametrize(("value", "message"), [
    ({"scores": {"loss": [1.0, NAN]}}, "scores.loss.1 is nan, a number that JSON does not have"),
    ([{"x": -INF}], "0.x is -inf, a number that JSON does not have"),
    (INF, "the value is inf, a number that JSON does not have"),
])  # fmt: skip
@pytest.mark.parametrize("write", [dumps, canonical_json])
def test_a_number_that_is_not_finite_is_named(write, value, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        write(value)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "scores.json"
    write_json(path, {"loss": 1.5})
    with pytest.raises(ValueError, match="loss is nan"):
        write_json(path, {"loss": NAN})
    assert json.loads(path.read_text(encoding="utf-8")) == {"loss": 1.5}
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]


def test_all_that_is_not_finite_is_found():
    value = {"a": 1.0, "b": (NAN, {"c": INF}), "d": "nan", "e": True}
    assert [(path, str(number)) for path, number in not_finite(value)] == [("b.0", "nan"), ("b.1.c", "inf")]


def test_nothing_else_writes_json():
    root = Path(llmkit.__file__).parent
    found = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in sorted(root.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("dump", "dumps", "model_dump_json")
        and getattr(node.value, "id", "json") == "json"
    ]
    # Programs under test are watched by a script that knows the standard library alone.
    assert {place.rpartition(":")[0] for place in found} == {"core/json.py", "evaluation/_confined.py"}
