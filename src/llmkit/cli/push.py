"""`llmkit push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmkit.cli import options as o

if TYPE_CHECKING:
    from llmkit.core.console import Console
    from llmkit.data.pushing import Upload


def push(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A finished artifact.")],
    to: Annotated[str, typer.Option("--to", metavar="OWNER/NAME", help="Its name on the hub.")],
    public: Annotated[bool, typer.Option("--public", help="Everybody may see it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files.")] = False,
    json: o.Json = False,
) -> None:
    """Put an artifact and its card on the Hugging Face hub."""
    from llmkit.core.console import Console

    push_artifact(directory, to, Console(json_mode=json), public=public, dry_run=dry_run)


def push_artifact(directory: Path, to: str, console: Console, *, public: bool = False, dry_run: bool = False) -> None:
    """Send an artifact, or list what would be sent, and print what was done.

    Raises:
        CheckFailedError: It is an export that nothing has proven.
        ConfigError: The repository is public, or cannot be called so.
        DataError: There is no whole artifact in the folder.
        SetupError: The hub cannot be reached, or refuses.
    """
    from llmkit.core.page_numbers import size
    from llmkit.data.pushing import check_name, plan, send

    check_name("--to", to)
    upload = plan(directory)
    if not dry_run and (console.json_mode or not console.err.is_terminal):
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        disable_progress_bars()
    where = None if dry_run else send(upload, to, public=public)
    if console.json_mode:
        console.print_json(_facts(upload, to, where))
        return
    if where is None:
        console.table([(f"  {name}", size(num_bytes)) for name, num_bytes in upload.files.items()])
    total = f"push: {len(upload.files)} files, {size(upload.num_bytes)},"
    sight = "public" if public else "private"
    console.print(f"{total} would go to the {sight} {upload.kind} {to}" if where is None else f"{total} are at {where}")


def _facts(upload: Upload, to: str, where: str | None) -> dict[str, Any]:
    return {
        "status": "dry run" if where is None else "done",
        "exit_code": 0,
        "repository": to,
        "kind": upload.kind,
        "url": where,
        "files": list(upload.files),
        "bytes": upload.num_bytes,
    }
