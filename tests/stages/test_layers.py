"""Imports point down only, core stays light, and the help needs none of the heavy packages."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import llmkit
from llmkit.core.registry import PACKAGES

ROOT = Path(llmkit.__file__).parent

# Top to bottom. Tasks run on evaluation's model and may measure what an objective says, so both stand below them;
# packages of one row are strangers.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"chain"},
    {"stages"},
    {"training", "cleaning", "tokenization", "prediction", "serving"},
    {"tasks"},
    {"objectives", "exporters", "retrieval"},
    {"metrics"},
    {"evaluation"},
    {"runtimes"},
    {"modeling"},
    {"data"},
    {"work", "text"},
    {"core"},
)
DEPTH = {package: depth for depth, row in enumerate(LAYERS) for package in row}
CORE_MAY_IMPORT = {*sys.stdlib_module_names, "llmkit", "pydantic", "pydantic_core", "yaml", "rich"}
FAMILIES = {package.removeprefix("llmkit.") for package in PACKAGES.values()}


def module_name(path: Path) -> str:
    """Return the name below `llmkit`; a package's `__init__` has the package's own name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(source: str) -> Iterator[str]:
    """Yield every imported module and, since it may be one, every name imported from a module; lazy ones too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def is_member(module: str) -> bool:
    """Tell whether a module is a member of a family: not its package, not a shared `_part` of it."""
    package, _, name = module.rpartition(".")
    return package in FAMILIES and not name.startswith("_")


def violations(module: str, source: str, modules: set[str]) -> list[str]:
    """Return what a module imports and may not."""
    found, package = [], module.partition(".")[0]
    for name in imported(source):
        if package == "core" and name.partition(".")[0] not in CORE_MAY_IMPORT:
            found.append(f"{module} imports {name}")
        target = name.removeprefix("llmkit.")
        if target == name or target not in modules:
            continue
        other = target.partition(".")[0]
        if package != other and DEPTH[other] <= DEPTH[package]:
            found.append(f"{module} imports {name}, which is not below it")
        same_family = module.rpartition(".")[0] == target.rpartition(".")[0]
        if is_member(module) and is_member(target) and same_family:
            found.append(f"{module} imports {name}, a member of its own family")
    return found


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    paths = {module_name(path): path for path in ROOT.rglob("*.py")}
    return {name: path.read_text(encoding="utf-8") for name, path in paths.items() if name != "__init__"}


def test_every_package_has_its_place(sources):
    assert {name.partition(".")[0] for name in sources} <= set(DEPTH)
    assert len(sources) > 60


def test_imports_point_down_only(sources):
    found = [line for name, source in sources.items() for line in violations(name, source, set(sources))]
    assert found == []


@pytest.mark.parametrize(("module", "source", "words"), [
    ("data.corpus", "from llmkit.cleaning.plan import merge", "not below it"),
    ("data.corpus", "def f():\n    from llmkit.modeling import build", "not below it"),
    ("training.loop", "import llmkit.cleaning.plan", "not below it"),
    ("evaluation.engine", "from llmkit.tasks import Task", "not below it"),
    ("core.config", "import numpy", "core.config imports numpy"),
    ("tasks.answers", "from llmkit.tasks import perplexity", "a member of its own family"),
    ("data.sources.files", "from llmkit.data.sources.python_docs import PythonDocs", "a member of its own family"),
])  # fmt: skip
def test_the_rule_finds_what_it_should(sources, module, source, words):
    assert words in " ".join(violations(module, source, set(sources)))


@pytest.mark.parametrize(("module", "source"), [
    ("tasks.perplexity", "from llmkit.evaluation.asked import rolling_requests"),
    ("tasks.answers", "from llmkit.tasks import Task, TaskResult"),
    ("stages.clean", "from llmkit.cleaning.steps.length import Length"),
    ("data.sources.files", "from llmkit.data.sources._rows import decode"),
    ("core.config", "import json\nfrom pydantic import BaseModel"),
])  # fmt: skip
def test_the_rule_allows_what_it_should(sources, module, source):
    assert violations(module, source, set(sources)) == []


def test_a_kind_of_rows_is_named_in_few_files():
    # Else the next kind is not one file: what is for conversations alone stands in the family, and in data/chat.py.
    naming = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if re.search(r"\bmessages\b", path.read_text(encoding="utf-8"))
    }
    naming = {name for name in naming if not name.startswith("serving/")}  # OpenAI's interface has a field of that name
    # The table of other tools' words names members of all families; a new one needs no line there.
    rendering = {"data/rendering.py", "data/templates/compiled.py", "data/templates/shipped.py"}
    rows = {"data/chat.py", "data/rows/messages.py", "data/sources/_tabular.py"}
    assert naming == {"core/glossary_words.py", *rendering, *rows}


_LOADED = """
import json, sys
from llmkit.cli.main import run
heavy = {"torch", "transformers", "datasets", "evaluate", "accelerate", "numpy", "pyarrow", "yaml", "rich"}
heavy |= {"rich.markdown", "llmkit.core.doctor", "llmkit.core.config", "llmkit.core.console", "llmkit.data"}
loaded = {}
for arguments in json.loads(sys.argv[1]):
    assert run([*arguments, "--help"]) == 0
    loaded[" ".join(arguments)] = sorted(heavy & set(sys.modules))
print(json.dumps(loaded), file=sys.stderr)
"""


def test_the_help_loads_nothing_heavy():
    stages = ["clean", "tokenize", "pretrain", "finetune", "eval", "export", "predict"]
    tools = ["init", "recipes", "schema", "plan", "preflight", "compare", "summary", "lineage", "tidy", "doctor"]
    commands = [[], *([name] for name in stages + tools)]
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, json.dumps(commands)], capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stderr.splitlines()[-1])
    assert loaded == {" ".join(command): [] for command in commands}


_BARE = """
import typer
app = typer.Typer()
app.command("clean")(lambda: None)
app.command("tokenize")(lambda: None)
run = lambda arguments: app(arguments, standalone_mode=False) or 0
"""
_MODULES = """
import json, sys
assert run(sys.argv[1:]) == 0
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["clean", "--help"]])
def test_the_help_imports_little_beyond_what_typer_does(arguments):
    # Its time is that of its imports: at most 1.3 times that of an app of Typer's that does nothing.
    def modules(app):
        script = [sys.executable, "-c", app + _MODULES, *arguments]
        return set(json.loads(subprocess.run(script, capture_output=True, text=True, check=True).stderr))

    bare, ours = modules(_BARE), modules("from llmkit.cli.main import run")
    assert {name.partition(".")[0] for name in ours - bare} <= sys.stdlib_module_names | {"llmkit", "typer"}
    assert len(ours) < 1.1 * len(bare)
