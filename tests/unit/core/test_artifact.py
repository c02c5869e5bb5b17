from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import toy_build
from toy_build import KEPT, Toy, make, read, toy, train, write

from llmkit.core.artifact import Build
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.fingerprint import Fingerprint
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import open_artifact, read_manifest
from llmkit.core.move import Kept

FILES = {"data-0": "zero", "data-1": "one", "README.md": "card", "more/report.json": "{}"}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def refused(call, *arguments, **how) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        call(*arguments, **how)
    assert caught.value.exit_code == 2
    return caught.value


def identity_of(config: Toy, **how) -> str:
    return toy(Path("unused"), config, **how).fingerprint.identity


def test_fresh_build(out):
    build = make(out, FILES)
    assert (build.finished, build.resumed, build.extends, build.moved_aside, build.damaged) == (
        None,
        False,
        None,
        None,
        [],
    )
    assert read(out) == FILES  # and no `.partial/`
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "data-0", "data-1", "llmkit.json", "more"]
    manifest = read_manifest(out)
    assert [(item.path, item.bytes, item.payload) for item in manifest.outputs] == [
        ("README.md", 4, False), ("data-0", 4, True), ("data-1", 3, True), ("more/report.json", 2, False),
    ]  # fmt: skip
    assert (manifest.stage, manifest.stage_version, manifest.kind, manifest.metrics) == (
        "toy",
        1,
        "corpus",
        {"files": 4},
    )
    assert manifest.config["written"] == {"text": "one", "steps": None, "workers": 1}
    assert manifest.config["fingerprint"]["config"] == {"text": "one", "steps": None}
    assert manifest.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert open_artifact(out, "corpus", role="data").id == manifest.id


@pytest.mark.parametrize("names", [[], ["lock"], ["lock", "scratch"]])
def test_the_empty_folder_of_a_process_killed_in_its_last_moment_is_removed(out, names):
    make(out, FILES)
    (out / ".partial").mkdir()
    for name in names:
        (out / ".partial" / name).touch()
    assert make(out, FILES).finished
    assert (out / ".partial").exists() == ("scratch" in names), "what someone has made stays"
    assert not (out / ".partial/llmkit.json").exists()


def test_up_to_date(out):
    make(out, FILES)
    before = (out / "llmkit.json").read_bytes()
    os.utime(out / "llmkit.json", (1, 1))
    build = make(out, {"data-0": "another run would write this"})
    assert build.finished.id == read_manifest(out).id
    assert read(out) == FILES
    assert (out / "llmkit.json").read_bytes() == before
    assert (out / "llmkit.json").stat().st_mtime > 1e9
    assert make(out, {}, force=True).finished is not None  # `--force` never makes the same thing again


def test_what_does_not_count_for_the_identity(out):
    make(out, FILES, Toy(workers=1))
    assert make(out, {}, Toy(workers=8)).finished is not None
    assert identity_of(Toy(workers=1)) == identity_of(Toy(workers=8))
    others = [Toy(text="two"), Toy(steps=3)]
    assert len({identity_of(Toy()), *map(identity_of, others), identity_of(Toy(), version=2)}) == 4


def test_inputs_count_by_digest_and_role(tmp_path):
    make(tmp_path / "a", {"data-0": "same"})
    make(tmp_path / "b", {"data-0": "same", "README.md": "another"}, Toy(text="another"))
    make(tmp_path / "c", {"data-0": "other"})

    def identity(name: str, role: str = "data") -> str:
        inputs = Inputs()
        inputs.add_artifact(tmp_path / name, "corpus", role=role)
        return identity_of(Toy(), inputs=inputs)

    assert identity("a") == identity("b") != identity("c")
    assert identity("a") != identity("a", role="model")


