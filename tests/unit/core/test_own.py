"""A part of the user's own: what it is known by, what its file may import, how it travels, and every way to fail."""

from __future__ import annotations

import copy
import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_core import PydanticCustomError

from llmkit.core.errors import ConfigError
from llmkit.core.registry import PACKAGES, Family, Part

SHOUT = '''
from llmkit.cleaning.steps import Rewrite

class Shout(Rewrite):
    """Write capitals."""
    loud: bool = False
    """Add a mark."""
    def rewrite(self, text, document):
        {inside}
        return text.upper() + MARK
'''
STEP = Family("step")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, text):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def shout(imports="", inside="pass"):
    return imports + SHOUT.format(inside=inside)


def refused(text, family=STEP):
    with pytest.raises(LookupError) as caught:
        family.load(text)
    return str(caught.value)


def identity(text="my/steps.py:Shout"):
    return STEP.parse(text).spec(identity=True)["type"]


def test_a_class_is_known_by_its_name_and_its_file(capsys):
    digest = write("my/steps.py", shout(inside="MARK = '!'"))
    step = STEP.parse({"type": "my/steps.py:Shout", "loud": True})
    assert (step.type_name, step.loud, step.rewrite("a", None)) == ("Shout", True, "A!")
    assert step.spec() == {"type": "my/steps.py:Shout", "only_languages": None, "loud": True}
    assert step.spec(identity=True)["type"] == {"name": "Shout", "file": digest}
    assert type(step).model_fields["loud"].description == "Add a mark."
    assert STEP.parse(step.spec()) == step
    assert STEP.parse(step.record()) == step
    assert copy.deepcopy(step) == step == step.model_copy()
    assert type(STEP.parse("./my/../my/steps.py:Shout")) is type(step)
    assert capsys.readouterr() == ("", "importing my/steps.py\n")  # once in a process
    assert STEP.own()[-1] is type(step)
    assert type(step) not in Family("task").own()


def test_installed_parts_are_written_as_before():
    step = STEP.parse("normalize")
    assert step.record() == step.spec(mode="json")
    assert step.spec(identity=True)["type"] == "normalize"
    assert step.origin is None
    assert pickle.loads(pickle.dumps(step)) == step


def test_the_path_is_no_part_of_the_identity(folder, monkeypatch):
    write("my/steps.py", shout(inside="MARK = '!'"))
    before = identity()
    write("other place/x-1.py", Path("my/steps.py").read_text())
    assert identity("other place/x-1.py:Shout") == before == identity(f"{folder}/my/steps.py:Shout")
    monkeypatch.chdir(folder / "my")
    assert identity("steps.py:Shout") == before
    assert STEP.parse("steps.py:Shout").spec()["type"] == "steps.py:Shout"
    monkeypatch.chdir(folder / "other place")
    assert STEP.parse(f"{folder}/my/steps.py:Shout").spec()["type"] == f"{folder}/my/steps.py:Shout"


def test_an_edit_is_another_class_in_the_same_process():
    write("my/steps.py", shout(inside="MARK = '!'"))
    before, step = identity(), STEP.parse("my/steps.py:Shout")
    write("my/steps.py", shout(inside="MARK = '?'"))
    assert identity() != before
    assert STEP.parse("my/steps.py:Shout").rewrite("a", None) == "A?"
    assert step.rewrite("a", None) == "A!"


