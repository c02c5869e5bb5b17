"""`llmkit preflight`."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmkit.cli import options as o
from llmkit.cli.help import Command
from llmkit.core.errors import ConfigError, nearest
from llmkit.core.recipes import find_recipe, recipe_names, recipe_stage
from llmkit.stages import STAGES, load_stage

if TYPE_CHECKING:
    from llmkit.chain.runs import Chain, Finding, Given

RECIPE = ("-r", "--recipe")
GROUPS = "llmkit.groups"
Group = tuple[str, list[str]]
"""What an `-r` names, and the words up to the next one."""
_HELP = {
    "recipe": "A recipe of the chain, in order: file, shipped name, or STAGE=FILE; what follows up to the next -r are"
    " options of its command.",
    "output": "Where that run writes; without it, what a later run reads that no other has written.",
    "set": "Set a field of that run; RUN.KEY=VALUE, with the name of a recipe or a stage, sets one of any run.",
}


class Grouped(Command):
    """A command whose words belong to the `-r` before them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Set the groups apart; what stands before the first one is the command's own."""
        if {"-h", "--help"} & set(args):
            return super().parse_args(ctx, ["--help"])
        own, groups = split_groups(args)
        ctx.meta[GROUPS] = groups
        return super().parse_args(ctx, own)


def preflight(
    context: typer.Context,
    recipe: Annotated[
        list[str] | None, typer.Option("--recipe", "-r", metavar="[STAGE=]FILE|NAME", help=_HELP["recipe"])
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help=_HELP["output"])] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help=_HELP["set"])] = None,
    json: o.Json = False,
) -> None:
    """Check a chain of recipes before its first stage runs: settings, links, sizes, disk, memory, licences."""
    del recipe  # the groups have them; here for the help
    from llmkit.chain.checks import check_chain
    from llmkit.chain.link import link

    groups: list[Group] = context.meta[GROUPS]
    if not groups:
        raise ConfigError(
            "which recipes? none is given",
            hint="llmkit preflight -r clean.yaml -r tokenize.yaml -r pretrain.yaml",
        )
    if output is not None:
        raise ConfigError(f"--output {output} stands before the recipe that it is for",
                          hint=f"llmkit preflight -r {groups[0][0]} -o {output} ...")  # fmt: skip
    with contextlib.redirect_stdout(sys.stderr):  # stdout is the result's, whatever a part prints
        given, as_json = read_groups(groups, sets or ())
        chain = link(given)
        found = check_chain(chain)
    raise typer.Exit(show(chain, found, json_mode=json or as_json))


def split_groups(words: Sequence[str]) -> tuple[list[str], list[Group]]:
    """Split the words of the command at every `-r`."""
    own: list[str] = []
    groups: list[Group] = []
    rest = iter(words)
    for word in rest:
        name = None
        if word in RECIPE:
            name = next(rest, "")
        elif word.startswith("--recipe=") or (word.startswith("-r") and not word.startswith("--")):
            name = word.removeprefix("--recipe=") if word.startswith("--") else word[2:].removeprefix("=")
        if name is not None:
            groups.append((name, []))
        else:
            (groups[-1][1] if groups else own).append(word)
    return own, groups


def read_groups(groups: Sequence[Group], sets: Sequence[str]) -> tuple[list[Given], bool]:
    """Return the runs of a chain, and whether any of the groups asks for JSON.

    Raises:
        UserError: No stage is known of a recipe, an option is none of its command's, or a `--set` is of no run.
    """
    from llmkit.chain.runs import Given

    stages = [_stage(name) for name, _ in groups]
    labels = _labels([reference for _, reference in stages], [stage for stage, _ in stages])
    readers, found, as_json = _readers(), [], False
    elsewhere: list[str] = list(sets)
    for (stage, reference), label, (_, words) in zip(stages, labels, groups, strict=True):
        options, named = readers([stage, *words], prog_name="llmkit preflight", standalone_mode=False)
        others = {*labels, *STAGES} - set(load_stage(stage).config.model_fields)
        own = [text for text in options.sets or () if _first_key(text) not in others]
        elsewhere += [text for text in options.sets or () if _first_key(text) in others]
        as_json |= options.json
        path = find_recipe(reference, stage) if reference else None
        found.append(Given(label, load_stage(stage), path, own, named, options.output, options.nproc))
    return _assigned(found, elsewhere), as_json


