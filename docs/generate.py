"""Write docs/reference/ (command line, config fields, JSON Schema of every stage) and docs/llms.txt from the code.

docs/export-matrix.md is made of what the tests of exports have found.

python docs/generate.py            write what changed
python docs/generate.py --check    write nothing; exit 1 with the list of stale files
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from llmkit.core.fields import REQUIRED, FieldRow, families_met, field_rows, summary
from llmkit.core.registry import Family

DOCS = Path(__file__).resolve().parent
GENERATED = ("llms.txt", "export-matrix.md", "reference/cli.md", "reference/fields.md", "reference/schema/*.json")
NOTE = "% Written by docs/generate.py; edit the code, not this page.\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; a cell is Markdown on one line."""
    cells = [header, ["---"] * len(header), *rows]
    lines = ("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |" for row in cells)
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """Return inline code, or nothing for an empty text."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}" if text else ""


def prose(text: str) -> str:
    """Keep what a docstring says from being read as HTML or emphasis; its `code` stays code."""
    parts = re.split(r"(`+[^`]*`+)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([<*])", r"\\\1", part) for part in parts)


def cli_page(app: Any) -> str:
    """Return the page of all commands of a Typer app, hidden ones left out."""
    import typer

    command = typer.main.get_command(app)
    context = command.context_class(command, info_name="llmkit")
    return f"{NOTE}\n# Command line\n\nEvery command also has `--help`.\n\n" + "\n".join(command_sections(context))


def command_sections(context: Any) -> Iterator[str]:
    """Yield one section per command, depth first; typer has no public names for its command classes."""
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = inspect.cleandoc((command.help or "").split("\f")[0])
    yield f"## {context.command_path}\n\n```text\n{usage}\n```\n\n{prose(text)}\n"
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    for title, kind in (("Argument", "argument"), ("Option", "option")):
        rows = [parameter_row(param, context) for param in shown if param.param_type_name == kind]
        if rows:
            yield table([title, "Type", "Default", "Description"], rows)
    if not hasattr(command, "list_commands"):
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None and not inner.hidden:
            yield from command_sections(inner.context_class(inner, info_name=name, parent=context))


def parameter_row(param: Any, context: Any) -> list[str]:
    """Return name, type, default and help of one argument or option."""
    names = [*param.opts, *param.secondary_opts] if param.param_type_name == "option" else [param.name]
    is_flag = getattr(param, "is_flag", False)
    kind = "flag" if is_flag else code(param.metavar or param.display_type(context).strip("<>").removesuffix(" range"))
    if getattr(param, "multiple", False):
        kind += ", repeatable"
    return [", ".join(map(code, names)), kind, parameter_default(param, is_flag=is_flag), prose(param.help or "")]


def parameter_default(param: Any, *, is_flag: bool) -> str:
    """Return how a default reads in the table; None and an unset flag read as nothing."""
    if param.required:
        return "required"
    if isinstance(getattr(param, "show_default", None), str):
        return prose(param.show_default)
    if param.default is None or callable(param.default) or (is_flag and param.default is False):
        return ""
    value = to_jsonable_python(param.default, fallback=str)
    return code(" ".join(map(str, value)) if isinstance(value, list) else str(value))


def fields_page(stages: Mapping[str, type[BaseModel]]) -> str:
    """Return the page of all config fields: a table per stage, then one per member of each family in use."""
    sections = []
    for stage, config in stages.items():
        schema = f"JSON Schema: [{stage}.json](schema/{stage}.json)"
        sections.append(
            f"({stage}-fields)=\n## {stage}\n\n{prose(summary(config))}\n\n{schema}\n\n{field_table(config)}"
        )
    sections += [family_section(family) for family in families_met(stages.values())]
    intro = (
        "A recipe fills these fields; `--set KEY=VALUE` overrides one. `N` is a position in a list, from 0. A field "
        "whose type is a family takes the name of a member, or a mapping with `type` and the member's own fields, "
        "listed under the family."
    )
    return f"{NOTE}\n# Config fields\n\n{intro}\n\n" + "\n".join(sections)


def family_section(family: Family) -> str:
    """Return the section of one family with every member."""
    parts = [f"(family-{family.name})=\n## Family {code(family.name)}\n"]
    if family.shorthand:
        member, field = family.shorthand
        parts.append(f"A bare string that names no member is the {code(field)} of {code(member)}.\n")
    for member in family.members():
        part = family.load(member)
        label = f"(family-{family.name}-{member})="
        parts.append(f"{label}\n### {member}\n\n{prose(summary(part))}\n\n{field_table(part)}")
    return "\n".join(parts)


def field_table(model: type[BaseModel]) -> str:
    """Return the table of a config or part."""
    rows = [field_cells(row) for row in field_rows(model)]
    return table(["Field", "Type", "Default", "Description"], rows) if rows else "It has no fields.\n"


def field_cells(row: FieldRow) -> list[str]:
    """Return a row's cells as Markdown; a type that is a family links to it."""
    kind = f"[{code(row.type)}](#family-{row.family.name})" if row.family else code(row.type)
    default = row.default if row.default == REQUIRED else code(row.default)
    return [code(row.path), kind, default, prose(row.description)]


def render() -> dict[str, str]:
    """Return the generated files: path under docs -> contents."""
    from llms import llms_text
    from matrix import matrix_page

    from llmkit.cli.main import app
    from llmkit.cli.recipes import summaries
    from llmkit.core.config import json_schema
    from llmkit.stages import STAGES, load_stage

    stages = {name: load_stage(name).config for name in STAGES}
    schemas = {
        f"reference/schema/{name}.json": json.dumps(json_schema(config), indent=2, ensure_ascii=False) + "\n"
        for name, config in stages.items()
    }
    pages = {"reference/cli.md": cli_page(app), "reference/fields.md": fields_page(stages)}
    written = {"llms.txt": llms_text(app, stages, summaries()), "export-matrix.md": matrix_page()}
    return {**written, **pages, **schemas}


def stale(files: Mapping[str, str], root: Path) -> list[str]:
    """Return the names of files that are missing, differ, or are no longer generated."""
    found = [path for pattern in GENERATED for path in root.glob(pattern)]
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in found if path.is_file()}
    return sorted(name for name in {*files, *texts} if files.get(name) != texts.get(name))


def update(files: Mapping[str, str], root: Path) -> list[str]:
    """Write what is stale, remove what is no longer generated, and return the names."""
    names = stale(files, root)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name in files:
            (root / name).write_text(files[name], encoding="utf-8")
        else:
            (root / name).unlink()
    return names


def main() -> int:
    """Update the files, or with `--check` only name the stale ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")
    check = parser.parse_args().check
    names = stale(render(), DOCS) if check else update(render(), DOCS)
    for name in names:
        print(f"{'stale' if check else 'updated'}: docs/{name}")
    if check and names:
        print("run: python docs/generate.py", file=sys.stderr)
    return int(check and bool(names))


if __name__ == "__main__":
    sys.exit(main())