@pytest.mark.parametrize(("imports", "inside"), [
    ("from words import MARK\n", "pass"),
    ("import words\nMARK = words.MARK\n", "pass"),
    ("import words as w\nMARK = w.MARK\n", "pass"),
    ("import json, words\nMARK = words.MARK if json else ''\n", "pass"),
    ("from . import words\nMARK = words.MARK\n", "pass"),
    ("from .words import MARK\n", "pass"),
    ("", "from words import MARK"),
    ("", "import words; MARK = words.MARK"),
    ("", "from .words import MARK"),
    ("import importlib\n", "MARK = importlib.import_module('words').MARK"),
    ("from importlib import import_module\nMARK = import_module('words').MARK\n", "pass"),
    ("from importlib import import_module\n", "MARK = import_module('.words', __package__).MARK"),
    ("", "MARK = __import__('words').MARK"),
])  # fmt: skip
def test_a_module_beside_the_file_is_imported_and_counts(imports, inside):
    digest = write("my/words.py", "MARK = '!'\n")
    write("my/steps.py", shout(imports, inside))
    before = list(sys.path)
    step = STEP.parse("my/steps.py:Shout")
    assert step.rewrite("a", None) == "A!"
    assert identity()["imports"] == {"words": digest}
    assert "words" not in sys.modules
    assert sys.path == before
    digest = write("my/words.py", "MARK = '?'\n")
    assert identity()["imports"] == {"words": digest}
    assert STEP.parse("my/steps.py:Shout").rewrite("a", None) == "A?"


@pytest.mark.parametrize(("statement", "inner"), [
    ("from lang.marks import MARK", "from lang.signs import MARK"),
    ("import lang.marks; MARK = lang.marks.MARK", "from .signs import MARK"),
    ("import lang.marks as m; MARK = m.MARK", "import lang.signs\nMARK = lang.signs.MARK"),
    ("from lang import marks; MARK = marks.MARK", "from . import signs\nMARK = signs.MARK"),
    ("from lang import marks; MARK = marks.MARK", "from lang import signs\nMARK = signs.MARK"),
    ("import importlib; MARK = importlib.import_module('lang.marks').MARK",
     "import importlib\nMARK = importlib.import_module('lang.signs').MARK"),
    ("MARK = __import__('lang.marks').marks.MARK", "MARK = __import__('lang.signs').signs.MARK"),
])  # fmt: skip
@pytest.mark.parametrize("package", [True, False])
def test_a_package_beside_the_file_is_imported_and_counts(statement, inner, package):
    write("my/lang/marks.py", f"{inner}\n")
    write("my/lang/signs.py", "MARK = '!'\n")
    if package:
        write("my/lang/__init__.py", "")
    write("my/steps.py", shout(inside=statement))
    assert STEP.parse("my/steps.py:Shout").rewrite("a", None) == "A!"
    expected = {"lang.marks", "lang.signs"} | ({"lang"} if package else set())
    assert set(identity()["imports"]) == expected


def test_two_folders_may_hold_modules_of_one_name():
    for name, mark in (("one", "!"), ("two", "?")):
        write(f"{name}/words.py", f"MARK = '{mark}'\n")
        write(f"{name}/steps.py", shout("from words import MARK\n"))
    steps = [STEP.parse(f"{name}/steps.py:Shout") for name in ("one", "two")]
    assert [step.rewrite("a", None) for step in steps] == ["A!", "A?"]


def test_modules_on_the_path_that_are_not_installed_count(folder, monkeypatch):
    # An editable install, PYTHONPATH, or the current directory under `python -m llmkit`.
    write("src/project_of_mine/__init__.py", "")
    write("src/project_of_mine/words.py", "from .marks import MARK\n")
    digest = write("src/project_of_mine/marks.py", "MARK = '!'\n")
    write("my/steps.py", shout("import json, numpy, importlib, llmkit.core.json\nimport no_such_thing_anywhere\n"))
    assert "No module named 'no_such_thing_anywhere'" in refused("my/steps.py:Shout")
    monkeypatch.syspath_prepend(str(folder / "src"))
    write("my/steps.py", shout("import numpy\nfrom project_of_mine.words import MARK\n"))
    found = identity()["imports"]
    assert set(found) == {"project_of_mine", "project_of_mine.words", "project_of_mine.marks"}
    assert found["project_of_mine.marks"] == digest
    write("src/project_of_mine/marks.py", "MARK = '??'\n")
    assert identity()["imports"]["project_of_mine.marks"] != digest
    assert STEP.parse("my/steps.py:Shout").rewrite("a", None) == "A??"
    write("my/steps.py", shout("import importlib\nMARK = importlib.import_module('project_of_mine.marks').MARK\n"))
    assert "project_of_mine.marks" in identity()["imports"]