def _stage(reference: str) -> tuple[str, str]:
    """Return the stage that a recipe is of, and its name without that."""
    stage, separator, rest = reference.partition("=")
    if separator and stage in STAGES:
        return stage, rest
    if not reference:
        raise ConfigError("-r needs a recipe", hint="llmkit recipes list")
    known = recipe_stage(reference, STAGES)
    if known is None and Path(reference).is_file():
        known = _by_fields(Path(reference))
    if known is None and not Path(reference).is_file():
        stages = [name for name in STAGES if reference in recipe_names(name)]
        if not stages:
            where = "no such recipe file" if Path(reference).suffix in (".yaml", ".yml") else "no recipe"
            close = nearest(reference, [path.name for path in Path().glob("*.yaml")] or recipe_names())
            raise ConfigError(f"{where}: {reference}{close}", hint="llmkit recipes list")
    if known is None:
        raise ConfigError(
            f"{reference}: nothing says which stage it is of: neither a schema in its first line, nor its name,"
            " nor its fields alone",
            hint=f"llmkit preflight ... -r pretrain={reference}",
        )
    return known, reference


def _by_fields(path: Path) -> str | None:
    """Return the one stage that has all fields of a recipe."""
    from llmkit.core.yaml import read_yaml

    value = read_yaml(path.read_text(encoding="utf-8", errors="replace"), str(path)).value
    names = set(value) if isinstance(value, dict) else set()
    fits = [name for name in STAGES if names and names <= set(load_stage(name).config.model_fields)]
    return fits[0] if len(fits) == 1 else None


def _labels(references: Sequence[str], stages: Sequence[str]) -> list[str]:
    """Return what the runs are called: by their recipes, with a number where two are called the same."""
    labels: list[str] = []
    for reference, stage in zip(references, stages, strict=True):
        name = Path(reference).name.removesuffix(".yaml").removesuffix(".yml") or stage
        label, number = name, 2
        while label in labels:
            label, number = f"{name}-{number}", number + 1
        labels.append(label)
    return labels


def _readers() -> Any:
    """Return an app with the commands of the stages that say what they were given and run nothing."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    for name, module in STAGES.items():
        command = getattr(importlib.import_module(f"llmkit.cli.{module}"), module)
        app.command(name, cls=Command)(command.read)
    return app


def _first_key(text: str) -> str:
    return text.partition("=")[0].partition(".")[0].strip()


def _assigned(given: list[Given], sets: Sequence[str]) -> list[Given]:
    """Give each `RUN.KEY=VALUE` to its run."""
    from dataclasses import replace

    for text in sets:
        name, _, rest = text.partition(".")
        here = [one for one in given if one.label == name] or [one for one in given if one.stage.name == name]
        if len(here) != 1 or not rest:
            labels = [one.label for one in given]
            why = f"{len(here)} runs are of {name}" if len(here) > 1 else f"no run is called '{name}'"
            raise ConfigError(f"--set {text}: {why}; the runs: {', '.join(labels)}",
                              hint=f"--set {labels[0]}.KEY=VALUE, or KEY=VALUE behind its -r")  # fmt: skip
        at = given.index(here[0])
        given[at] = replace(given[at], sets=[*given[at].sets, rest])
    return given


def show(chain: Chain, found: Sequence[Finding], *, json_mode: bool) -> int:
    """Print what was found and return the exit code, that of the worst problem."""
    from llmkit.core.console import Console

    console, code = Console(json_mode=json_mode), max((item.code for item in found), default=0)
    problems, warnings = ([item for item in found if item.level == level] for level in ("problem", "warning"))
    if json_mode:
        runs = [{"run": run.label, "stage": run.stage, "output": run.output and str(run.output)} for run in chain.runs]
        status = "error" if code else "done"
        console.print_json({"status": status, "exit_code": code, "runs": runs, "found": [vars(item) for item in found]})
    else:
        marks = {"unknown": "later", "problem": "PROBLEM"}
        rows = [(item.run or "all", item.check, marks.get(item.level, item.level), _said(item)) for item in found]
        console.table(rows, headers=("run", "check", "", "what was found"))
    for item in [*warnings, *problems]:
        (console.error if item.code else _warn(console))(f"{item.run or 'all'}: {_said(item)}", item.hint)
    counts = f"{len(problems)} problem{'s' * (len(problems) != 1)}, {len(warnings)} warning{'s' * (len(warnings) != 1)}"
    console.print(f"preflight: {len(chain.runs)} run{'s' * (len(chain.runs) != 1)}, {counts}")
    return code


def _warn(console: Any) -> Any:
    return lambda message, hint: console.warn(f"{message}; {hint}" if hint else message)


def _said(item: Finding) -> str:
    field = f"{item.field}: " if item.field and item.level != "ok" else ""
    origin = item.origin if item.level in ("problem", "warning") and item.origin not in item.message else ""
    return f"{field}{item.message}" + (f" ({origin})" if origin else "")
