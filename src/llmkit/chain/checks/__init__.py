"""The checks of a chain, one module each: `check(chain, run)` yields what it finds, and is asked of every run in order.

A check may also define `check_all(chain)` for what the runs only have together. Adding one is adding a module; its name
is that of the check. A `UserError` that a check raises is a problem of the run: the stages' own code can be asked.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType

from llmkit.chain.runs import Chain, Finding, Run
from llmkit.core.errors import UserError

MACHINE = 4
"""The exit code of what the machine cannot do; memory has another one where a run has begun."""
FIRST = ("links", "paths", "settings")
"""What the others take for granted comes first; those are asked in the order of their names."""


def check_chain(chain: Chain) -> list[Finding]:
    """Return what all checks find, by run; each problem once, where it is first found."""
    found: list[Finding] = []
    for run in chain.runs:
        for name, module in _modules().items():
            if run.resolved is not None or name == "settings":
                found += _asked(name, run, lambda run=run, module=module: module.check(chain, run))  # type: ignore[misc]
    for name, module in _modules().items():
        if hasattr(module, "check_all"):
            found += _asked(name, None, lambda module=module: module.check_all(chain))  # type: ignore[misc]
    once: dict[str, Finding] = {}
    for item in found:
        once.setdefault(item.message if item.level == "problem" else f"{item.run} {item.check} {item.message}", item)
    return list(once.values())


def _modules() -> dict[str, ModuleType]:
    names = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    names.sort(key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


def _asked(name: str, run: Run | None, ask: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    title = name.replace("_", " ")
    try:
        for item in ask():
            found.append(replace(item, check=title))  # noqa: PERF401 - what was found before an error counts
    except UserError as error:
        about, _, words = error.message.partition(": ")
        is_field = run is not None and words and about.split(".")[0] in run.given.stage.config.model_fields
        about, words = (about, words) if is_field else ("", error.message)
        code = min(error.exit_code, MACHINE)
        problem = (
            Finding("problem", words, hint=error.hint, code=code)
            if run is None
            else run.problem(words, about=about, code=code, hint=error.hint)
        )
        found.append(replace(problem, check=title))
    return found