def test_a_name_that_means_two_modules_is_refused():
    write("my/types.py", "")
    write("my/yaml.py", "")
    write("my/steps.py", shout("import os\nimport types\n"))
    assert refused("my/steps.py:Shout") == (
        "my/steps.py, line 2: 'types' may be my/types.py or the standard library's; rename the first, or write"
        " `from . import types` if it is meant"
    )
    write("my/steps.py", shout("from yaml import x\n"))
    assert "'yaml' may be my/yaml.py or the installed " in refused("my/steps.py:Shout")
    write("my/steps.py", shout("from . import types\nMARK = types.__name__[-5:]\n"))
    assert STEP.parse("my/steps.py:Shout").rewrite("a", None) == "Atypes"


def test_a_part_travels_to_a_process_that_has_not_imported_it(folder):
    write("my/words.py", "MARK = '!'\n")
    helper = "class Mark:\n    sign = '!'\n"
    write("my/steps.py", shout(f"from words import MARK\nfrom llmkit.core.config import Config\n{helper}"))
    sealed = pickle.dumps([STEP.parse({"type": "my/steps.py:Shout", "loud": True})])
    code = (
        "import pickle, sys, os\nos.chdir(sys.prefix)\nprint('ready', flush=True)\n"
        "steps = pickle.loads(sys.stdin.buffer.read())\n"
        "print(steps[0].rewrite('a', None), steps[0].loud, pickle.dumps(steps) == pickle.dumps(steps))"
    )

    def there():
        done = subprocess.run([sys.executable, "-c", code], input=sealed, capture_output=True, check=False)
        return done.stdout.decode().split("\n", 1)[1], done.stderr.decode()

    assert there() == ("A! True True\n", "")
    write("my/words.py", "MARK = '?'\n")
    out, err = there()
    assert out == ""
    assert err.splitlines()[-1].endswith(f"ConfigError: {folder}/my/steps.py has changed since this run has begun")
    Path("my/steps.py").unlink()
    assert there()[1].splitlines()[-1].endswith(f"no such file: {folder}/my/steps.py; valid: words.py")


def test_a_record_imports_nothing():
    digest = write("my/steps.py", shout(inside="MARK = 'recorded'"))
    record = {"type": {"name": "Shout", "file": digest}, "loud": True}
    with pytest.raises(PydanticCustomError, match=f"step 'Shout', from a file with the digest {digest[:12]}"):
        STEP.parse(record)
    assert STEP.parse("my/steps.py:Shout") != STEP.parse(record)
    assert STEP.parse(record).loud
    with pytest.raises(PydanticCustomError, match="is not known here"):
        Family("task").parse(record)


def test_a_part_inside_of_a_part_of_ones_own_counts():
    write(
        "my/inner.py",
        "from llmkit.metrics import Metric\nclass Inner(Metric):\n    '''M.'''\n    def load(self): pass\n",
    )
    write("my/tasks.py", (
        "from inner import Inner\nfrom llmkit.tasks.perplexity import Perplexity\n"
        "class Mine(Perplexity):\n    '''T.'''\n    inner: Inner = Inner()\n    '''I.'''\n"
    ))  # fmt: skip
    spec = Family("task").parse({"type": "my/tasks.py:Mine", "data": "x"}).spec(identity=True)
    assert spec["inner"]["type"]["name"] == "Inner"
    assert list(spec["type"]["imports"]) == ["inner"]
    assert "only imports 'Inner', which is defined in my/inner.py:Inner" in refused("my/tasks.py:Inner", Family("task"))


@pytest.mark.parametrize("family", PACKAGES)
def test_every_family_takes_a_subclass_of_any_of_its_members(family):
    place = Family(family)
    for member in place.members():
        part = place.load(member)
        assert issubclass(part, place.base)
        source = f"from {part.__module__} import {part.__name__}\nclass Mine({part.__name__}):\n    '''Mine.'''\n"
        write(f"my/{member}_.py", source)
        mine = place.load(f"my/{member}_.py:Mine")
        assert issubclass(mine, part)
        assert set(mine.model_fields) == set(part.model_fields)


