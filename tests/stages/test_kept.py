"""Nothing trained is lost: what a disk loses at the same size is found when it is read, and any limit extends a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from llmkit.cli.main import run
from llmkit.core.manifest import read_manifest

SETTINGS = [
    "-s", "model.arch=llama", "-s", "model.config={hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}",
    "-s", "context_length=64", "-s", "batch_tokens=256", "-s", "precision=float32",
    "-s", "schedule={type: constant, warmup_steps: 2}", "-s", "checkpoint={every: 2, keep: 9}",
]  # fmt: skip


def flip(path: Path) -> None:
    """Change one bit in the middle; size and time stay, as they do on a disk that rots."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    copy = path.with_name("rotten")  # not in place: the file may be linked to a good one
    copy.write_bytes(content)
    shutil.copystat(path, copy)
    copy.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


@pytest.fixture
def copied(chain, tmp_path):
    """Copy an artifact of the chain, flip a bit in one of its files, and return its folder."""

    def damage(name: str, pattern: str) -> Path:
        shutil.copytree(getattr(chain, name), tmp_path / name)
        flip(next((tmp_path / name).glob(pattern)))
        return tmp_path / name

    return damage


@pytest.mark.parametrize(("stage", "role", "name", "pattern"), [
    ("tokenize", "inputs", "corpus", "data-*.parquet"),
    ("pretrain", "data", "tokens", "train/*.arrow"),
    ("finetune", "data", "pairs", "data-*.parquet"),
    ("finetune", "model", "base", "model.safetensors"),
    ("eval", "model", "model", "model.safetensors"),
    ("export", "model", "model", "tokenizer.json"),
])  # fmt: skip
def test_a_rotten_input_is_refused(cli, chain, stage_commands, copied, stage, role, name, pattern):
    damaged = copied(name, pattern)
    (file,) = damaged.glob(pattern)
    command = [
        str(damaged) if argument == str(getattr(chain, name)) else argument for argument in stage_commands[stage]
    ]
    outcome = cli(*command, "-o", "out")
    assert outcome.code == 3, outcome.err
    told = " ".join(outcome.err.split())
    assert f"error: {role}: {damaged} is damaged: {file.relative_to(damaged)} is not what was written" in told
    assert f"restore it from a copy, or delete {file} and run the command that made {damaged} again" in told
    assert not Path("out").exists() or not any(Path("out").iterdir())
    assert cli("lineage", damaged, "--verify").code == 7, "what the hint says finds it"


@pytest.fixture(scope="module")
def short(chain, tmp_path_factory):
    """A finished run of 4 steps with a checkpoint at every second one."""
    out = tmp_path_factory.mktemp("short") / "out"
    assert run(["pretrain", "--data", str(chain.tokens), *SETTINGS, "--max-steps", "4", "-o", str(out), "-q"]) == 0
    return out


@pytest.fixture
def pretrain(cli, chain, short):
    """Run the same with more options, in `out`, a copy of it."""
    shutil.copytree(short, "out")

    def again(*more):
        return cli("pretrain", "--data", chain.tokens, *SETTINGS, *more)

    return again


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt", "state.json"])
def test_a_rotten_checkpoint_is_passed_over(pretrain, file):
    kept = Path("out/checkpoints/step-00000004").resolve()
    flip(kept / file)
    outcome = pretrain("--max-steps", 6, "-o", "out")
    assert outcome.code == 0, outcome.err
    told = " ".join(outcome.err.split())
    assert f"warning: out/checkpoints/step-00000004 is damaged: {file} is not what was written; going on from" in told
    assert "resumed at step 2 of 6" in told
    if file == "model.safetensors":
        assert pretrain("--max-steps", 6, "-o", "straight").code == 0
        assert read_manifest(Path("out")).id == read_manifest(Path("straight")).id


def test_where_all_are_rotten_nothing_is_trained_and_nothing_touched(pretrain):
    for step in Path("out/checkpoints").iterdir():
        flip(step / "optimizer.pt")
    outcome = pretrain("--max-steps", 6, "-o", "out")
    assert outcome.code == 3
    told = " ".join(outcome.err.split())
    words = (
        "out/checkpoints/step-00000002 is damaged: optimizer.pt is not what was written, and there is none before it"
    )
    assert f"error: {words} -> restore it from a copy, or train anew beside it: -o OTHER" in told
    assert not Path("out/.partial").exists()
    assert "out is up to date" in pretrain("--max-steps", 4, "-o", "out").out
    asked = pretrain("--max-steps", 6, "-o", "out", "--resume", "out/checkpoints/step-00000002")
    assert asked.code == 3
    assert "out/checkpoints/step-00000002 is damaged: optimizer.pt is not what was written" in asked.err


