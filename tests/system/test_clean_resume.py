"""Kill `llmkit clean` at every step of its way: the same command again ends where an undisturbed run ends, to the byte.

Whatever was finished before the kill is not done again, and every row is accounted for.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WORDS = [f"{a}{b}" for a in ("ba", "ko", "mi", "tu", "re", "so") for b in ("lan", "dor", "ves", "pim", "gut", "han")]
CHINESE = "春夏秋冬山水花鸟天地人心东西南北上下左右红黄蓝白大小多少来去"
STEPS = [
    "normalize",
    "exact_duplicates",
    {"type": "duplicate_lines", "min_chars": 20},
    "near_duplicates",
    {"type": "cap", "limit": 6000, "per_source": {"zh": 9000}},
    {"type": "mixture", "weights": {"a": 1, "b": 1, "zh": 2}},
]
ORDERS = {"in order": STEPS, "shuffled": [*STEPS, {"type": "shuffle", "seed": 3}]}

# Runs the command with small tasks and shards, so that a small corpus makes many of both.
_SMALL = """
import os
os.fsync = lambda descriptor: None  # a killed process loses nothing that it wrote, and waiting for disks takes long
import llmkit.cleaning.plan as plan, llmkit.cleaning.run as run_module, llmkit.cleaning.shards as shards
plan.TASK_BYTES, plan.SPOOL_BYTES, plan.BUCKET_INPUT_BYTES = 6000, 1000, 20_000
shards.SHARD_CHARS = run_module.SHARD_CHARS = 6000
from llmkit.cli.main import run
"""

# Forks a process per run: it is struck at its n-th change of a folder, and a second one runs the same command again.
# Prints, per n, both exit codes and which results of tasks each of the two has noted; the corpora are left behind.
_STRIKE = (
    _SMALL
    + """
import json, os, sys
import pyarrow.parquet
import llmkit.cleaning.kernels, llmkit.cleaning.minhash, llmkit.cleaning.report, llmkit.stages.clean
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")

def start(out, number, strike_at):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        count = 0
        def watch(event, arguments):
            nonlocal count
            if event in CHANGES:
                count += 1
                if count == strike_at:
                    os.write(write, b"!")
                    os.kill(os.getpid(), number)
                if event == "os.rename" and str(arguments[1]).endswith(".done"):
                    os.write(write, (str(arguments[1]).partition("/scratch/")[2] + " ").encode())
        sys.addaudithook(watch)
        code = run([*command, "-o", out, "-q"])
        sys.stderr.flush()
        os._exit(code)
    os.close(write)
    with open(read) as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, said.replace("!", "").split(), "!" in said

number, first, stride, command = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
n = first
while True:
    code, done, struck = start(f"struck-{n}", number, n)
    if not struck:
        break
    again, rest, _ = start(f"struck-{n}", number, 0)
    print(json.dumps([n, code, done, again, rest]), flush=True)
    n += stride
"""
)


def texts(seed, count):
    """Paragraphs of 60 words (40 characters), a fifth with a common one, some copies, some nearly so."""
    rng = random.Random(seed)
    chinese = seed == "zh"
    boilerplate = (
        "版权所有，未经许可不得转载，违者必究，谢谢合作。" * 2
        if chinese
        else "All rights reserved by nobody at all. " * 2
    )
    found = []
    for i in range(count):
        text = "".join(rng.choices(CHINESE, k=60)) if chinese else " ".join(rng.choices(WORDS, k=60))
        if i % 5 == 0:
            text += f"\n\n{boilerplate.strip()}\n\n" + ("末尾" if chinese else "the end") + str(i)
        found.append(text)
        if i % 7 == 0:
            found.append(text + (" 尾" if chinese else " tail"))
        if i % 11 == 0:
            found.append(text)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with inputs, two broken rows among them, and a straight run for each order."""
    import gzip

    folder = tmp_path_factory.mktemp("resume")
    (folder / "in").mkdir()
    for name in ("a", "b", "zh"):
        lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts(name, 33)]
        lines.insert(5, '{"text": "cut o')
        raw = ("\n".join(lines) + "\n").encode()
        if name == "b":
            (folder / "in/b.jsonl.gz").write_bytes(gzip.compress(raw, mtime=0))
        else:
            (folder / f"in/{name}.jsonl").write_bytes(raw)
    for name, steps in ORDERS.items():
        (folder / f"{name}.yaml").write_text(f"inputs: [in]\nsteps: {json.dumps(steps)}\n", encoding="utf-8")
        done = small(folder, ["clean", "-r", f"{name}.yaml", "-o", name, "--workers", "1"])
        assert done.returncode == 0, done.stderr
    return folder


def small(folder, command, script=f"{_SMALL}\nimport sys\nsys.exit(run(sys.argv[1:]))"):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, command)], cwd=folder, capture_output=True, text=True, check=False
    )


def made(out):
    """What a run has made that must not differ: the bytes of the corpus and of its reports, and the id."""
    names = [*sorted(path.name for path in out.glob("data-*.parquet")), "report.json", "rejected/sample.parquet"]
    found = {name: (out / name).read_bytes() for name in names}
    assert not (out / ".partial").exists()
    return {**found, "id": json.loads((out / "llmkit.json").read_text())["id"]}