@pytest.mark.parametrize(("family", "missing"), [
    ("step", "apply"), ("metric", "load"), ("optimizer", "build"), ("source", "files, read and root"),
])  # fmt: skip
def test_a_class_that_lacks_a_method_is_refused(family, missing):
    base = Family(family).base
    write("my/parts.py", f"from {base.__module__} import {base.__name__} as Base\nclass Mine(Base):\n    '''M.'''\n")
    words = refused("my/parts.py:Mine", Family(family))
    assert words.startswith("my/parts.py:Mine does not define ")
    assert set(missing.replace(" and ", ", ").split(", ")) <= set(
        words.removeprefix("my/parts.py:Mine does not define ")
        .partition(", which")[0]
        .replace(" and ", ", ")
        .split(", ")
    )


def test_a_class_that_lacks_a_name_is_refused():
    write("my/rows.py", "from llmkit.data.rows import Row\nclass Mine(Row):\n    '''M.'''\n")
    assert "my/rows.py:Mine does not define aliases" in refused("my/rows.py:Mine", Family("row"))


@pytest.mark.parametrize(("text", "words"), [
    ("my/step.py:Shout", "no such file: my/step.py; did you mean 'steps.py'?"),
    ("yours/steps.py:Shout", "no such file: yours/steps.py; there is no folder {folder}/yours"),
    ("my/step.py", "no such file: my/step.py; did you mean 'steps.py'?"),
    ("my/steps.py", "'my/steps.py' does not say which class of the file is meant; it defines my/steps.py:Shout"),
    ("my/steps.py:", "'my/steps.py:' does not say which class of the file is meant; it defines my/steps.py:Shout"),
    ("my/empty.py", "'my/empty.py' does not say which class of the file is meant; it defines no class"),
    ("my/steps.py:Shot", "my/steps.py defines no 'Shot'; did you mean 'Shout'?"),
    ("my/steps.py:Shout.x", "'my/steps.py:Shout.x': 'Shout.x' is no name of a class; did you mean 'Shout'?"),
    ("my/steps.py:Rewrite", "my/steps.py only imports 'Rewrite', which is defined in llmkit.cleaning.steps"),
    ("my/steps.txt:Shout", "'my/steps.txt:Shout': a part of your own is path/to/file.py:Name, and 'my/steps.txt' is no"
                           " .py file"),
    ("steps:Shout", "'steps:Shout': a part of your own is path/to/file.py:Name, and 'steps' is no .py file"),
    ("https://x.org/a.py:A", "'https://x.org/a.py:A': a part of your own is a file on this machine:"
                             " path/to/file.py:Name"),
    ("my/folder.py:A", "my/folder.py: Is a directory"),
    ("my/other.py:M", "my/other.py:M is of the family 'metric', and the field takes one of 'step': derive it from Step"
                      " of llmkit.cleaning.steps"),
    ("my/other.py:P", "my/other.py:P is a part of no family, and the field takes one of 'step': derive it from Step of"
                      " llmkit.cleaning.steps"),
    ("my/other.py:Plain", "my/other.py:Plain is a class that is no part: derive it from Step of llmkit.cleaning.steps"),
    ("my/other.py:N", "my/other.py:N is an int: derive it from Step of llmkit.cleaning.steps"),
    ("my/other.py:f", "my/other.py:f is a function: derive it from Step of llmkit.cleaning.steps"),
    ("my/syntax.py:A", "my/syntax.py, line 2: SyntaxError: '(' was never closed"),
    ("my/indent.py:A", "my/indent.py, line 2: IndentationError: unexpected indent"),
    ("my/zeros.py:A", "my/zeros.py: "),
    ("my/latin.py:A", "my/latin.py, line 1: SyntaxError: (unicode error) 'utf-8' codec can't decode byte 0xe4"),
    ("my/missing.py:A", "my/missing.py does not import: my/missing.py, line 1: ModuleNotFoundError: No module named"
                        " 'numpyy'"),
    ("my/zero.py:A", "my/zero.py does not import: my/zero.py, line 2: ZeroDivisionError: division by zero"),
    ("my/deep.py:A", "my/deep.py does not import: my/zero.py, line 2: ZeroDivisionError: division by zero"),
    ("my/exits.py:A", "my/exits.py does not import: my/exits.py, line 2: it ends the process: 3"),
    ("my/field.py:A", "my/field.py does not import: my/field.py, line 2: PydanticUserError: "),
    ("my/path.py:A", "my/path.py changes sys.path: what it imports from there is not known; put the modules beside it,"
                     " or install them"),
    ("shout", "unknown step 'shout'"),
])  # fmt: skip
def test_every_way_to_fail_has_its_words(folder, text, words):
    write("my/steps.py", shout())
    write("my/empty.py", "")
    Path("my/folder.py").mkdir()
    write("my/other.py", (
        "from llmkit.core.part import Part\nfrom llmkit.metrics import Metric\nclass Plain: pass\nN = 3\n"
        "def f(): pass\nclass P(Part):\n    pass\nclass M(Metric):\n    def load(self): pass\n"
    ))  # fmt: skip
    write("my/syntax.py", "import json\nx = (1\n")
    write("my/indent.py", "import json\n  x = 1\n")
    Path("my/zeros.py").write_bytes(b"x = 1\0")
    Path("my/latin.py").write_bytes(b"x = '\xe4'\n")
    write("my/missing.py", "import numpyy\n")
    write("my/zero.py", "def f(): return 1\nf() / 0\n")
    write("my/deep.py", "import zero\n")
    write("my/exits.py", "import sys\nsys.exit(3)\n")
    write(
        "my/field.py",
        "from llmkit.cleaning.steps import Step\nclass A(Step):\n    x = 3\n    def apply(self, d): pass\n",
    )
    write("my/path.py", "import sys\nsys.path.insert(0, 'lib')\n")
    assert refused(text).startswith(words.format(folder=folder))


