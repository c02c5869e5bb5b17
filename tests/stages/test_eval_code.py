"""Programs that a model writes, through the command line; what runs them is confined by this machine's kernel."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from llmkit.core.errors import Interrupted, SetupError
from llmkit.evaluation import confinement
from llmkit.evaluation.confinement import Confinement, Limits
from llmkit.tasks.code import Code, seed_of

TOYS = Path(__file__).parents[1] / "toys"
PROBLEMS = TOYS / "problems" / "own.jsonl"


@pytest.fixture(scope="module", autouse=True)
def _confined():
    try:
        Confinement(Limits()).check()
    except SetupError as error:
        pytest.skip(f"the kernel of this machine confines no programs: {error.message}")


@pytest.fixture
def solve(cli, tmp_path):
    """Evaluate a pupil that knows the solutions, by the tokenizer of a model; return the outcome."""

    def run(model, *more, data=PROBLEMS, wrong="    return None\n", **task):
        shutil.copy(TOYS / "runtimes" / "pupil.py", "pupil.py")
        runtime = json.dumps({"type": "pupil.py:Pupil", "book": str(PROBLEMS), "wrong": wrong})
        tasks = json.dumps([{"type": "code", "data": str(data), **task}])
        return cli("eval", "--model", model, "-s", f"runtime={runtime}", "-s", f"tasks={tasks}", "-o", "out", *more)

    return run


def found():
    return json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]["code"]["results"]["model"]


def samples():
    return [json.loads(line) for line in Path("out/samples-code.jsonl").read_text(encoding="utf-8").splitlines()]


def write(rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    Path("own.jsonl").write_text(text, encoding="utf-8")
    return "own.jsonl"


def problems():
    return [json.loads(line) for line in PROBLEMS.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("model", "prompt", "stops"), [("base", "plain", 5), ("model", "chat", 0)])
def test_solutions_pass(solve, chain, model, prompt, stops):
    outcome = solve(getattr(chain, model))
    assert outcome.code == 0, outcome.err
    result = found()
    assert (result["scores"], result["num_samples"]) == ({"pass@1": 1.0}, 5)
    assert (result["prompt"], result["ended"], result["skipped"]) == (prompt, {"passed": 5}, 0)
    assert [sample["id"] for sample in samples()] == [f"own/{number}" for number in range(5)]
    assert {line.split()[1:][1] for line in Path("asked.txt").read_text().splitlines()} == {str(stops)}
    assert samples()[0]["reference"].strip() in samples()[0]["prediction"]


def test_pass_at_k_of_several_samples(solve, chain):
    outcome = solve(chain.base, k=[1, 2], num_samples=4, temperature=0.5, limit=3)
    assert outcome.code == 0, outcome.err
    passed = [sum(seed_of(0, f"own/{row}", number) % 2 == 0 for number in range(4)) for row in range(3)]
    assert [sample["passed"] for sample in samples()] == passed
    at_1, at_2 = (sum(values) / 3 for values in zip(*[
        (c / 4, 1 - (4 - c) * (3 - c) / 12) for c in passed
    ], strict=True))  # fmt: skip
    scores = found()["scores"]
    assert scores == {"pass@1": pytest.approx(at_1), "pass@2": pytest.approx(at_2)}
    assert len({line.split()[0] for line in Path("asked.txt").read_text().splitlines()}) == 12
    again = Code.model_validate(
        {"data": {"type": "files", "path": "x"}, "k": [1, 2], "num_samples": 4, "temperature": 0.5}
    )
    assert {name: measure.value for name, measure in again.measures(samples()).items()} == scores


@pytest.mark.parametrize(("wrong", "how"), [
    ("    import os\n    os._exit(0)\n", "exit"),
    ("    import sys\n    sys.exit(0)\n", "exit"),
    ("    while True: pass\n", "time"),
    ("    return 1 / 0\n", "error"),
    ("    open('/written', 'w')\n", "error"),
    ("    return bytearray(1 << 30)\n", "memory"),
])  # fmt: skip
def test_programs_that_do_something_else_have_not_passed(solve, chain, wrong, how):
    outcome = solve(chain.base, num_samples=2, temperature=0.5, limit=1, seed=1, timeout_s=1, wrong=wrong)
    assert outcome.code == 0, outcome.err
    odd = [seed_of(1, "own/0", number) % 2 for number in range(2)]
    assert sum(odd) > 0
    assert [answer["how"] for answer in samples()[0]["answers"]] == [how if wrong else "passed" for wrong in odd]
    assert not Path("/written").exists()


def test_a_problem_that_its_own_solution_does_not_solve_is_skipped(solve, chain):
    rows = problems()
    rows[1]["canonical_solution"] = "    return 'no'\n"
    del rows[2]["canonical_solution"]
    data = write(rows)
    assert solve(chain.base, data=data).code == 0
    assert [sample["id"] for sample in samples()] == ["own/0", "own/2", "own/3", "own/4"]
    assert found()["notes"][0] == "1 skipped: they do not pass their own tests with their own solution here"
    assert "reference" not in samples()[1]
    assert solve(chain.base, "--force", data=data, verify=False).code == 0
    assert len(samples()) == 5


def test_programs_are_run_once_and_kept(solve, chain, monkeypatch):
    """Interrupted behind the third problem, the same command runs none of those programs again."""
    run, count = Confinement.run, []

    def counted(self, program):
        count.append(program)
        if len(count) == 3:
            raise Interrupted
        return run(self, program)

    monkeypatch.setattr(confinement, "num_threads", lambda: 1)
    monkeypatch.setattr(Confinement, "check", lambda _: None)
    monkeypatch.setattr(Confinement, "run", counted)
    assert solve(chain.base, verify=False).code == 75
    assert solve(chain.base, verify=False).code == 0
    assert len(count) == 6  # five, and the one at which it was interrupted
    assert found()["scores"] == {"pass@1": 1.0}


@pytest.mark.parametrize(("task", "message"), [
    ({"k": [5], "num_samples": 4, "temperature": 0.5}, "pass@5 cannot be told of 4 programs: raise num_samples"),
    ({"k": [1, 1]}, "k: each is a number of programs, from 1, and is there once"),
    ({"k": [0]}, "k: each is a number of programs, from 1"),
    ({"num_samples": 3}, "temperature 0 writes the same program 3 times: set 0.2 or 0.8"),
    ({"stop": ["def ", ""]}, "stop: an empty text would end every program at once"),
    ({"kk": [1]}, "tasks.0.kk: unknown field; did you mean 'k'?"),
    ({"max_new_tokens": 4096}, "tasks.max_new_tokens: 4,096 leaves no room for a prompt in the 4,096 positions"),
    ({"chat": "on"}, "tasks.chat: on, but the model has no chat template"),
])  # fmt: skip
def test_fields_that_cannot_be(solve, chain, task, message):
    outcome = solve(chain.base, **task)
    assert outcome.code == 2
    assert message in outcome.err


def test_rows_that_are_no_problems(solve, chain, cli):
    rows = problems()
    del rows[0]["test"]
    outcome = solve(chain.base, data=write(rows))
    assert outcome.code == 3
    assert "tasks.data: problem own/0 has no 'test'; its columns are" in outcome.err
    Path("text.jsonl").write_text('{"text": "x"}\n')
    outcome = solve(chain.base, data="text.jsonl")
    assert outcome.code == 3
    assert "has neither entry_point (HumanEval) nor test_list (MBPP); its columns are text" in outcome.err
    outcome = solve(chain.base, data="nowhere.jsonl")
    assert outcome.code == 3


def test_problems_that_do_not_fit_are_skipped_and_counted(solve, chain):
    rows = problems()[:2]
    rows[0]["prompt"] += "    # " + "water " * 4000 + "\n"
    assert solve(chain.base, data=write(rows), verify=False).code == 0
    assert (
        found()["notes"][0] == "1 skipped: they do not fit into the 4,096 positions of the model beside 512 new tokens"
    )
    assert found()["num_samples"] == 1


def test_a_machine_that_does_not_confine_is_refused(solve, chain, monkeypatch):
    monkeypatch.setattr(
        confinement, "_order", lambda *_: {"refused": "new namespaces (unshare): Operation not permitted"}
    )
    outcome = solve(chain.base)
    assert outcome.code == 4
    assert (
        "programs are not run: this machine does not confine them: new namespaces (unshare): Operation" in outcome.err
    )
    assert "-> user namespaces are off, as in many containers" in outcome.err


def test_a_model_that_knows_nothing_scores_nothing(cli, chain):
    tasks = json.dumps([{"type": "code", "data": str(PROBLEMS), "max_new_tokens": 8, "limit": 2, "chat": "off"}])
    outcome = cli("eval", "--model", chain.base, "-s", f"tasks={tasks}", "-o", "out")
    assert outcome.code == 3  # its 64 positions hold no problem
    assert "has no problem to ask about: 2 skipped: they do not fit into the 64 positions" in outcome.err
