"""Time and memory of a command and its children, and the adversary's inputs."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from llmkit.core.registry import Family
from llmkit.data.sources import Broken, Record
from llmkit.data.sources._formats import formats
from llmkit.data.sources.files import Files

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine has no /proc: it is not Linux")
BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
HOLD = "import time; block = b'x' * {size}; time.sleep(0.5)"


@pytest.fixture(scope="module", autouse=True)
def _path() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def measure() -> ModuleType:
    return importlib.import_module("_measure")


def test_memory_counts_children(measure: ModuleType, tmp_path: Path) -> None:
    child = HOLD.format(size=60_000_000)
    both = f"import subprocess, sys; run = subprocess.Popen([sys.executable, '-c', {child!r}]); {child}; run.wait()"
    one = measure.run([sys.executable, "-c", child], cores=[0], log=tmp_path / "log")
    two = measure.run([sys.executable, "-c", both], cores=[0], log=tmp_path / "log")
    assert 60e6 < one.peak_bytes < 100e6
    assert 120e6 < two.peak_bytes < 200e6


def test_a_failing_command_says_what_it_printed(measure: ModuleType, tmp_path: Path) -> None:
    code = "import sys; print('no such recipe'); sys.exit(3)"
    with pytest.raises(measure.RunError, match=r"(?s)exit code 3: .*no such recipe"):
        measure.run([sys.executable, "-c", code], cores=[0], log=tmp_path / "log")


def test_a_missing_package_is_null(measure: ModuleType) -> None:
    versions = measure.machine(["pytest", "no-such-package"])["versions"]
    assert versions == {"pytest": pytest.__version__, "no-such-package": None}


@pytest.mark.parametrize(("text", "expected"), [("10MB", 10_000_000), ("1.5gb", 1_500_000_000), ("4KB", 4000)])
def test_sizes(text: str, expected: int) -> None:
    assert importlib.import_module("_compare").parse_size(text) == expected


def test_hard_inputs_have_the_size_asked_for() -> None:
    adversary = importlib.import_module("_adversary")
    for name, make in adversary.INPUTS.items():
        texts = list(make(100_000))
        assert 80_000 < sum(len(text.encode()) for text in texts) <= 130_000, name
    assert len(set(adversary.INPUTS["identical documents"](100_000))) == 1
    chain = list(adversary.INPUTS["chain of near copies"](100_000))
    words = [set(re.findall(r"\w+", text.lower())) for text in chain]
    shared = [len(before & after) / len(before) for before, after in pairwise(words)]
    assert min(shared) > 0.85
    near = list(adversary.INPUTS["near copies of one"](100_000))
    assert len(set(near)) == len(near)


def test_every_reader_has_hard_files_and_reads_them(tmp_path: Path) -> None:
    hard = importlib.import_module("_hard_files").HARD_FILES
    for form in set(formats().values()):
        assert set(form.suffixes) & set(hard), form
    for suffix, makers in hard.items():
        for number, make in enumerate(makers.values()):
            path = tmp_path / f"{number}{suffix}"
            path.write_bytes(make(20_000))
            source = Files(path=str(path))
            assert all(isinstance(row, Record | Broken) for row in source.read(source.files()[0]))


def test_growth_is_measured_of_every_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    growing, compare = importlib.import_module("_growth"), importlib.import_module("_compare")
    bench = compare.Bench(tmp_path, 1)
    named = [step.type_name for _, step in growing._steps(tmp_path, bench)]
    assert set(named) == set(Family("step").members())
    growing.growth(bench, 2_000, {"lowercase", ".txt"})
    assert {row["who"] for row in bench.growth} == {"reader .txt", "step lowercase"}
    assert all(len(row["seconds"]) == 3 for row in bench.growth)
    (claim,) = bench.claims
    assert claim["target"] == 6
    assert "step lowercase" in capsys.readouterr().out


def test_a_command_that_is_killed_is_said_to_be_with_its_memory(measure: ModuleType, tmp_path: Path) -> None:
    code = f"{HOLD.format(size=10**8)}; import os; os.kill(os.getpid(), 9)"
    with pytest.raises(measure.RunError, match=r"^killed by SIGKILL, 0\.\d GB of [\d.]+ GB were seen in use: "):
        measure.run([sys.executable, "-c", code], cores=[0], log=tmp_path / "log")
