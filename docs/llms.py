"""The text of docs/llms.txt: the command line, recipes, config, artifacts and errors, short, for programs that read.

Its form is that of https://llmstxt.org: a headline, a summary, and sections with links.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from llmkit.cli.options import MESSAGES, RUN
from llmkit.core.errors import Interrupted, UserError
from llmkit.core.fields import REQUIRED, FieldRow, families_met, field_rows
from llmkit.stages import load_stage

DOCS = Path(__file__).resolve().parent
DEFAULT_SHOWN = 40
"""Characters of a default; a longer one is left to the reference."""
LINE = 80
"""Characters of what a recipe is for."""
FIELD = 100
"""Characters of what a field is; a longer one ends where it goes into detail, and the reference goes on."""

HEAD = """\
# llmkit

> One command line from raw text to an exported language model: `clean`, `tokenize`, `pretrain`, `finetune`, `eval`,
> `export`, and `predict`, `generate`, `index`. Every stage reads directories and writes one, its artifact. One config
> language (YAML recipes and `--set`), one artifact format with lineage, exact resume, exit codes that say what
> happened.

Written by docs/generate.py from the code; links are relative to docs/ of the repository. Where only the package is
installed, `llmkit recipes list`, `llmkit schema STAGE --fields` and `llmkit STAGE --help` say the same. Nothing needs
the network unless a recipe names something on a hub. Look before a run:
`llmkit preflight` (a whole chain), `llmkit STAGE ... --dry-run` (the resolved config), `--preview N`,
`llmkit plan -r RECIPE` (memory, time, disk).
"""

JSON = {
    "a stage that is done, or `up to date`": (
        "status", "exit_code", "stage", "output", "kind", "id", "metrics", "notes", "duration_s",
    ),
    "any error, and an interruption": ("status", "kind", "exit_code", "message", "hint"),
    "`STAGE --dry-run`": ("status", "exit_code", "config", "origins"),
    "`recipes list`": ("status", "exit_code", "recipes"),
    "`summary`": ("status", "exit_code", "stages"),
    "`lineage`": ("status", "exit_code", "verified", "lineage"),
    "`preflight`": ("status", "exit_code", "runs", "found"),
    "`tidy`": ("status", "exit_code", "directory", "left", "kept", "bytes"),
}  # fmt: skip
"""The keys of what `--json` prints; a test holds them to real output."""
ALWAYS = ("status", "exit_code")
NOTHING = ("null", "false", "[]", "{}", '""')
"""Defaults that say nothing: a field without one is off, or empty."""

TAIL = """\
## Resume

- Type the same command again: a finished artifact of the same config and inputs is `up to date`; an interrupted run of
  RESUMABLE goes on from `OUT/.partial/`, other stages start anew.
- Raising `max_steps` (or tokens, epochs, minutes) extends a finished training. `--resume never` starts anew;
  `--resume CHECKPOINT_DIR` goes on from that checkpoint (trainings).
- Another config on the same `-o` is exit 2 and says what differs; `--force` replaces a finished artifact, and moves an
  unfinished run aside. It never touches a directory that is not llmkit's.
- In a Makefile the target is `OUT/llmkit.json`, and the rule passes `--force`.

## When something fails

- stderr ends with `error: WHAT` and `-> NEXT COMMAND`; with `--json` the same is on stdout as one object.
- Exit 2: every problem of the config is listed, each with its dotted path, the nearest right name, file and line.
  Then `llmkit schema STAGE --fields`, or `--dry-run` to see where each value comes from.
- Exit 3: the file and row are named. Broken rows are set aside and counted, unless `--strict`; see `report.json`.
- Exit 4: `llmkit doctor` lists versions, extras, GPUs and limits. Exit 5: the hint says what to lower.
- Exit 1 is a bug: it has a traceback.
- Under torchrun or `accelerate launch`, which turn every failure into 1, the code is in `OUT/exit.json`:
  `{"exit_code", "rank", "processes", "message"}`. `--nproc N` returns the code itself.