def test_the_id_depends_on_the_payload_alone(tmp_path):
    def identity(name: str, files: dict[str, str], **how) -> str:
        make(tmp_path / name, files, **how)
        return read_manifest(tmp_path / name).id

    same = identity("a", {"data-0": "x", "data-1": "y", "README.md": "one"})
    assert identity("elsewhere", {"data-1": "y", "data-0": "x", "report": "?"}, config=Toy(text="two")) == same
    assert identity("b", {"data-0": "x", "data-1": "z"}) != same
    assert identity("c", {"data-0": "y", "data-1": "x"}) != same
    assert identity("d", {"data-0": "x", "data-2": "y"}) != same
    assert identity("e", {"data-0": "x", "data-1": "y"}, kind="examples") != same


def test_another_config_needs_force(out):
    make(out, FILES, Toy(steps=3))
    error = refused(make, out, {}, Toy(text="two", steps=2))
    assert error.message == f"{out} is finished, from another run: steps: 3 there, 2 now; text: one there, two now"
    assert error.hint == "choose another --output, or add --force to replace it"
    assert read(out) == FILES  # and no `.partial/`
    assert make(out, {}, Toy(steps=3)).finished is not None


def test_many_differences_are_counted(out):
    def inputs(*names: str) -> Inputs:
        described = Inputs()
        for name in names:
            make(out.parent / name, {"data-0": name})
            described.add_artifact(out.parent / name, "corpus", role="data")
        return described

    make(out, FILES, inputs=inputs("a"))
    message = refused(make, out, {}, Toy(text="two"), inputs=inputs("b", "c", "d", "e", "f")).message
    changed = "; ".join(f"inputs.{i} changed" for i in range(3))
    assert message == f"{out} is finished, from another run: text: one there, two now; {changed}; and 2 more"


def test_another_stage_is_all_that_is_named(out):
    make(out, FILES)
    config = Toy(text="two")
    with pytest.raises(ConfigError, match=r"is finished, from another run: stage: toy there, other now$"):
        Build(out, Fingerprint("other", 1, config, Inputs()), config=config, inputs=Inputs()).__enter__()


def test_force_replaces_and_removes_what_the_new_one_lacks(out):
    make(out, {**FILES, "validation/data-2": "gone", "validation/deep/x": "gone"})
    (out / "mine.txt").write_text("the user's")
    (out / "more" / "mine.txt").write_text("the user's")
    build = make(out, {"data-0": "new", "other/y": "new"}, Toy(text="two"), force=True)
    assert build.finished is None
    assert read(out) == {"data-0": "new", "other/y": "new", "mine.txt": "the user's", "more/mine.txt": "the user's"}
    assert not (out / "validation").exists()
    assert read_manifest(out).config["written"]["text"] == "two"


def test_force_replaces_a_folder_by_a_file_and_back(out):
    make(out, {"data-0/x": "folder", "more": "file"})
    make(out, {"data-0": "file", "more/x": "folder"}, Toy(text="two"), force=True)
    assert read(out) == {"data-0": "file", "more/x": "folder"}


def test_force_takes_the_checkpoints_of_the_old_run_away(out):
    train(out, Toy(steps=3))
    assert (out / "checkpoints" / "3").exists()
    make(out, {"data-0": "x"}, Toy(text="two"), kind="model", force=True)
    assert not (out / "checkpoints").exists()
    assert "is finished" in refused(train, out, Toy(text="two", steps=5)).message  # nothing to go on from


@pytest.mark.parametrize("force", [False, True])
def test_a_directory_of_someone_else_is_refused(out, force):
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    error = refused(make, out, FILES, force=force)
    assert error.message == f"--output {out} is not an llmkit artifact and not empty (it holds 'thesis.tex')"
    assert error.hint == "choose another --output; --force does not touch it either"
    assert read(out) == {"thesis.tex": "years of work"}
    assert not (out / ".partial").exists()


