"""`llmkit push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmkit.cli import options as o


def push(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A finished artifact.")],
    to: Annotated[str, typer.Option("--to", metavar="OWNER/NAME", help="Its name on the hub.")],
    public: Annotated[bool, typer.Option("--public", help="A new repository may be seen by everybody.")] = False,
    json: o.Json = False,
) -> None:
    """Put an artifact on the Hugging Face hub: its files and its card, not the paths in llmkit.json."""
    from llmkit.core.console import Console
    from llmkit.core.page_numbers import size
    from llmkit.data.pushing import push as pushing

    console = Console(json_mode=json)
    done = pushing(directory, to, public=public)
    if json:
        console.print_json(
            {"status": "done", "exit_code": 0, "url": done.url, "files": done.files, "bytes": done.bytes}
        )
        return
    console.print(f"push: {len(done.files)} files, {size(done.bytes)}, are at {done.url}")
