"""`llmkit push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmkit.cli import options as o

if TYPE_CHECKING:
    from llmkit.core.console import Console
    from llmkit.data.publish import Upload

_TO = "The repository; it is made if there is none."
_PUBLIC = "Let everybody see a repository that is made, or push to one that everybody sees."
_MANIFEST = "Send llmkit.json as well: it names the folders on this machine that the artifact was made from."
_DRY_RUN = "List what would be sent; nothing is."


def push(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The artifact.")],
    to: Annotated[str, typer.Option("--to", metavar="OWNER/NAME", help=_TO)],
    public: Annotated[bool, typer.Option("--public", help=_PUBLIC)] = False,
    manifest: Annotated[bool, typer.Option("--manifest", help=_MANIFEST)] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_DRY_RUN)] = False,
    json: o.Json = False,
) -> None:
    """Put an artifact with its card on a hub, into a private repository unless --public says otherwise."""
    from llmkit.core.console import Console

    push_artifact(directory, to, Console(json_mode=json), public=public, manifest=manifest, dry_run=dry_run)


def push_artifact(
    directory: Path, to: str, console: Console, *, public: bool = False, manifest: bool = False,
    dry_run: bool = False,
) -> None:  # fmt: skip
    """Send an artifact, or list what would be sent, and print what was done.

    Raises:
        CheckFailedError: It is an export that nothing has proven.
        ConfigError: The repository is public, or cannot be called so.
        DataError: There is no whole artifact in the folder.
        SetupError: The hub cannot be reached, or refuses.
    """
    from llmkit.cli._lineage import manifest_of
    from llmkit.core.manifest import Artifact
    from llmkit.core.page import size
    from llmkit.data.publish import check_name, plan, publish

    check_name(to)
    upload = plan(Artifact(directory, manifest_of(directory)), manifest=manifest)
    if upload.telling:
        console.warn(f"names folders of this machine: {', '.join(upload.telling)}")
    where = None
    if not dry_run:
        if console.json_mode or not console.err.is_terminal:
            from huggingface_hub.utils import disable_progress_bars

            disable_progress_bars()
        where = publish(upload, to, public=public)
    if console.json_mode:
        console.print_json(_facts(upload, to, where))
        return
    if where is None:
        console.table([(f"  {name}", size(num_bytes)) for name, num_bytes in upload.files])
        sight = "public" if public else "private"
        console.print(
            f"push: {len(upload.files)} files, {size(upload.num_bytes)}, would go to {to} ({upload.repo_type}, {sight})"
        )
    else:
        console.print(f"push: {len(upload.files)} files, {size(upload.num_bytes)}, are at {where}")


def _facts(upload: Upload, to: str, where: str | None) -> dict[str, Any]:
    return {
        "status": "dry run" if where is None else "done",
        "exit_code": 0,
        "repository": to,
        "type": upload.repo_type,
        "url": where,
        "files": [{"path": name, "bytes": num_bytes} for name, num_bytes in upload.files],
        "names_this_machine": list(upload.telling),
    }
