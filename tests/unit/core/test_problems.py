from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from llmkit.core.config import Config, resolve
from llmkit.core.errors import ConfigError, nearest
from llmkit.core.registry import Family
from llmkit.stages import clean, evaluate, pretrain, tokenize
from llmkit.tasks import Task


class Inner(Config):
    """A group."""

    depth: int = 1
    """Depth."""
    low: int = 0
    """Low."""
    high: int = 1
    """High."""

    @model_validator(mode="after")
    def _check(self) -> Inner:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Toy(Config):
    """A config with every kind of place a problem can be in."""

    size: int = Field(4, ge=1)
    """A number."""
    either: int | Literal["auto", "none"] = "auto"
    """A number or a word."""
    text: str | None = None
    """Text."""
    maybe: Inner | None = None
    """A group or nothing."""
    many: list[Inner] = []
    """Groups."""
    maybe_many: list[Inner] | None = None
    """Groups or nothing."""
    named: dict[str, Inner] = {}
    """Groups by name."""
    tasks: list[Annotated[Task, Family("task")]] | None = None
    """Parts or nothing."""


@pytest.fixture
def problems(tmp_path):
    """Return the lines that a recipe's problems are reported in, `@3` for the recipe's third line."""

    def call(text: str, config: type[Config] = Toy) -> list[str]:
        path = tmp_path / "r.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            resolve(config, recipe=path)
        return caught.value.message.replace(f"{path}:", "@").split("\n")

    return call


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\nszie: 3", "szie: unknown field; did you mean 'size'? (@2)"),
        ("size: four", "size: should be a valid integer, not 'four' (@1)"),
        ("size: 0", "size: should be greater than or equal to 1, not 0 (@1)"),
        ("size: null", "size: should be a valid integer, not None (@1)"),
        ("either: many", "either: should be a valid integer or 'auto' or 'none', not 'many' (@1)"),
        ("text: 3", "text: should be a valid string, not 3 (@1)"),
        ("text: [" + "x, " * 40 + "]", "text: should be a valid string, not a list (@1)"),
        ("maybe: 3", "maybe: should be a mapping of fields, not 3 (@1)"),
        ("maybe:\n  dept: 3", "maybe.dept: unknown field; did you mean 'depth'? (@2)"),
        ("maybe:\n  depth: x", "maybe.depth: should be a valid integer, not 'x' (@2)"),
        ("maybe: {low: 5, high: 3}", "maybe: low 5 is above high 3 (@1)"),
        ("many:\n- depth: 1\n- dept: 1", "many.1.dept: unknown field; did you mean 'depth'? (@3)"),
        ("many: {depth: 1}", "many: should be a valid list, not {'depth': 1} (@1)"),
        ("many: one", "many: should be a valid list, not 'one'; a list is written [one] (@1)"),
        ("maybe_many:\n- zzz: 1", "maybe_many.0.zzz: unknown field; valid: depth, high, low (@2)"),
        ("named:\n  a:\n    dept: 1", "named.a.dept: unknown field; did you mean 'depth'? (@3)"),
        ("named:\n  a:\n    depth: x", "named.a.depth: should be a valid integer, not 'x' (@3)"),
        ("tasks:\n- type: answers\n  data: d\n  limt: 3", "tasks.0.limt: unknown field; did you mean 'limit'? (@4)"),
    ],
)
def test_groups(problems, text, line):
    assert problems(text) == [line]


@pytest.mark.parametrize(
    ("config", "text", "line"),
    [
        (
            clean.Config,
            "inputs: [a]\nsteps:\n- normalize\n- type: length\n  min_chrs: 3",
            "steps.1.min_chrs: unknown field; did you mean 'min_chars'? (@5)",
        ),
        (
            clean.Config,
            "inputs: [a]\nsteps:\n- normalize\n- type: length\n  min_chars: few",
            "steps.1.min_chars: should be a valid integer, not 'few' (@5)",
        ),
        (
            clean.Config,
            "inputs: [a]\nsteps:\n- normalize\n- lenth",
            "steps.1: unknown step 'lenth'; did you mean 'length'? (@4)",
        ),
        (
            clean.Config,
            "inputs: [a]\nsteps:\n- normalize\n- min_chars: 3\n  type: lenth",
            "steps.1.type: unknown step 'lenth'; did you mean 'length'? (@5)",
        ),
        (
            clean.Config,
            "inputs: [a]\nsteps:\n- 3",
            "steps.0: expected a name or a mapping with 'type' (@3)",
        ),
        (
            clean.Config,
            "inputs:\n- {text_field: body}",
            "inputs.0: missing 'type'; valid: code, files, hf, parallel, python_docs (@2)",
        ),
        (
            evaluate.Config,
            "model: m\ntasks:\n- type: generation\n  data: d\n  metrics:\n  - rouge\n  - type: chrf\n    wrd_order: 1",
            "tasks.0.metrics.1.wrd_order: unknown field; did you mean 'word_order'? (@8)",
        ),
        (
            evaluate.Config,
            "model: m\ntasks:\n- type: generation\n  data: d\n  metrics: [ruge]",
            "tasks.0.metrics.0: unknown metric 'ruge'; did you mean 'rouge'? (@5)",
        ),
        (evaluate.Config, "model: m\ntasks:\n- generation", "tasks.0.data: required, but not given (@3)"),
        (
            pretrain.Config,
            "data: [d]\nmodel: {arch: llama}\nmax_steps: 1\nobjective: {type: causl_lm}",
            "objective.type: unknown objective 'causl_lm'; did you mean 'causal_lm'? (@4)",
        ),
        (
            pretrain.Config,
            "data: [d]\nmodel: {arch: llama, path: p}\nmax_steps: 1",
            "model: give either 'arch' (a new model) or 'path' (a model directory): both are given (@2)",
        ),
        (
            pretrain.Config,
            "data: [d]\nmodel: {arch: llama}\nmax_steps: 1\noptimizer:\n  lr: 0",
            "optimizer.lr: should be greater than 0, not 0 (@5)",
        ),
        (
            pretrain.Config,
            "data: [d]\nmodel: {arch: llama}",
            "one of max_steps, max_tokens, max_epochs and max_minutes is required",
        ),
        (
            tokenize.Config,
            "inputs: [c]\ntokenizer:\n  type: bpx",
            "tokenizer.type: unknown tokenizer 'bpx'; did you mean 'bpe'? (@3)",
        ),
    ],
)
def test_stages(problems, config, text, line):
    assert problems(text, config) == [line]


def test_all_problems_at_once_up_to_ten(problems):
    assert problems("size: a\nszie: 1\nmany: [{depth: x}]\n") == [
        "size: should be a valid integer, not 'a' (@1)",
        "many.0.depth: should be a valid integer, not 'x' (@3)",
        "szie: unknown field; did you mean 'size'? (@2)",
    ]
    assert len(problems("\n".join(f"x{i}: 1" for i in range(30)))) == 10


def test_nearest():
    assert nearest("lenth", ["length", "normalize"]) == "; did you mean 'length'?"
    assert nearest("zzz", ["b", "a", "a"]) == "; valid: a, b"
    assert nearest("zzz", [f"name{i}" for i in range(13)]) == ""
    assert nearest("zzz", []) == ""