def test_the_straight_runs_make_use_of_every_pass(place):
    for name, steps in ORDERS.items():
        out = place / name
        assert len(list(out.glob("data-*.parquet"))) > 1
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        acted = [step["changed"] + step["dropped"] for step in report["steps"]]
        assert all(acted[1 : len(STEPS)]), report["steps"]
        assert steps[1] == report["steps"][1]["step"]["type"]
        for path, count in report["files"].items():
            assert count["rows"] == 33 + 5 + 3 + 1, path
            assert count["failed"] == 1
            assert count["rows"] == count["kept"] + count["rejected"] + count["failed"]


def check_strikes(place, order, number, first, stride):
    command = ["clean", "-r", f"{order}.yaml", "--workers", "1"]
    for old in place.glob("struck-*"):
        subprocess.run(["rm", "-r", str(old)], check=True)
    done = small(place, [number, first, stride, *command], _STRIKE)
    assert done.returncode == 0, done.stderr
    strikes = [json.loads(line) for line in done.stdout.splitlines()]
    expected = made(place / order)
    expected_code = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 75}[number]
    everything = None
    for n, code, before, again, after in strikes:
        assert code == expected_code or (code == 0 and number == signal.SIGTERM), (n, done.stderr)
        assert again == 0, (n, done.stderr)
        assert made(place / f"struck-{n}") == expected, n
        # A task is done once; only where all was done and the scratch folder gone, it is all done again.
        everything = everything or {*before, *after}
        assert len(before) == len(set(before))
        assert {*before, *after} == everything, n
        assert not {*before} & {*after} or {*before} == everything, n
    return strikes


@pytest.mark.parametrize("order", [pytest.param("in order", marks=pytest.mark.slow), "shuffled"])
def test_kill_9_now_and_then(place, order):
    strikes = check_strikes(place, order, signal.SIGKILL, 20, 97)
    assert len(strikes) >= 2


@pytest.mark.slow
def test_sigterm_now_and_then(place):
    strikes = check_strikes(place, "shuffled", signal.SIGTERM, 50, 97)
    assert len(strikes) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("order", ORDERS)
def test_a_strike_at_every_seventh_change_of_a_folder(place, order, number):
    strikes = check_strikes(place, order, number, 1, 7)
    assert len(strikes) > 40


# --- processes with workers, all of them or one of them hit


def started(place, out, order="shuffled"):
    script = f"{_SMALL}\nimport sys\nsys.exit(run(sys.argv[1:]))"
    command = ["clean", "-r", f"{order}.yaml", "-o", out, "--workers", "2", "-q"]
    return subprocess.Popen(
        [sys.executable, "-c", script, *command], cwd=place, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(process, out, count):
    """Wait until so many results of tasks are there; say whether the process still runs."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):  # a folder that is removed while it is looked through
            if len(list((out / ".partial/scratch").glob("**/*.done"))) >= count:
                return True
        time.sleep(0.001)
    return False


def alive(group):
    """Tell whether a process group has members that run; those that wait to be collected do not count."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, member_of = entry.read_text(encoding="utf-8").rpartition(") ")[2].split()[:3]
        except OSError:
            continue
        if int(member_of) == group and state not in "ZX":
            return True
    return False


def finish_after(place, out, number, count):
    process = started(place, out)
    hit = wait_for(process, place / out, count)
    if hit:
        os.killpg(process.pid, number)
    _, said = process.communicate(timeout=120)
    assert not hit or process.returncode in ((-9,) if number == signal.SIGKILL else (75, 0)), said
    assert "Traceback" not in said
    deadline = time.monotonic() + 30
    while alive(process.pid):  # a worker that lives on would write into what the next run writes
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if process.returncode:
        again = small(place, ["clean", "-r", "shuffled.yaml", "-o", out, "--workers", "2", "-q"])
        assert again.returncode == 0, again.stderr
    assert made(place / out) == made(place / "shuffled")


@pytest.mark.parametrize(
    ("number", "count"), [(signal.SIGKILL, 5), pytest.param(signal.SIGTERM, 12, marks=pytest.mark.slow)]
)
def test_all_processes_hit(place, number, count):
    finish_after(place, f"all-{number}-{count}", number, count)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_all_processes_hit_at_many_points(place, number):
    for count in range(1, 90, 8):
        finish_after(place, f"many-{number}-{count}", number, count)


def test_a_worker_that_is_killed_is_replaced(place):
    process = started(place, "worker")
    assert wait_for(process, place / "worker", 3)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(workers[0], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert made(place / "worker") == made(place / "shuffled")


def test_a_run_goes_on_with_another_number_of_workers(place):
    process = started(place, "other")
    if wait_for(process, place / "other", 9):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    again = small(place, ["clean", "-r", "shuffled.yaml", "-o", "other", "--workers", "1", "-q"])
    assert again.returncode == 0, again.stderr
    assert made(place / "other") == made(place / "shuffled")
