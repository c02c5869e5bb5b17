"""Fuzzed recipes: values of every kind in every field of the shipped recipes, resolved by `--dry-run`; seeded.

A recipe is a text that people write by hand: whatever stands in it is taken, or refused with words.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from campaign._cases import Case

HELD = frozenset({0, 2, 3, 4})
SEED = 7
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, 1e-320, float("inf"), float("nan"), "", " ",
    "auto", "none", "x", "x" * 100_000, "\N{COMBINING ACUTE ACCENT}\n\t", "中文", "~", "../..", "/", "/dev/null",
    "{}", "[]", [], [[]], [None], {}, {"": ""}, {"type": None}, {"type": "x"}, {"type": []}, [{"type": "x"}],
    {"a": {"a": {"a": {}}}}, [0] * 1000,
)  # fmt: skip
"""What a field may be set to."""
TEXTS = {
    "an anchor in itself": "a: &a [*a]\n",
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "a tab": "a:\n\tb: 1\n",
    "a key twice": "seed: 1\nseed: 2\n",
    "no key": ": 1\n",
    "a list as key": "? [a]\n: 1\n",
    "a number as key": "1: 2\n",
    "null as key": "null: 2\n",
    "an unknown tag": "seed: !thing 1\n",
    "a date": "seed: 2020-01-01\n",
    "binary": "seed: !!binary aGk=\n",
    "a set": "seed: !!set {a}\n",
    "a merge of a number": "<<: 7\n",
    "two documents": "a: 1\n---\na: 2\n",
    "a byte order mark": "\ufeffseed: 1\n",
    "a control character": "a: \x07\n",
    "lists in lists": "a: " + "[" * 3000,
    "octal": "seed: 0o17\n",
    "sexagesimal": "seed: 1:30\n",
}
"""Whole recipes; none grows when it is read."""


def cases(_scratch: Path) -> Iterator[Case]:
    """Yield every case."""
    import yaml

    from llmkit.core.recipes import recipe_names, recipe_stage
    from llmkit.stages import STAGES

    draw = random.Random(SEED)
    for name, file in recipe_names().items():
        stage = recipe_stage(name, list(STAGES)) or "clean"
        recipe = yaml.safe_load(file.read_text(encoding="utf-8"))
        for path in _places(recipe):
            for value in draw.sample(VALUES, 6):
                changed = _changed(recipe, path, value)
                where = ".".join(map(str, path))
                yield Case(f"{name}: {where}: {str(value)[:30]!r}", partial(_recipe, stage, changed), HELD)
            yield Case(f"{name}: without {path}", partial(_recipe, stage, _without(recipe, path)), HELD)
    for stage in STAGES:
        for name, text in TEXTS.items():
            yield Case(f"{stage}: {name}", partial(_text, stage, text), HELD)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*path, key)
        yield from _places(item, (*path, key))


def _changed(recipe: Any, path: Sequence[str | int], value: Any) -> Any:
    changed = copy.deepcopy(recipe)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def _without(recipe: Any, path: Sequence[str | int]) -> Any:
    changed = copy.deepcopy(recipe)
    place = changed
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return changed


def _recipe(stage: str, recipe: Any, folder: Path) -> Sequence[str]:
    import yaml

    return _text(stage, yaml.safe_dump(recipe, allow_unicode=True), folder)


def _text(stage: str, text: str, folder: Path) -> Sequence[str]:
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    return [stage, "-r", "recipe.yaml", "--dry-run"]
