"""`llmkit tidy`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmkit.cli import options as o
from llmkit.core.errors import ConfigError

if TYPE_CHECKING:
    from llmkit.core.leftovers import Leftover

_REMOVE = "Remove what is listed; without it nothing is touched."
_UNFINISHED = "Count interrupted runs, which the same command goes on with, too."
_FINISHED = "Count the last checkpoints of finished runs, from which a longer run goes on, too."


def tidy(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to look through, with all below it.")],
    remove: Annotated[bool, typer.Option("--remove", help=_REMOVE)] = False,
    unfinished: Annotated[bool, typer.Option("--unfinished", help=_UNFINISHED)] = False,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help=_FINISHED)] = False,
    json: o.Json = False,
) -> None:
    """List what runs left behind (failed ones, ones moved aside, old checkpoints); remove it with --remove."""
    from llmkit.core import leftovers
    from llmkit.core.console import Console
    from llmkit.core.inputs import missing_path

    if not directory.exists():
        raise missing_path(directory, role="DIR")
    if not directory.is_dir():
        raise ConfigError(f"DIR: {directory} is a file, not a folder", hint=f"llmkit tidy {directory.parent}")
    flags = [flag for flag, given in (("--unfinished", unfinished), ("--checkpoints", checkpoints)) if given]
    console, found = Console(json_mode=json), leftovers.find_leftovers(directory, _resumable, flags=flags)
    removed: list[Leftover] = []
    for item in [item for item in found if remove and not item.kept]:
        if why := leftovers.remove(item, _resumable):
            console.warn(f"{item.path} stays: {why}")
        else:
            removed.append(item)
    if json:
        console.print_json(_as_json(directory, found, removed))
        return
    _show(console, directory, found, removed, removing=remove)


def _resumable(stage: str) -> bool:
    from llmkit.stages import BESIDE, STAGES, load_stage

    return (
        load_stage(stage).resumable if stage in {*STAGES, *BESIDE} else True
    )  # of a later version: nothing is known of it


def _show(console: Any, directory: Path, found: list[Leftover], removed: list[Leftover], *, removing: bool) -> None:
    from llmkit.core.page import size

    left, kept = [item for item in found if not item.kept], [item for item in found if item.kept]
    for title, items in (("removed" if removing else "left behind", removed if removing else left), ("kept", kept)):
        if items:
            rows = [(f"  {item.path}", size(item.num_bytes), item.what, _why(item)) for item in items]
            console.print(title)
            console.table(rows)
    total = size(sum(item.num_bytes for item in (removed if removing else left)))
    if removing:
        console.print(f"tidy: {total} freed in {directory}" if left else f"tidy: nothing to remove in {directory}")
    elif left:
        console.print(f"tidy: {total} in {directory}; nothing was touched: --remove removes it")
    else:
        console.print(f"tidy: nothing is left behind in {directory}")


def _why(item: Leftover) -> str:
    return f"{item.why} ({item.flag} counts it as left behind)" if item.kept and item.flag else item.why


def _as_json(directory: Path, found: list[Leftover], removed: list[Leftover]) -> dict[str, Any]:
    entries = [
        {
            "path": str(item.path), "what": item.what, "why": item.why, "bytes": item.num_bytes, "kept": item.kept,
            "removed": item in removed, "flag": item.flag,
        }
        for item in found
    ]  # fmt: skip
    return {
        "status": "done",
        "exit_code": 0,
        "directory": str(directory),
        "left": [entry for entry in entries if not entry["kept"]],
        "kept": [entry for entry in entries if entry["kept"]],
        "bytes": sum(item.num_bytes for item in found if not item.kept),
    }
