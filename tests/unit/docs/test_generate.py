from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from pydantic import Field

from llmkit.core.config import Config
from llmkit.core.registry import Family
from llmkit.metrics import Metric

SCRIPT = Path(__file__).resolve().parents[3] / "docs" / "generate.py"


@pytest.fixture(scope="module", autouse=True)
def _docs_on_the_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        yield


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Save(Config):
    """When to save."""

    every: int = Field(default=10, ge=1)
    """Steps between two `save|keep` points, in data-*.parquet <units>."""


class Example(Config):
    """An example stage."""

    output: Path
    """Where to write."""

    save: Save = Save(every=5)
    """Saving."""

    saves: list[Save] = Field(default_factory=list)
    """More."""

    by_name: dict[str, Save] = Field(default_factory=dict)
    """Named."""

    mode: Literal["fast", "exact"] | None = None
    """Speed."""

    metrics: list[Annotated[Metric, Family("metric")]] = Field(
        default_factory=lambda: [
            Family("metric").parse(value) for value in ("rouge", {"type": "chrf", "word_order": 2})
        ]
    )
    """Scores."""

    best: Annotated[Metric, Family("metric")]
    """The score to compare by."""


def example_app() -> typer.Typer:
    app = typer.Typer(add_completion=False)
    group = typer.Typer(help="Work with recipes.")
    app.add_typer(group, name="recipes")

    @app.callback()
    def root() -> None:
        """Do it all."""

    @app.command()
    def clean(
        *,
        files: Annotated[list[str], typer.Argument(help="Raw files.")],
        output: Annotated[Path, typer.Option("--output", "-o", help="Where to <write> a|b.")],
        sets: Annotated[list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override.")] = None,
        workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
        force: Annotated[bool, typer.Option("--force", help="Replace.")] = False,
        secret: Annotated[bool, typer.Option("--secret", hidden=True)] = False,
    ) -> None:
        """Clean text.

        More about `it`.
        """

    @group.command("list")
    def list_recipes() -> None:
        """List recipes."""

    @group.command(hidden=True)
    def internal() -> None:
        """Nobody sees this."""

    return app


def test_cli_page(generate):
    page = generate.cli_page(example_app())
    lines = page.splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "# Command line",
        "## llmkit",
        "## llmkit clean",
        "## llmkit recipes",
        "## llmkit recipes list",
    ]
    assert "Clean text.\n\nMore about `it`.\n" in page
    assert [line for line in lines if line.startswith("| `")] == [
        "| `files` | `list[str]` | required | Raw files. |",
        "| `--output`, `-o` | `path` | required | Where to \\<write> a\\|b. |",
        "| `--set`, `-s` | `KEY=VALUE`, repeatable |  | Override. |",
        "| `--workers` | `int` | `2` | Processes. |",
        "| `--force` | flag |  | Replace. |",
    ]


def test_fields_page_of_a_stage(generate):
    page = generate.fields_page({"clean": Example})
    stage, _, families = page.partition("(family-metric)=\n## Family `metric`\n")
    assert "(clean-fields)=\n## clean\n\nAn example stage.\n" in stage
    every = "Steps between two `save\\|keep` points, in data-\\*.parquet \\<units>."
    default = '`["rouge", {"type": "chrf", "word_order": 2}]`'
    assert [line for line in stage.splitlines() if line.startswith("| `")] == [
        "| `output` | `path` | required | Where to write. |",
        "| `save` | `group` |  | Saving. |",
        f"| `save.every` | `int >= 1` | `5` | {every} |",
        "| `saves` | `list of group` | `[]` | More. |",
        f"| `saves.N.every` | `int >= 1` | `10` | {every} |",
        "| `by_name` | `mapping of group` | `{}` | Named. |",
        f"| `by_name.KEY.every` | `int >= 1` | `10` | {every} |",
        '| `mode` | `"fast" \\| "exact" \\| null` | `null` | Speed. |',
        f"| `metrics` | [`list of metric`](#family-metric) | {default} | Scores. |",
        "| `best` | [`metric`](#family-metric) | required | The score to compare by. |",
    ]
    # Every member of the family, once, with its own fields.
    members = Family("metric").members()
    assert {"chrf", "rouge"} <= set(members)
    assert [line for line in families.splitlines() if line.startswith("### ")] == [f"### {name}" for name in members]
    assert "(family-metric-chrf)=\n### chrf\n" in families
    assert "| `char_order` | `int >= 1` | `6` | Longest character n-gram" in families


def test_a_family_shared_by_two_stages_is_described_once(generate):
    page = generate.fields_page({"clean": Example, "eval": Example})
    assert page.count("## Family `metric`") == 1
    assert page.count("(eval-fields)=") == 1


def test_update_then_check(generate, tmp_path):
    files = {"reference/cli.md": "one\n", "reference/schema/clean.json": "{}\n"}
    assert generate.stale(files, tmp_path) == ["reference/cli.md", "reference/schema/clean.json"]
    assert generate.update(files, tmp_path) == ["reference/cli.md", "reference/schema/clean.json"]
    assert (tmp_path / "reference/schema/clean.json").read_text() == "{}\n"
    assert generate.stale(files, tmp_path) == []
    (tmp_path / "reference/cli.md").write_text("changed by hand\n")
    (tmp_path / "reference/schema/gone.json").write_text("{}\n")
    assert generate.stale(files, tmp_path) == ["reference/cli.md", "reference/schema/gone.json"]
    generate.update(files, tmp_path)
    assert not (tmp_path / "reference/schema/gone.json").exists()
    assert generate.update(files, tmp_path) == []


def test_check_exits_1_and_names_the_stale_files(generate, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    monkeypatch.setattr(generate, "render", lambda: {"reference/cli.md": "one\n"})
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 1
    assert capsys.readouterr().out == "stale: docs/reference/cli.md\n"
    assert not (tmp_path / "reference/cli.md").exists()
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    assert generate.main() == 0
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    capsys.readouterr()
    assert generate.main() == 0
    assert capsys.readouterr().out == ""