- A directory without `llmkit.json` is no artifact. `llmkit lineage DIR --verify` finds what has changed since (exit 7).
"""


def llms_text(app: Any, stages: Mapping[str, type[BaseModel]], recipes: Mapping[str, str]) -> str:
    """Return the whole text.

    Args:
        app: The Typer app.
        stages: Config of each stage.
        recipes: What each shipped recipe is for.
    """
    sections = [
        HEAD,
        "## Commands\n\n" + "\n".join(_commands(app, list(stages))),
        "## Recipes\n\n`-r NAME` takes a file or a shipped recipe; for its own stage the folder may be left out.\n\n"
        + "\n".join(f"- `{name}`: {_short(what)}" for name, what in recipes.items()),
        "## Config\n\n" + "\n".join(_config(stages)),
        "## Exit codes\n\n" + "\n".join(f"- {code}: {what}" for code, what in sorted(exit_codes().items())),
        "## JSON\n\n`--json` prints exactly one object on stdout, also on failure; all else is on stderr. Keys"
        " beside `status` and `exit_code`:\n\n"
        + "\n".join(
            f"- {of}: {', '.join(f'`{key}`' for key in keys if key not in ALWAYS)}" for of, keys in JSON.items()
        ),
        "## Artifacts\n\n" + "\n".join(_artifacts()),
        TAIL.replace("RESUMABLE", ", ".join(f"`{name}`" for name in stages if load_stage(name).resumable)),
        "## Pages\n\n" + "\n".join(_pages(DOCS)),
    ]
    return "\n\n".join(section.rstrip() for section in sections) + "\n"


def _commands(app: Any, stages: Sequence[str]) -> Iterator[str]:
    """Yield a line per command, its options those that not all stages have, each explained once."""
    import typer

    root = typer.main.get_command(app)
    context = root.context_class(root, info_name="llmkit")
    found = dict(_leaves(context))
    every = {path: _options(inner.command, _fields_of(path, stages)) for path, inner in found.items()}
    shared = {name: text for name, text in every[stages[0]].items() if all(name in every[stage] for stage in stages)}
    said: set[str] = set()
    for path, inner in found.items():
        left_out = {"--json", *(shared if path in stages else ())}
        texts = [text for name, text in every[path].items() if name not in left_out]
        own = [f"{text.split('` ')[0]}`" if text in said else text for text in texts]
        said.update(texts)
        arguments = "".join(
            f" {param.metavar or param.name.upper()}"
            for param in inner.command.params
            if param.param_type_name == "argument"
        )
        help_text = _first(inspect.cleandoc(inner.command.help or ""))
        yield f"- [llmkit {path}{arguments}](reference/cli.md): {help_text}" + (f" {'; '.join(own)}." if own else "")
    silent = ", ".join(f"`{path}`" for path, options in every.items() if "--json" not in options)
    yield f"\nEvery stage also takes {'; '.join(shared.values())}. All but {silent} have `--json`."


def _leaves(context: Any) -> Iterator[tuple[str, Any]]:
    """Yield path and context of every command that is shown, `recipes list` as one."""
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        inner = command.context_class(command, info_name=name, parent=context)
        if command.hidden:
            continue
        if hasattr(command, "list_commands"):
            yield from ((f"{name} {path}", leaf) for path, leaf in _leaves(inner))
        else:
            yield name, inner


def _fields_of(path: str, stages: Sequence[str]) -> set[str]:
    """Return the options that are fields of a stage's config by the same name, where they are explained."""
    fields = load_stage(path).config.model_fields if path in stages else ()
    return {f"--{name.replace('_', '-')}" for name in fields}


def _options(command: Any, explained: set[str]) -> dict[str, str]:
    """Return, by its long name, how each option is given and what it does, where it is not explained elsewhere.

    Those of a panel of their own, such as limits and draws, are named alone.
    """
    found = {}
    for param in command.params:
        if param.param_type_name == "option" and not param.hidden and "--help" not in param.opts:
            value = "" if param.is_flag else f" {param.metavar or 'VALUE'}"
            name, panel = max(param.opts, key=len), getattr(param, "rich_help_panel", None)
            known = name in explained or panel not in (None, RUN, MESSAGES)
            found[name] = f"`{'/'.join(param.opts)}{value}`" + ("" if known else f" {_clause(param.help or '')}")
    return found