def test_a_failed_import_leaves_nothing_behind():
    write("my/steps.py", shout() + "\n1 / 0\n")
    assert "ZeroDivisionError" in refused("my/steps.py:Shout")
    assert "ZeroDivisionError" in refused("my/steps.py:Shout")
    write("my/steps.py", shout(inside="MARK = '!'"))
    assert STEP.parse("my/steps.py:Shout").rewrite("a", None) == "A!"


def test_what_a_file_prints_is_no_result(capsys):
    write("my/steps.py", shout("print('hello')\n"))
    STEP.parse("my/steps.py:Shout")
    assert capsys.readouterr() == ("", "importing my/steps.py\nhello\n")


@pytest.mark.parametrize(("name", "value"), [("RANK", "1"), ("LLMKIT_LAUNCHER", "1")])
def test_of_several_processes_one_says_what_is_imported(capsys, monkeypatch, name, value):
    write("my/steps.py", shout())
    monkeypatch.setenv(name, value)
    STEP.parse("my/steps.py:Shout")
    assert capsys.readouterr() == ("", "")


def test_an_objective_of_the_other_kind_is_named():
    write("my/o.py", "from llmkit.objectives.rows.sft import SFT\nclass Mine(SFT):\n    '''M.'''\n")
    documents = Family("document_objective", elsewhere=("row_objective", "is for rows"))
    assert refused("my/o.py:Mine", documents) == "my/o.py:Mine is for rows"


def test_a_path_of_data_is_still_one():
    family = Family("source", shorthand=("files", "path"))
    assert family.open("my/web.py") == {"type": "files", "path": "my/web.py"}
    assert family.open("my/web.py:Web") == {"type": "my/web.py:Web"}
    assert family.open("C:rows.jsonl") == {"type": "files", "path": "C:rows.jsonl"}


def test_a_worker_says_what_it_cannot_import():
    digest = write("my/steps.py", shout())
    step = STEP.parse("my/steps.py:Shout")
    function, arguments, *_ = step.__reduce_ex__(4)
    assert isinstance(function(*arguments), Part)
    with pytest.raises(ConfigError, match=r"a worker cannot import my/gone\.py: no such file"):
        function("my/gone.py", {"name": "Shout", "file": digest[::-1]})
