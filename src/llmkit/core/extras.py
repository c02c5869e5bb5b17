"""Optional dependencies: what each extra brings, and the one way to say that it is missing."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from llmkit.core.errors import SetupError

EXTRAS = {"ray": "ray"}
"""Extra name -> the module whose presence means that it is installed."""


def require(extra: str) -> ModuleType:
    """Import an extra's module.

    Raises:
        SetupError: It is not installed; the hint is the pip line.
    """
    try:
        return importlib.import_module(EXTRAS[extra])
    except ImportError:
        raise SetupError(
            f"this needs the '{extra}' extra, which is not installed", hint=f'pip install "llmkit[{extra}]"'
        ) from None


def missing() -> dict[str, str]:
    """Return the extras that are not installed, each with its pip line."""
    return {
        name: f'pip install "llmkit[{name}]"'
        for name, module in EXTRAS.items()
        if importlib.util.find_spec(module) is None
    }