def test_a_file_is_refused_and_empty_directories_are_taken(out):
    out.write_text("a file")
    assert refused(make, out, FILES).message == f"--output {out} is a file"
    out.unlink()
    (out / "lost+found").mkdir(parents=True)  # an empty mount point
    make(out, FILES)
    assert read(out) == FILES


def interrupt(out: Path, files: dict[str, str], config: Toy | None = None, **how) -> Build:
    """Leave unfinished work behind."""
    with pytest.raises(KeyboardInterrupt), toy(out, config, **how) as build:
        write(build.dir, files)
        raise KeyboardInterrupt
    return build


def test_unfinished_work_goes_on_where_the_stage_can(out):
    interrupt(out, {"data-0": "half"}, resumable=True)
    with pytest.raises(DataError, match="is unfinished") as caught:
        open_artifact(out, "corpus", role="data")
    assert caught.value.hint == "run the command that writes it again: it goes on"
    with toy(out, resumable=True) as build:
        assert build.resumed
        assert (build.dir / "data-0").read_text() == "half"
    with toy(out, resumable=True, fresh=True) as build:
        assert not build.resumed
        assert not (build.dir / "data-0").exists()


def test_unfinished_work_starts_anew_where_the_stage_cannot_go_on(out):
    interrupt(out, {"data-0": "half", "folder/data-9": "half"})
    with toy(out) as build:
        assert not build.resumed
        (build.scratch / "notes").write_text("not part of the result")
        assert sorted(path.name for path in build.dir.iterdir()) == ["lock", "run.json", "scratch"]
        write(build.dir, FILES)
        build.finish("corpus", payload=["data-*"], metrics={})
    assert read(out) == FILES


def test_unfinished_work_of_another_config(out):
    interrupt(out, {"data-0": "half of one"})
    error = refused(make, out, FILES, Toy(text="two"))
    assert error.message == f"{out} holds an unfinished run of another config: text: one there, two now"
    assert error.hint == "choose another --output, or add --force to move it aside and start anew"
    build = make(out, FILES, Toy(text="two"), force=True)
    assert build.moved_aside.parent == out
    assert (build.moved_aside / "data-0").read_text() == "half of one"
    assert {name: text for name, text in read(out).items() if not name.startswith(".partial-")} == FILES
    assert make(out, {}, Toy(text="two")).finished is not None


def test_unfinished_work_beside_a_finished_artifact(out):
    make(out, FILES)
    interrupt(out, {"data-0": "half"}, Toy(text="two"), force=True)
    assert open_artifact(out, "corpus", role="data").missing_outputs() == []
    assert make(out, {}).finished is not None  # the finished one still is what it was
    make(out, {"data-0": "two"}, Toy(text="two"), force=True)
    assert read(out) == {"data-0": "two"}


def test_a_torn_run_file_counts_as_nothing(out):
    interrupt(out, {"data-0": "half"}, resumable=True)
    (out / ".partial" / "run.json").write_text('{"run": ')
    with toy(out, Toy(text="two"), resumable=True) as build:
        assert not build.resumed
        assert not (build.dir / "data-0").exists()


@pytest.mark.parametrize("said", ['{"run": ', "[]", '{"stage": "toy"}', None])
def test_what_was_trained_outlives_the_file_that_says_of_what_run_it_is(out, said):
    interrupt(out, {"checkpoints/step-1/model": "trained"}, resumable=True, kept=KEPT)
    file = out / ".partial" / "run.json"
    file.unlink() if said is None else file.write_text(said)
    if said is not None:
        with pytest.raises(DataError, match=r"run\.json cannot be read") as caught, toy(out, resumable=True, kept=KEPT):
            pass
        assert caught.value.hint.startswith("choose another --output")
    with toy(out, resumable=True, kept=KEPT, force=said is not None) as build:
        assert not build.resumed
    assert [path.read_text() for path in out.rglob("step-1/model")] == ["trained"]


