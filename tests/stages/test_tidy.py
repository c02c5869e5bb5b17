"""tidy, through the command line: what real runs that were killed or moved aside leave behind, and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmkit.core.manifest import read_manifest
from llmkit.core.seal import is_whole

# Runs `llmkit` and kills this very process when it opens a file for the n-th time to write.
_KILLED = """
import os, signal, sys
name, count = sys.argv[1], int(sys.argv[2])
def strike(event, arguments):
    global count
    if event == "open" and str(arguments[0]).endswith(name) and arguments[1] in ("a", "w", "wb", "xb"):
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(strike)
from llmkit.cli.main import run
sys.exit(run(sys.argv[3:]))
"""


def kill(command, out, name, count=1):
    """Run a command in a process of its own that is killed at a given instant."""
    arguments = [name, str(count), *map(str, command), "-o", str(out)]
    done = subprocess.run([sys.executable, "-c", _KILLED, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (out / ".partial").is_dir()


@pytest.fixture(scope="module")
def killed(chain, tmp_path_factory) -> Path:
    """A folder with what a killed training, a killed export and a killed cleaning have left."""
    root = tmp_path_factory.mktemp("killed")
    model = (
        "model.config={hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,"
        " num_key_value_heads: 2, tie_word_embeddings: true}"
    )
    train = [
        "pretrain", "--data", chain.tokens, "-s", "model.arch=llama", "-s", model, "-s", "context_length=64",
        "-s", "batch_tokens=256", "-s", "log_every=1", "-s", "precision=float32", "--max-steps", "8",
        "-s", "checkpoint.every=2", "-s", "checkpoint.keep=3", "-s", "checkpoint.background=false",
    ]  # fmt: skip
    kill(train, root / "base", "metrics.jsonl", 7)
    (root / "base.txt").write_text("\n".join(map(str, train)))
    kill(["export", "--model", chain.model], root / "export", "parity.json.new")
    kill(["clean", "-i", chain.root / "texts.jsonl"], root / "corpus", "scratch/lenient/pass-0/000000.tmp")
    return root


@pytest.fixture
def build(killed, tmp_path) -> Path:
    """A copy of it, beside a finished artifact and files of the user."""
    shutil.copytree(killed, tmp_path / "build")
    (tmp_path / "build/notes").mkdir()
    (tmp_path / "build/notes/mine.txt").write_text("mine")
    return tmp_path / "build"


@pytest.fixture
def left(cli) -> Callable[..., tuple[list[str], list[str]]]:
    """Return what is left behind and what is kept, by path below the folder."""

    def look(root: Path, *arguments: str) -> tuple[list[str], list[str]]:
        outcome = cli("tidy", root, "--json", *arguments)
        assert outcome.code == 0, outcome.err
        found = outcome.json
        return tuple([Path(item["path"]).relative_to(root).as_posix() for item in found[side]]
                     for side in ("left", "kept"))  # fmt: skip

    return look


def files(root: Path) -> dict[str, int]:
    return {path.relative_to(root).as_posix(): path.stat().st_size for path in root.rglob("*") if path.is_file()}


def test_what_begins_anew_is_left_behind_and_what_goes_on_is_kept(cli, build, left):
    before = files(build)
    assert left(build) == (["export/.partial"], ["base/.partial", "corpus/.partial"])
    text = cli("tidy", build).out
    assert "export begins anew, whatever is there" in text
    assert "unfinished run of pretrain, at step-0000000" in text
    assert "the same command again goes on with it (--unfinished counts it as left behind)" in text
    assert "nothing was touched: --remove removes it" in text
    assert files(build) == before


def test_removing_keeps_what_goes_on_and_the_users_own(cli, build, left):
    outcome = cli("tidy", build, "--remove")
    assert outcome.code == 0, outcome.err
    assert "freed in" in outcome.out
    assert not (build / "export").exists(), "the folder was the run's own"
    assert left(build) == ([], ["base/.partial", "corpus/.partial"])
    assert (build / "notes/mine.txt").read_text() == "mine"
    train = (build / "base.txt").read_text().splitlines()
    assert cli(*train, "-o", build / "base").code == 0
    assert read_manifest(build / "base").metrics["steps"] == 8
    # What goes on from it: the last checkpoint; the two that `checkpoint.keep` kept beside it are older.
    assert left(build)[0] == [f"base/checkpoints/step-{step:08}" for step in (4, 6)]
    assert "base/checkpoints/step-00000008" in left(build)[1]
    assert cli("tidy", build, "--remove").code == 0
    assert cli(*train, "--max-steps", 10, "-o", build / "base").code == 0, "a longer run goes on"
    assert read_manifest(build / "base").metrics["steps"] == 10
    last = build / "base/checkpoints/step-00000010"
    assert is_whole(last)
    assert cli("tidy", build / "base", "--checkpoints", "--remove").code == 0
    assert not last.exists()
    assert cli("lineage", build / "base", "--verify").code == 0, "the artifact is whole"
    assert "up to date" in cli(*train, "--max-steps", 10, "-o", build / "base").out


def test_interrupted_runs_go_where_that_is_asked_for(cli, build, left):
    assert left(build, "--unfinished")[1] == []
    found = cli("tidy", build, "--unfinished", "--remove", "--json").json
    assert all(item["removed"] for item in found["left"])
    assert found["bytes"] == sum(item["bytes"] for item in found["left"]) > 10_000
    assert sorted(files(build)) == ["base.txt", "notes/mine.txt"]


def test_a_run_that_was_moved_aside(cli, build, left, chain):
    again = ["clean", "-i", chain.root / "texts.jsonl", "-s", "steps=[normalize]", "-o", build / "corpus"]
    outcome = cli(*again, "--force")
    assert outcome.code == 0
    assert "llmkit tidy" in outcome.err
    (aside,) = left(build / "corpus")[0]
    assert aside.startswith(".partial-2")
    before = cli("lineage", build / "corpus", "--verify")
    assert cli("tidy", build / "corpus", "--remove").code == 0
    assert not (build / "corpus" / aside).exists()
    assert cli("lineage", build / "corpus", "--verify").out == before.out


def test_a_run_that_is_alive_keeps_all_of_its_folder(cli, build, left):
    out = build / "busy"
    holder = Path(__file__).parents[1] / "unit/core/toy_build.py"
    with subprocess.Popen([sys.executable, holder, "hold", out], stdout=subprocess.PIPE, text=True) as process:
        try:
            process.stdout.readline()
            shutil.copytree(build / "export/.partial", out / ".partial-20260101-000000")
            assert left(build, "--unfinished", "--remove")[1] == ["busy/.partial"]
            assert (out / ".partial/run.json").exists()
            shutil.rmtree(out / ".partial-20260101-000000")
            assert "a process is at work there" in cli("tidy", build).out
        finally:
            process.kill()
    assert left(build)[0] == ["busy/.partial"], "of a dead one nothing is left that goes on"


def test_links_are_not_followed(cli, build, left):
    outside = build.parent / "outside"
    shutil.copytree(build / "export", outside / "export")
    (build / "link").symlink_to(outside)
    (build / "out").mkdir()
    (build / "out/.partial").symlink_to(outside / "export/.partial")
    before = files(outside)
    assert left(build)[0] == ["export/.partial"]
    assert cli("tidy", build, "--remove", "--unfinished").code == 0
    assert files(outside) == before


def test_folders_of_others_with_such_names_stay(build, left):
    for name in (".partial", ".partial-20260101-000000"):
        (build / "theirs" / name).mkdir(parents=True)
        (build / "theirs" / name / "data.txt").write_text("theirs")
        (build / "theirs" / name / "lock").write_text("17 theirs")
    for path in ("theirs/.partial-removed-17/data.txt", "theirs/exit.json", "exit.json"):
        (build / path).parent.mkdir(exist_ok=True)
        (build / path).write_text('{"exit_code": 1, "mine": true}')
    before = files(build / "theirs")
    assert not any(path.startswith("theirs") for side in left(build, "--remove", "--unfinished") for path in side)
    assert files(build / "theirs") == before
    assert (build / "exit.json").exists()


def test_how_a_launched_run_has_ended_goes_where_the_run_has_gone(build, left):
    verdict = '{"exit_code": 3, "rank": 0, "processes": 2, "message": "no such file"}'
    for name in ("failed", "notes"):
        (build / name).mkdir(exist_ok=True)
        (build / name / "exit.json").write_text(verdict)
    assert left(build, "--remove")[0] == ["export/.partial", "failed/exit.json", "notes/exit.json"]
    assert not (build / "failed").exists()
    assert (build / "notes/mine.txt").exists(), "the user's own, beside it"


def test_only_checkpoints_go_from_among_them(cli, build, left):
    assert cli(*(build / "base.txt").read_text().splitlines(), "-o", build / "base").code == 0
    kept = build / "base/checkpoints"
    shutil.copytree(kept / "step-00000006", kept / "the-good-one")
    shutil.copytree(kept / "step-00000004", kept / "step-00000004-mine")
    (kept / "zzz").mkdir()
    assert left(build / "base", "--remove")[0] == ["checkpoints/step-00000004", "checkpoints/step-00000006"]
    assert sorted(path.name for path in kept.iterdir()) == [
        "step-00000004-mine", "step-00000008", "the-good-one", "zzz",
    ]  # fmt: skip


def test_the_current_folder_stays(cli, build, monkeypatch):
    monkeypatch.chdir(build / "export")
    outcome = cli("tidy", ".", "--remove")
    assert outcome.code == 0, outcome.err
    assert "freed in ." in outcome.out


def test_what_a_live_run_takes_away_meanwhile_is_not_missed(build, left, monkeypatch):
    walk = os.walk
    monkeypatch.setattr(
        "llmkit.core.leftovers.os.walk", lambda top: ((at, inner, [*names, "gone"]) for at, inner, names in walk(top))
    )
    assert left(build)[0] == ["export/.partial"]


def test_a_removal_that_dies_in_the_middle_leaves_nothing_that_looks_whole(cli, build, left, monkeypatch):
    def die(*_, **__):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("llmkit.core.leftovers.shutil.rmtree", die)
        assert cli("tidy", build, "--unfinished", "--remove").code == 4
    assert left(build)[0] == [f"base/.partial-removed-{os.getpid()}", "export/.partial"]
    assert not (build / "base/.partial/run.json").exists(), "nothing to go on from by mistake"
    assert cli("tidy", build, "--remove").code == 0
    assert left(build) == ([], ["corpus/.partial"])


def test_a_damaged_manifest_says_nothing_so_nothing_goes(build, left):
    (build / "made/checkpoints/step-1").mkdir(parents=True)
    (build / "made/llmkit.json").write_text("{")
    assert not any(path.startswith("made") for side in left(build, "--checkpoints") for path in side)


@pytest.mark.parametrize(("name", "code", "words"), [
    ("biuld", 3, "error: DIR: no such file or directory: biuld; did you mean 'build'?"),
    ("build/base.txt", 2, "error: DIR: build/base.txt is a file, not a folder\n  -> llmkit tidy build"),
])  # fmt: skip
def test_what_is_no_folder(cli, build, name, code, words):
    outcome = cli("tidy", name, "--remove")
    assert outcome.code == code
    assert words in outcome.err


@pytest.mark.parametrize("word", ["prune", "gc", "clean-up"])
def test_words_of_others(cli, word):
    outcome = cli(word, "build")
    assert outcome.code == 2
    assert "here it is 'tidy': it lists what runs left behind" in outcome.err
