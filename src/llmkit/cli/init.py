"""`llmkit init`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from llmkit.cli import options as o
from llmkit.core.errors import ConfigError
from llmkit.core.recipes import shipped_recipes


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create.")],
    json: o.Json = False,
) -> None:
    """Start a project: copy the quickstart's Makefile and recipes into a new folder."""
    from llmkit.core.claim import make_directory
    from llmkit.core.console import Console

    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(f"{directory} exists and is not empty", hint="choose a new folder")
    make_directory(directory)
    source = shipped_recipes() / "quickstart"
    shutil.copytree(source, directory, dirs_exist_ok=True)
    files = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    console = Console(json_mode=json)
    if json:
        console.print_json({"status": "done", "exit_code": 0, "output": str(directory), "files": files})
    console.print(f"init: {directory} ({', '.join(files)})")
    console.print(f"  next: make -C {directory}")