def test_files_of_the_build_are_known_by_place(out):
    files = {"data-0": "x", "sub/lock": "payload", "sub/run.json": "payload", "checkpoints.json": "listed"}
    make(out, files)
    assert {item.path for item in read_manifest(out).outputs} == set(files)


@pytest.mark.parametrize("damage", ["deleted", "truncated"])
def test_a_damaged_artifact_is_made_again(out, damage):
    make(out, FILES)
    (out / "data-1").unlink() if damage == "deleted" else (out / "data-1").write_text("o")
    with pytest.raises(DataError, match="is damaged: data-1 is missing or has another size") as caught:
        open_artifact(out, "corpus", role="data")
    assert caught.value.exit_code == 3
    assert caught.value.hint == f"llmkit lineage {out} --verify"
    build = make(out, FILES)
    assert (build.finished, build.damaged) == (None, ["data-1"])
    assert read(out) == FILES
    assert make(out, {}).finished is not None


def test_open_artifact_says_what_is_wrong(out, tmp_path):
    def message(path: Path, kinds="corpus") -> str:
        with pytest.raises(DataError) as caught:
            open_artifact(path, kinds, role="data")
        assert caught.value.exit_code == 3
        return caught.value.message

    make(out, FILES)
    assert message(tmp_path / "uot") == f"data: no such directory: {tmp_path}/uot; did you mean 'out'?"
    assert message(out, "tokens") == f"data: {out} holds a corpus, not tokens"
    assert message(out, ("examples", "eval")) == f"data: {out} holds a corpus, not examples or an eval"
    (tmp_path / "plain").mkdir()
    assert message(tmp_path / "plain").endswith("plain is not an llmkit artifact (it has no llmkit.json)")
    (out / "llmkit.json").write_text('{"stage": "toy"}')
    assert message(out).startswith(f"{out}/llmkit.json: not a manifest of this version of llmkit")


def test_raising_the_budget_goes_on_from_the_checkpoints(out):
    assert train(out, Toy(steps=2)) == [1, 2]
    assert train(out, Toy(steps=2)) == []
    first = read_manifest(out).id
    assert train(out, Toy(steps=5)) == [3, 4, 5]
    assert read(out) == {
        "data-model": "trained for 5", **{f"checkpoints/{step}": f"state {step}" for step in range(1, 6)}
    }  # fmt: skip
    assert read_manifest(out).id != first
    assert [item.path for item in read_manifest(out).outputs] == ["data-model"]
    with toy(out, Toy(), resumable=True, kept=KEPT) as build:  # no limit is the highest
        assert build.extends.id == read_manifest(out).id
        assert build.resumed


def test_lowering_the_budget_is_refused(out):
    train(out, Toy(steps=3))
    assert "is finished, from another run: steps: 3 there, 2 now" in refused(train, out, Toy(steps=2)).message
    assert "steps: 3 there, 4 now; text: one there, two now" in refused(train, out, Toy(steps=4, text="two")).message
    assert "steps: 3 there, 4 now" in refused(make, out, {}, Toy(steps=4)).message  # a stage that cannot go on
    with toy(out, Toy(steps=2), resumable=True, kept=KEPT, force=True) as build:
        assert (build.extends, build.resumed) == (None, False)
        assert not (build.dir / "checkpoints").exists()


def test_an_extension_leaves_the_finished_checkpoints_alone_until_it_is_done(out):
    train(out, Toy(steps=2))
    before = read(out)
    with pytest.raises(KeyboardInterrupt), toy(out, Toy(steps=4), resumable=True, kept=KEPT) as build:
        (build.dir / "checkpoints" / "2").unlink()
        raise KeyboardInterrupt
    assert {name: text for name, text in read(out).items() if not name.startswith(".partial")} == before
    assert train(out, Toy(steps=2)) == []  # still finished


