"""`llmkit doctor`."""

from __future__ import annotations

from llmkit.cli import options as o


def doctor(json: o.Json = False) -> None:
    """Show versions, CPU features, GPUs and missing extras."""
    from llmkit.core.console import Console
    from llmkit.core.doctor import examine

    console = Console(json_mode=json)
    report = examine()
    if json:
        console.print_json({"status": "done", "exit_code": 0, **report})
        return
    for title, facts in report.items():
        console.print(title)
        console.table([(f"  {name}", str(value)) for name, value in facts.items()])
