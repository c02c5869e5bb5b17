"""Find recipes: a path, or the name of one shipped with the package."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from llmkit.core.errors import ConfigError, nearest


def shipped_recipes() -> Path:
    """Return the folder of the shipped recipes: inside the installed package, or the checkout's own."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parents[1] / "recipes"


def recipe_names(stage: str | None = None) -> dict[str, Path]:
    """Map the names that `-r` accepts to their files, for one stage or for all.

    A recipe of a stage's own folder is `NAME` for that stage; every recipe is also `FOLDER/NAME`.
    """
    root = shipped_recipes()
    names = {file.relative_to(root).with_suffix("").as_posix(): file for file in sorted(root.rglob("*.yaml"))}
    if stage is None:
        return names
    own = {name.removeprefix(f"{stage}/"): file for name, file in names.items() if name.startswith(f"{stage}/")}
    return {**names, **own}


def recipe_stage(reference: str, stages: Collection[str]) -> str | None:
    """Return the stage that a recipe is of: a shipped one by its folder or, in `quickstart/`, by its own name.

    A file is of the stage whose schema it names for editors, else by its own name or its folder's. None where nothing
    names one stage.
    """
    if (file := Path(reference)).is_file():
        schema = re.match(r"#.*[$]schema=\S*?(\w+)\.json", file.read_text(encoding="utf-8", errors="replace"))
        said = (schema[1] if schema else "", file.stem, file.absolute().parent.name)
        return next((stage for stage in said if stage in stages), None)
    names, (folder, _, name) = recipe_names(), reference.partition("/")
    if name:
        found = [stage for stage in (folder, name) if reference in names and stage in stages]
    else:
        found = [stage for stage in stages if f"{stage}/{reference}" in names]
    return found[0] if len(found) == 1 else None


def find_recipe(reference: str, stage: str) -> Path:
    """Resolve what `-r` was given.

    Raises:
        ConfigError: Neither a file nor a shipped recipe.
    """
    path = Path(reference)
    if path.is_file():
        return path
    names = recipe_names(stage)
    if reference in names:
        return names[reference]
    if path.suffix in (".yaml", ".yml") or path.is_dir():
        raise ConfigError(f"no such recipe file: {reference}", hint="llmkit recipes list")
    short = [name for name in names if "/" not in name] or list(names)
    raise ConfigError(
        f"no recipe '{reference}' for {stage}{nearest(reference, [*short, *names])}", hint="llmkit recipes list"
    )