def test_the_checkpoint_that_was_named_is_not_passed_over(pretrain):
    flip(Path("out/checkpoints/step-00000004") / "optimizer.pt")
    outcome = pretrain("--max-steps", 6, "-o", "out", "--resume", "out/checkpoints/step-00000004")
    assert outcome.code == 3
    assert "out/checkpoints/step-00000004 is damaged: optimizer.pt is not what was written" in outcome.err


def test_a_finished_run_without_a_whole_checkpoint_is_not_trained_anew(pretrain):
    for step in Path("out/checkpoints").iterdir():
        (step / "optimizer.pt").unlink()
    outcome = pretrain("--max-steps", 6, "-o", "out")
    assert outcome.code == 3
    assert "error: out/checkpoints/step-00000004 is incomplete, and there is no whole one beside it" in outcome.err
    assert not Path("out/.partial").exists()
    assert "out is up to date" in pretrain("--max-steps", 4, "-o", "out").out


def test_weights_that_are_lost_are_written_again_from_the_last_checkpoint(pretrain):
    before = read_manifest(Path("out")).id
    Path("out/model.safetensors").unlink()
    outcome = pretrain("--max-steps", 4, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "out has lost model.safetensors: it is made again" in outcome.err
    assert "resumed at step 4 of 4" in outcome.err
    assert read_manifest(Path("out")).id == before


@pytest.mark.parametrize("limit", [
    ["--max-steps", 6],
    ["-s", f"max_tokens={6 * 256 - 9}"],
    ["-s", "max_epochs=99", "--max-steps", 6, "-s", "max_minutes=99"],
])  # fmt: skip
def test_any_limit_extends_a_finished_run_to_what_the_direct_run_is(pretrain, straight, limit):
    outcome = pretrain(*limit, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "out is finished: going on from its last checkpoint" in outcome.err
    assert "resumed at step 4 of 6" in outcome.err
    assert read_manifest(Path("out")).id == read_manifest(straight).id
    last = "checkpoints/step-00000006/optimizer.pt"
    assert (Path("out") / last).read_bytes() == (straight / last).read_bytes()


@pytest.fixture(scope="module")
def straight(chain, tmp_path_factory):
    """The run of 6 steps, in one go."""
    out = tmp_path_factory.mktemp("straight") / "out"
    assert run(["pretrain", "--data", str(chain.tokens), *SETTINGS, "--max-steps", "6", "-o", str(out), "-q"]) == 0
    return out


def test_a_run_that_time_has_ended_goes_on_by_steps(pretrain, straight):
    minutes = ["-s", "max_minutes=1e-6", "-s", "compile=false", "-o", "timed"]
    assert pretrain(*minutes).code == 0
    assert read_manifest(Path("timed")).metrics["ended"] == "1e-06 minutes"
    both = pretrain(*minutes, "--max-steps", 6)
    assert both.code == 2
    told = " ".join(both.err.split())
    assert "error: timed is finished, from another run: " in told
    assert "minutes are trained, max_minutes is 1e-06 -> raise that limit, or take it out, and it goes on; or" in told
    steps = pretrain(*minutes, "-s", "max_minutes=null", "--max-steps", 6)
    assert steps.code == 0, steps.err
    assert [path.name[-2:] for path in sorted(Path("timed/checkpoints").iterdir())][-1] == "06"
    weights = [(path / "model.safetensors").read_bytes() for path in (Path("timed"), straight)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(("limit", "words"), [
    (["--max-steps", 3], "out is finished, from another run: 4 steps are trained, max_steps is 3 now"),
    (["-s", "max_tokens=700"], "out/checkpoints/step-00000004: 4 steps are trained, max_tokens 700 is 3 steps now"),
    (["-s", "max_epochs=0.01"], "out/checkpoints/step-00000004: 4 steps are trained, max_epochs 0.01 is 1 steps now"),
])  # fmt: skip
def test_a_limit_that_lies_behind_is_refused_and_changes_nothing(pretrain, limit, words):
    outcome = pretrain(*limit, "-o", "out")
    assert outcome.code == 2
    assert f"error: {words} -> raise that limit, or take it out, and it goes on; or" in " ".join(outcome.err.split())
    assert not Path("out/.partial").exists()
    assert "out is up to date" in pretrain("--max-steps", 4, "-o", "out").out


def test_a_limit_that_is_just_reached_only_ends_the_run(pretrain, short):
    outcome = pretrain("-s", "max_tokens=1024", "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "resumed at step 4 of 4" in outcome.err
    assert read_manifest(Path("out")).id == read_manifest(short).id
