"""Whether lm-eval has a task of a name, without its index: to build that it parses 14,000 files of YAML, half a minute.

The files are looked through as bytes, in a second. Imports nothing of lm-eval.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from llmkit.core.errors import ConfigError, nearest

NAMED = re.compile(rb"^[ \t-]*(?:task|group|tag|task_alias):[ \t]*[\"']?([^\s\"'\[\]{},#]+)", re.MULTILINE)
"""A task's, a group's or a tag's name behind its key."""
LISTED = re.compile(rb"^[ \t]*-[ \t]+[\"']?([^\s\"':#]+)[\"']?[ \t]*$", re.MULTILINE)
"""A name in a list, as of the tags of a task, or of the tasks of a group."""


def check_name(name: str, include_path: str | None) -> None:
    """Make sure that a name may be one of a task, a group or a tag.

    Args:
        name: What is asked for.
        include_path: A folder of tasks beside lm-eval's own.

    Raises:
        ConfigError: No file has it anywhere; the message says which name is near.
    """
    word = re.compile(rb"(?<![\w-])" + re.escape(name.encode()) + rb"(?![\w-])")
    names: set[str] = set()
    for content in _contents(include_path):
        if word.search(content):  # also where a file makes a name in a way of its own: lm-eval's index knows
            return
        names.update(found.decode(errors="replace") for found in NAMED.findall(content))
        names.update(found.decode(errors="replace") for found in LISTED.findall(content))
    raise unknown(name, names)


def unknown(name: str, names: Iterable[str]) -> ConfigError:
    """Return what is said of a name that lm-eval does not have."""
    return ConfigError(
        f"tasks.task: lm-eval has no task '{name}'{nearest(name, names)}",
        "`lm-eval ls tasks` lists all; one of your own: -s tasks.0.include_path=FOLDER",
    )


def _contents(include_path: str | None) -> Iterator[bytes]:
    """Yield the files of the user's own tasks, then lm-eval's; templates that are included end in `yaml` as well."""
    spec = find_spec("lm_eval")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    for folder in [*([include_path] if include_path else []), *(str(Path(place, "tasks")) for place in places)]:
        for file in sorted(Path(folder).rglob("*yaml")):
            if file.is_file():
                yield file.read_bytes()
