"""The matrix of exports: what marked tests find is written down, and the page says that and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cells import merged

TESTS = Path(__file__).parents[2]
DOCS = TESTS.parent / "docs"
CONFTEST = "from cells import pytest_addoption, pytest_collection_modifyitems, pytest_configure\n"
CODE = """
import pytest
from cells import refused

CELLS = pytest.mark.cells(format="gguf", runtime="llama.cpp", version="1.2")

@CELLS(dtype="q8_0")
@pytest.mark.parametrize("arch", ["llama", "gpt2", "phi3"])
def test_writes(arch):
    if arch == "phi3":
        pytest.skip("no Node")
    assert arch == "llama"

@CELLS(model="bert")
@pytest.mark.parametrize("head", ["vectors"])
@pytest.mark.parametrize("dtype", ["q4_0"])
def test_reads(head, dtype):
    pass

def test_refuses(request):
    refused(request, "it has no bamba", format="gguf", model="bamba", runtime="")

def test_of_something_else():
    pass
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cells")


@pytest.fixture(scope="module")
def found(folder):
    """What the tests above leave in a file, with which an earlier run was kept."""
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "test_small.py").write_text(CODE, encoding="utf-8")
    earlier = {
        "format": "gguf", "runtime": "llama.cpp", "model": "phi3", "head": "text", "dtype": "q8_0", "with": "older",
        "test": "test_small.py::test_writes[phi3]", "result": "green",
    }  # fmt: skip
    (folder / "found.json").write_text(json.dumps([earlier]), encoding="utf-8")
    done = run_cells(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    return json.loads((folder / "found.json").read_text(encoding="utf-8"))


def run_cells(folder, *options):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        ".",
        "--cells",
        "found.json",
    ]
    environment = {"PYTHONPATH": f"{TESTS}:{TESTS.parent / 'src'}", "PATH": ""}
    return subprocess.run(
        [*command, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_what_is_green_is_not_run_again_where_the_missing_is_asked_for(folder, found):
    del found
    done = run_cells(folder, "--missing", "--collect-only")
    assert [line for line in done.stdout.splitlines() if "::" in line] == ["test_small.py::test_writes[gpt2]"]
    assert "1/6 tests collected (5 deselected)" in done.stdout


def test_each_marked_test_is_a_cell_with_its_outcome(found):
    cells = {(cell["model"], cell["head"], cell["dtype"]): cell for cell in found}
    results = {key: cell["result"] for key, cell in cells.items()}
    assert results == {
        ("llama", "text", "q8_0"): "green", ("gpt2", "text", "q8_0"): "fails", ("phi3", "text", "q8_0"): "green",
        ("bert", "vectors", "q4_0"): "green", ("bamba", "text", "float32"): "refused",
    }  # fmt: skip
    assert cells["llama", "text", "q8_0"]["with"].startswith("llama.cpp 1.2, transformers ")
    assert cells["phi3", "text", "q8_0"]["with"] == "older"  # skipped now: an earlier run says what is known
    assert cells["bamba", "text", "float32"]["words"] == "it has no bamba"
    assert cells["gpt2", "text", "q8_0"]["test"] == "test_small.py::test_writes[gpt2]"


def test_what_was_not_run_gives_way_to_what_was():
    def cell(result):
        same = {"format": "f", "runtime": "r", "model": "m", "head": "h", "dtype": "d", "test": "t"}
        return {**same, "result": result}

    assert merged([cell("not run"), cell("fails"), cell("not run")]) == [cell("fails")]
    assert merged([cell("fails"), cell("green")]) == [cell("green")]


def test_the_page_says_what_was_found(found, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import matrix

    monkeypatch.setattr(matrix, "FOUND", tmp_path / "matrix.json")
    matrix.FOUND.write_text(json.dumps(found), encoding="utf-8")
    page = matrix.matrix_page()
    assert "| writes text | `q8_0` |\n| --- | --- |\n| `gpt2` | **no** |\n| `llama` | yes |\n| `phi3` | yes |\n" in page
    assert "| reads text | vectors |\n| --- | --- |\n| `bert`, `q4_0` | yes |\n" in page
    assert "* `python -m pytest 'test_small.py::test_writes[gpt2]'`\n" in page
    assert "* `bamba`: it has no NAME\n" in page


def test_the_checked_in_page_is_of_tests_that_exist():
    """A test that was renamed would leave what it has found for ever."""
    cells = json.loads((DOCS / "reference" / "matrix.json").read_text(encoding="utf-8"))
    tests = {tuple(cell["test"].partition("[")[0].split("::")) for cell in cells}
    for file, name in tests:
        assert f"def {name}(" in (TESTS.parent / file).read_text(encoding="utf-8"), (file, name)
    assert len(cells) > 500
