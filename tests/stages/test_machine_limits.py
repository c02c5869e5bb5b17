"""What the machine refuses: no permission and a full disk end with exit code 4 and words, and cost no work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from llmkit.core.manifest import read_manifest

STAGES = ("clean", "tokenize", "pretrain", "finetune", "eval", "export")

# Runs several commands in one process; each is [name, arguments], each answer {name: [code, stdout, stderr]}. Started
# by root it first becomes another user, since root may write anywhere. That user need not be able to read where Python
# is installed: a first round as root, which only fails for want of an --output, and dry runs load what the real one
# needs.
_AS_ANOTHER_USER = """
import contextlib, io, json, os, sys
from llmkit.cli.main import run
from transformers import AutoTokenizer  # now: the other user may not be allowed to read where Python lies
from llmkit.data.sources._formats import formats
formats()

def call(arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    return code, out.getvalue(), err.getvalue()

commands = json.loads(sys.argv[1])
for _, arguments in commands:
    call([arguments[0]])
    call(arguments[:arguments.index("-o")] if "-o" in arguments else arguments)
    call([*arguments, "--dry-run"])  # what is checked first loads more
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(json.dumps({name: call(arguments) for name, arguments in commands}))
"""


def run_as_another_user(commands):
    environment = {**os.environ, "XDG_CACHE_HOME": "/nonexistent"}  # a cache that cannot be written is done without
    done = subprocess.run(
        [sys.executable, "-c", _AS_ANOTHER_USER, json.dumps(commands)],
        capture_output=True, text=True, check=False, env=environment, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def public(chain):
    """A copy of the chain that everyone can read, in a folder that only its owner can write to."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for part in ("corpus", "pairs", "tokens", "base", "model"):
            shutil.copytree(chain.root / part, root / part)
        for part in ("texts.jsonl", "pairs.jsonl"):
            shutil.copy(chain.root / part, root / part)
        for path in (root, *root.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield root
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


def moved(commands, chain, root):
    """The stage commands over a copy of the chain."""
    return {
        stage: [part.replace(str(chain.root), str(root)) for part in command] for stage, command in commands.items()
    }


def check_refused(answer, words):
    code, out, err = answer
    assert code == 4, err
    assert out == ""
    assert f"error: no permission: {words}" in err
    assert "-> choose a path you may read and write" in err
    assert "Traceback" not in err


def test_no_write_permission(public, chain, stage_commands):
    commands = moved(stage_commands, chain, public)
    answers = run_as_another_user([[s, [*command, "-o", str(public / "out")]] for s, command in commands.items()])
    for stage in STAGES:
        check_refused(answers[stage], public / "out")
    assert not (public / "out").exists()


def test_someone_elses_output(public, chain, stage_commands):
    command = moved(stage_commands, chain, public)["clean"]
    before = (public / "corpus/llmkit.json").read_bytes()
    output = ["-o", str(public / "corpus")]
    answers = run_as_another_user([
        ["same", [*command, *output]],
        ["other", [*command, "-s", "steps=[]", *output]],
        ["forced", [*command, "-s", "steps=[]", "--force", *output]],
    ])  # fmt: skip
    code, out, _ = answers["same"]
    assert (code, "is up to date" in out) == (0, True)
    for name in ("other", "forced"):
        check_refused(answers[name], public / "corpus")
    assert (public / "corpus/llmkit.json").read_bytes() == before


def test_no_read_permission(public, chain, stage_commands):
    commands = moved(stage_commands, chain, public)
    (public / "texts.jsonl").chmod(0)
    (public / "base").chmod(0)
    (public / "recipe.yaml").write_text("inputs: [x]\n", encoding="utf-8")
    (public / "recipe.yaml").chmod(0)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        answers = run_as_another_user([
            ["clean", [*commands["clean"], "-o", f"{name}/clean"]],
            ["finetune", [*commands["finetune"], "-o", f"{name}/finetune"]],
            ["recipe", ["clean", "-r", str(public / "recipe.yaml"), "-o", f"{name}/recipe"]],
        ])  # fmt: skip
        assert not list(Path(name).glob("*/llmkit.json"))
    check_refused(answers["clean"], public / "texts.jsonl")
    check_refused(answers["finetune"], public / "base/llmkit.json")
    code, _, err = answers["recipe"]
    assert (code, err.splitlines()[0]) == (2, f"error: {public / 'recipe.yaml'}: Permission denied")


# Per size in KiB: fills a disk of that size, then gives it space, and runs the same command both times.
_FULL_DISK = """
import contextlib, io, json, subprocess, sys
from pathlib import Path
from llmkit.cli.main import run

mount, sizes, command = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
out = Path(mount, "deep/out")
answers = []
for size in sizes:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", mount], check=True)
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        code = run([*command, "-o", str(out)])
    finished = (out / "llmkit.json").exists()
    subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
    again = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(again):
        then = run([*command, "-o", str(out)])
    manifest = json.loads((out / "llmkit.json").read_text()) if then == 0 else {"id": again.getvalue()}
    answers.append([size, code, finished, err.getvalue(), then, manifest["id"]])
    # Lazily: rows that a training has mapped lie on this disk; outside of tests the process has ended.
    subprocess.run(["umount", "-l", mount], check=True)
print(json.dumps(answers))
"""


def private_mounts():
    """The command prefix that gives a process mounts of its own; None where that is not allowed."""
    for prefix in (["unshare", "-m"], ["unshare", "-r", "-m"]):
        with tempfile.TemporaryDirectory() as name:
            try:
                done = subprocess.run([*prefix, "mount", "-t", "tmpfs", "none", name], capture_output=True, check=False)
            except FileNotFoundError:
                return None
        if done.returncode == 0:
            return prefix
    return None


# The sizes let each stage get about as far: before its first file, into its large files, and up to its last ones.
@pytest.mark.parametrize(("stage", "sizes"), [
    ("clean", [4, 16, 32, 64, 96]),
    ("tokenize", [4, 16, 48, 64, 96]),
    ("pretrain", [8, 200, 500, 640]),
    pytest.param("finetune", [8, 64, 200, 256, 500, 640], marks=pytest.mark.slow),
    pytest.param("eval", [4, 8, 12, 16, 20], marks=pytest.mark.slow),
    pytest.param("export", [16, 180], marks=pytest.mark.slow),
])  # fmt: skip
def test_full_disk(chain, stage_commands, tmp_path, stage, sizes):
    prefix = private_mounts()
    if prefix is None:
        pytest.skip("this machine has no unshare(1), or its kernel allows no user namespaces: no disk can be filled")
    mount = tmp_path / "disk"
    mount.mkdir()
    command = [*prefix, sys.executable, "-c", _FULL_DISK, mount, json.dumps(sizes), json.dumps(stage_commands[stage])]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    full = [answer for answer in answers if answer[1] != 0]
    assert len(full) >= 2, "the disks are too large to become full"
    for size, code, finished, err, then, _ in full:
        assert code == 4, (size, err)
        assert re.search(
            r"error: the disk is full(: \S+ \([\d,.]+ MB of [\d,.]+ MB are free there\)|: checkpoints)", err
        )
        again = "run the same command again" if stage == "export" else "run the same command again: it goes on"
        assert f"-> free some space and {again}; llmkit tidy" in err
        assert "Traceback" not in err
        assert not finished
        assert then == 0, (size, err)
    straight = {"clean": "corpus", "tokenize": "tokens", "pretrain": "base", "finetune": "model"}
    expected = {read_manifest(chain.root / straight[stage]).id} if stage in straight else {answers[0][5]}
    assert {answer[5] for answer in answers} == expected


def test_full_disk_behind_stdout(chain, stage_commands, tmp_path):
    command = [sys.executable, "-m", "llmkit", *stage_commands["clean"], "-o", tmp_path / "out"]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(list(map(str, command)), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 4
    assert "error: the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert read_manifest(tmp_path / "out").id == read_manifest(chain.corpus).id


@pytest.mark.parametrize(("limit", "words"), [
    ("-n 7", r"too many open files: \S+\n  -> ulimit -n 4096; then run the same command again: it goes on"),
    ("-f 4", r"a file is larger than this shell allows.*\n  -> ulimit -f unlimited; then run the same command again"),
])  # fmt: skip
def test_limits_of_the_shell(chain, stage_commands, tmp_path, limit, words):
    command = [sys.executable, "-m", "llmkit", *map(str, stage_commands["clean"]), "-o", str(tmp_path / "out")]
    limited = ["bash", "-c", f'ulimit {limit}; exec "$@"', "bash", *command]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert re.search(f"^error: {words}", done.stderr, re.MULTILINE), done.stderr
    assert "Traceback" not in done.stderr
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert read_manifest(tmp_path / "out").id == read_manifest(chain.corpus).id