def _config(stages: Mapping[str, type[BaseModel]]) -> Iterator[str]:
    """Yield where schemas are, the main fields of every stage, and the members of every family."""
    yield (
        "JSON Schema of a stage's recipe: `llmkit schema STAGE`; all fields in a table: `llmkit schema STAGE --fields` "
        "or [the reference](reference/fields.md). Dotted paths: `-s optimizer.lr=1e-3`, `-s steps.0.min_chars=20`. A "
        "part is a name (`objective: causal_lm`) or a mapping (`objective: {type: prefix_lm, ...}`). Where null is a "
        "type, it is the default; else what has none is off or empty.\n"
    )
    seen: dict[str, tuple[str, FieldRow]] = {}
    for stage, config in stages.items():
        page = f"stages/{stage}.md"
        more = f", [page]({page})" if (DOCS / page).exists() else ""
        yield f"{stage} ([schema](reference/schema/{stage}.json){more}):\n"
        every = list(field_rows(config))
        alike: dict[str, list[str]] = {}
        for row in (row for row in every if "." not in row.path):
            other, same = seen.get(row.path, ("", None))
            if same == row:
                alike.setdefault(other, []).append(f"`{row.path}`")
                continue
            seen[row.path] = stage, row
            yield _field(row, [inner for inner in every if inner.path.startswith(f"{row.path}.")])
        for other, names in alike.items():
            yield f"- as in {other}: {', '.join(names)}"
        yield ""
    yield "Members of the families that fields take:\n"
    for family in families_met(stages.values()):
        yield f"- {family.name}: {', '.join(f'`{member}`' for member in family.members())}"


def _field(row: FieldRow, inner: Sequence[FieldRow]) -> str:
    """Return the line of a field; of a group with the names inside."""
    names = [field.path.removeprefix(f"{row.path}.").removeprefix("N.") for field in inner]
    default = row.default if row.default == REQUIRED else f"default `{row.default}`"
    shown = 0 < len(row.default) < DEFAULT_SHOWN and row.default not in NOTHING
    facts = [row.type.replace("`", ""), *([default] if shown else [])]
    inside = f" Fields: {', '.join(f'`{name}`' for name in names)}." if names else ""
    return f"- `{row.path}` ({', '.join(facts)}): {_short(_first(row.description), FIELD)}{inside}"


def exit_codes() -> dict[int, str]:
    """Return what each exit code means, by the errors that end with it."""
    errors = [error for error in UserError.__subclasses__() if error.__module__ == UserError.__module__]
    found = {
        error.exit_code: f"`{error.kind}`. {_first(inspect.getdoc(error) or '')}" for error in (*errors, Interrupted)
    }
    found[UserError.exit_code] = f"`{UserError.kind}` or {found[UserError.exit_code]}"
    found[Interrupted.exit_code] += " Run the same command again."
    return {0: "done, or up to date", 1: "`bug`. A bug in llmkit, with a traceback.", **found}


def _artifacts() -> Iterator[str]:
    """Yield what every kind of artifact holds, as its class says."""
    from llmkit.data import artifacts

    yield "All have `llmkit.json`, written last: stage, config, inputs and outputs with digests, metrics, versions.\n"
    kinds = [getattr(artifacts, name) for name in artifacts.__all__]
    modules = {inspect.getmodule(kind): [other.KIND for other in kinds if other.__module__ == kind.__module__]
               for kind in kinds}  # fmt: skip
    for module, names in modules.items():
        text = inspect.getdoc(module) or ""
        layout = " ".join(" ".join(re.findall(r"^ *DIR/(.*)", text, re.MULTILINE)).split())
        what = _first(text).split(";")[0].rstrip(".")
        yield f"- {', '.join(f'`{name}`' for name in names)}: {what}. Files: {layout}"
    yield "\nWhat is in each, and what loads it: [artifacts.md](artifacts.md)."


def _pages(root: Path) -> Iterator[str]:
    for path in sorted([*root.glob("*.md"), *root.glob("stages/*.md")]):
        title = path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
        yield f"- [{title}]({path.relative_to(root).as_posix()})"


def _first(text: str) -> str:
    """Return the first sentence."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(text.split()), maxsplit=1)[0]


def _short(text: str, most: int = LINE) -> str:
    """Return a long sentence up to where it goes into detail."""
    return text if len(text) < most else re.split(r"[:;] |(?<=\.) (?=[a-z_]+: )", text, maxsplit=1)[0].rstrip(".") + "."


def _clause(text: str) -> str:
    """Return a short help text without its full stop, to stand in a list."""
    sentence = _first(text).rstrip(".")
    return sentence[:1].lower() + sentence[1:] if re.match(r"[A-Z][a-z ]", sentence) else sentence
