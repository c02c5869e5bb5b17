"""Kill `llmkit tokenize` on its way: the same command again ends where an undisturbed run ends, to the byte."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

WORDS = ["春天", "来了。", "the", "quick", "brown", "fox.", "Yes!", "\n", "<|endoftext|>", "1984", "e\u0301"]

# Runs the command with small tasks and shards, so that a small corpus makes many of both.
_SMALL = """
import os, sys
os.fsync = lambda descriptor: None  # a killed process loses nothing that it wrote, and waiting for disks takes long
import llmkit.data.corpus as corpus, llmkit.tokenization.plan as plan
corpus.ROWS_PER_WRITE = 4
plan.TASK_BYTES = 2000
plan.group_parts.__defaults__ = (4000,)
from llmkit.cli.main import run
"""
_RUN = f"{_SMALL}\nif __name__ == '__main__': sys.exit(run(sys.argv[1:]))"

# Forks a process per run: it is struck at its n-th change of a folder, and a second one runs the same command again.
# Prints, per n, both exit codes and which results of tasks each of the two has noted.
_STRIKE = (
    _SMALL
    + """
import json
import llmkit.stages.tokenize, llmkit.tokenization.fast, transformers, tokenizers
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads do not survive a fork
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")

def start(out, strike_at):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        count = 0
        def watch(event, arguments):
            nonlocal count
            if event in CHANGES and ".partial" in str(arguments[0]):
                count += 1
                if count == strike_at:
                    os.write(write, b"!")
                    os.kill(os.getpid(), 9)
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

first, stride, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
n = first
while True:
    code, done, struck = start(f"struck-{n}", n)
    if not struck:
        break
    again, rest, _ = start(f"struck-{n}", 0)
    print(json.dumps([n, code, done, again, rest]), flush=True)
    n += stride
"""
)


def small(folder, arguments, script=_RUN):
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with raw text, a corpus made of it, a tokenizer, and a straight run over both."""
    folder = tmp_path_factory.mktemp("resume")
    rng = random.Random(0)
    rows = [{"text": " ".join(rng.choices(WORDS, k=rng.randrange(5, 60)))} for _ in range(150)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "a.jsonl").write_text(text, encoding="utf-8")
    (folder / "b.jsonl").write_text(text[: len(text) // 3], encoding="utf-8")  # ends in the middle of a row
    commands = [
        ["clean", "-i", "a.jsonl", "-o", "corpus", "-s", "steps=[]", "--workers", "1"],
        ["tokenize", "-i", "corpus", "-o", "trained", "--vocab-size", "300"],
    ]
    for command in commands:
        done = small(folder, command)
        assert done.returncode == 0, done.stderr
    done = small(folder, [*COMMAND, "-s", "workers=1", "-o", "straight"])
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "straight/train").glob("*.arrow"))) > 2
    manifest = json.loads((folder / "straight/llmkit.json").read_text())
    assert manifest["metrics"]["documents_failed"] == 1
    return folder


COMMAND = [
    *("tokenize", "-i", "corpus", "-i", "b.jsonl", "--tokenizer", "trained"),
    *("-s", "validation_fraction=0.1", "-s", "test_fraction=0.1"),
]


def made(out):
    """What a run has made that must not differ: the bytes of the tokens and the report, and the id."""
    assert not (out / ".partial").exists()
    names = [*out.rglob("*.arrow"), *out.rglob("state.json"), out / "tokens.json", out / "report.json"]
    files = {str(path.relative_to(out)): path.read_bytes() for path in names}
    return {**files, "id": json.loads((out / "llmkit.json").read_text())["id"]}


def check_strikes(place, first, stride):
    done = small(place, [first, stride, *COMMAND, "-s", "workers=1"], _STRIKE)
    assert done.returncode == 0, done.stderr
    strikes = [json.loads(line) for line in done.stdout.splitlines()]
    expected = made(place / "straight")
    encoding = set()
    for n, code, before, again, after in strikes:
        assert code == -signal.SIGKILL
        assert again == 0, (n, done.stderr)
        assert made(place / f"struck-{n}") == expected, n
        # A task is done once, whichever of the two runs came to it.
        assert len(before) == len(set(before))
        assert not {*before} & {*after}, n
        encoding |= {name for name in before if name.startswith("lenient/work-tokens/fast/done")}
    return strikes, encoding


@pytest.mark.slow  # the fast one is all processes hit at once, below
def test_kill_9_now_and_then(place):
    strikes, encoding = check_strikes(place, 30, 40)
    assert len(strikes) >= 2
    assert encoding  # one of them was struck between two tasks


@pytest.mark.slow
def test_kill_9_at_every_seventh_change_of_a_folder(place):
    strikes, _ = check_strikes(place, 1, 7)
    assert len(strikes) > 20


def test_all_processes_hit_and_another_number_of_workers(place):
    command = [sys.executable, "-c", _RUN, *COMMAND, "-s", "workers=2", "-o", "hit", "-q"]
    process = subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline, hit = time.monotonic() + 120, False
    while process.poll() is None and time.monotonic() < deadline:
        if len(list((place / "hit/.partial/scratch/lenient/work-tokens").glob("fast/done/*.done"))) >= 2:
            os.killpg(process.pid, signal.SIGKILL)
            hit = True
            break
        time.sleep(0.001)
    _, said = process.communicate(timeout=120)
    assert hit or process.returncode == 0, said
    again = small(place, [*COMMAND, "-s", "workers=1", "-o", "hit"])
    assert again.returncode == 0, again.stderr
    assert made(place / "hit") == made(place / "straight")