def test_an_extension_takes_the_logs_over_and_adds_to_its_own(out):
    train(out, Toy(steps=1))
    write(out, {"log.txt": "one", "logs/a": "one", "mine.txt": "the user's"})
    with pytest.raises(KeyboardInterrupt), toy(out, Toy(steps=2), resumable=True, kept=KEPT) as build:
        assert read(build.dir).keys() == {"log.txt", "logs/a", "checkpoints/1", "lock", "run.json"}
        assert (build.dir / "checkpoints/1").samefile(out / "checkpoints/1"), "as large as all weights: not copied"
        write(build.dir, {"log.txt": "one, two"})
        raise KeyboardInterrupt
    assert (out / "log.txt").read_text() == "one"


def test_a_stage_that_keeps_nothing_is_never_extended(out):
    train(out, Toy(steps=1))
    with pytest.raises(ConfigError, match="is finished, from another run"), toy(out, Toy(steps=2), resumable=True):
        pass


@pytest.mark.parametrize("kept", [KEPT, Kept()])
def test_a_mistake_leaves_only_what_there_is_to_go_on_from(out, kept):
    with pytest.raises(DataError), toy(out, Toy(steps=2), resumable=True, kept=kept) as build:
        write(build.dir, {"checkpoints/1": "state 1"})
        raise DataError("a broken row")
    assert (out / ".partial" / "checkpoints").exists() == (kept is KEPT)


def test_two_processes(out):
    script = [sys.executable, toy_build.__file__, "hold", str(out)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            for force in (False, True):
                error = refused(make, out, FILES, force=force)
                assert error.message == f"{out} is in use by another llmkit process"
                assert error.hint == "wait for it, or choose another --output"
            assert read(out)[".partial/data-0"] == "half"
        finally:
            holder.kill()
    assert (out / ".partial" / "lock").exists()  # the dead process's lock file does not block
    make(out, FILES)
    assert read(out) == FILES


@pytest.mark.parametrize(("scenario", "before"), [("fresh", None), ("replace", "old"), ("extend", "old")])
def test_killed_at_every_step(tmp_path, scenario, before):
    script = [sys.executable, toy_build.__file__, "kill", scenario, str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert found["steps"] == sum(found["left"].values()) >= 35
    assert set(found["left"]) == {"nothing", "new"} | ({before} if before else set())


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": f"Text number {i}."}) + "\n" for i in range(4)))
    return path


def test_cli(cli, texts, out):
    first = cli("clean", "-i", texts, "-o", out, "--json")
    assert (first.code, first.json["status"]) == (0, "done")
    again = cli("clean", "-i", texts, "-o", out, "--json", "--workers", 1)
    assert (again.code, again.json["status"], again.json["id"]) == (0, "up to date", first.json["id"])
    other = ["clean", "-i", texts, "-o", out, "-s", "steps.1.min_chars=2"]
    refusal = cli(*other)
    assert refusal.code == 2
    assert f"{out} is finished, from another run: steps.1.min_chars: 1 there, 2 now" in refusal.err
    assert "add --force to replace it" in refusal.err
    forced = cli(*other, "--force", "--json")
    assert (forced.code, forced.json["status"], forced.json["id"]) == (0, "done", first.json["id"])
    next(out.glob("data-*.parquet")).unlink()
    repaired = cli(*other, "--json")
    assert (repaired.code, repaired.json["status"], repaired.json["id"]) == (0, "done", first.json["id"])
    assert f"warning: {out} has lost data-00000.parquet: it is made again" in repaired.err


def test_cli_refuses_what_is_not_ours(cli, texts, out):
    write(out, {"thesis.tex": "years of work"})
    for force in ([], ["--force"]):
        outcome = cli("clean", "-i", texts, "-o", out, *force, "--json")
        assert (outcome.code, outcome.json["exit_code"], outcome.json["kind"]) == (2, 2, "config")
        assert "is not an llmkit artifact and not empty (it holds 'thesis.tex')" in outcome.json["message"]
    assert read(out) == {"thesis.tex": "years of work"}
