"""pretrain, through the command line: a model that transformers loads, with metrics, a card and its lineage."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from llmkit.core.manifest import describe_output, read_manifest
from llmkit.data.token_reader import TokenSplit
from llmkit.training.checkpoint import latest


def rows_of(directory):
    return [json.loads(line) for line in (Path(directory) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def pretrain(cli, stage_commands):
    """Run the chain's own pretraining with more options."""

    def run(*more):
        return cli(*stage_commands["pretrain"], *more)

    return run


def test_transformers_loads_the_model(chain):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(chain.base)
    tokenizer = AutoTokenizer.from_pretrained(chain.base)
    # 400 x 32 embedding (tied); per layer 4 x 32 x 32 attention, 3 x 32 x 64 MLP, 2 x 32 norms; 32 in the last norm.
    assert sum(p.numel() for p in model.parameters()) == 400 * 32 + 2 * (4 * 32**2 + 3 * 32 * 64 + 2 * 32) + 32
    assert model.config.max_position_embeddings == 64
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == 0
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id == 1
    assert tokenizer.model_max_length == 64
    output = model.generate(**tokenizer("Story", return_tensors="pt"), max_new_tokens=3, do_sample=False)
    assert output.shape[1] <= len(tokenizer("Story")["input_ids"]) + 3


def test_training_starts_at_chance_and_gets_better(chain):
    rows = rows_of(chain.base)
    validations = [row for row in rows if "validation_loss" in row]
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 9))
    assert [row["step"] for row in validations] == [0, 8]
    # Small random weights make every one of the 400 tokens about equally likely.
    assert validations[0]["validation_loss"] == pytest.approx(math.log(400), abs=0.1)
    assert validations[1]["bits_per_byte"] < validations[0]["bits_per_byte"]
    metrics = read_manifest(chain.base).metrics
    assert metrics["bits_per_byte_before"] == validations[0]["bits_per_byte"]
    assert metrics["bits_per_byte"] == validations[1]["bits_per_byte"]
    assert metrics["parameters"] == 33_440


def test_the_saved_weights_are_the_last_checkpoints(chain):
    from safetensors.torch import load_file

    saved = load_file(chain.base / "model.safetensors")
    (checkpoint,) = (chain.base / "checkpoints").glob("step-*")
    assert checkpoint.name == "step-00000008"
    kept = load_file(checkpoint / "model.safetensors")
    assert saved
    assert all(torch.equal(tensor, kept[name]) for name, tensor in saved.items())


def test_two_runs_give_the_same_model_and_another_seed_another(pretrain, chain):
    assert pretrain("-o", "same").code == 0
    assert read_manifest(Path("same")).id == read_manifest(chain.base).id
    assert pretrain("-o", "other", "--seed", 1).code == 0
    assert read_manifest(Path("other")).id != read_manifest(chain.base).id


def test_what_does_not_change_the_result_is_up_to_date(pretrain):
    assert pretrain("-o", "out").code == 0
    outcome = pretrain("-o", "out", "-s", "validate.every=3", "-s", "checkpoint.every=2", "-s", "log_every=5", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "up to date")
    other = pretrain("-o", "out", "-s", "optimizer.lr=0.1")
    assert other.code == 2
    assert "error: out is finished, from another run: optimizer.lr: 0.001 there, 0.1 now" in other.err
    assert "add --force to replace it" in other.err


def test_more_steps_go_on_from_the_finished_run(pretrain):
    assert pretrain("-o", "out", "--max-steps", 4).code == 0
    outcome = pretrain("-o", "out")
    assert outcome.code == 0
    assert "out is finished: going on from its last checkpoint" in outcome.err
    assert "resumed at step 4 of 8" in outcome.err
    assert [row["step"] for row in rows_of("out") if "loss" in row] == list(range(1, 9))
    starts = [json.loads(line)["step"] for line in Path("out/starts.jsonl").read_text().splitlines()]
    assert starts == [0, 4]
    samples = [json.loads(line)["step"] for line in Path("out/samples.jsonl").read_text().splitlines()]
    assert set(samples) == {0, 8}, "what a straight run writes"


def test_a_model_to_go_on_from_takes_the_place_of_the_recipes(cli, chain, training_options):
    Path("recipe.yaml").write_text("data: [tokens]\nmodel: llama-7m\nseed: 3\n")
    arguments = ["-r", "recipe.yaml", "--data", chain.tokens, "--model", chain.base, *training_options]
    outcome = cli("pretrain", *arguments, "--max-steps", 1, "-s", "schedule.warmup_steps=0", "-o", "onward")
    assert outcome.code == 0, outcome.err
    assert [item.role for item in read_manifest(Path("onward")).inputs] == ["data", "model"]


def test_another_model_of_ours_can_be_trained_onward(cli, chain, training_options):
    arguments = ["--data", chain.tokens, "--model", chain.base, *training_options, "--max-steps", 2]
    outcome = cli("pretrain", *arguments, "-s", "schedule.warmup_steps=0", "-o", "onward")
    assert outcome.code == 0
    before = [row for row in rows_of(chain.base) if "validation_loss" in row][-1]
    first = rows_of("onward")[0]
    assert first["validation_loss"] == before["validation_loss"]
    roles = {item["role"]: item["id"] for item in cli("lineage", "onward", "--json").json["lineage"]["inputs"]}
    assert roles == {"data": read_manifest(chain.tokens).id, "model": read_manifest(chain.base).id}


def test_other_architectures_train(cli, chain, training_options):
    model = ["-s", "model.arch=gpt2", "-s", "model.config={n_embd: 32, n_layer: 1, n_head: 2}"]
    outcome = cli("pretrain", "--data", chain.tokens, *model, *training_options, "--max-steps", 1, "-o", "out")
    assert outcome.code == 0
    assert json.loads(Path("out/config.json").read_text())["model_type"] == "gpt2"


def test_two_token_artifacts_are_joined(cli, chain, jsonl, model_options, training_options):
    cli("clean", "-i", jsonl("more.jsonl", [f"another text {i}" for i in range(50)]), "-o", "more")
    assert cli("tokenize", "-i", "more", "--tokenizer", chain.tokens, "-o", "tokens").code == 0
    arguments = [*model_options, *training_options, "--max-steps", 1]
    outcome = cli("pretrain", "--data", chain.tokens, "--data", "tokens", *arguments, "-o", "out")
    assert outcome.code == 0
    tree = cli("lineage", "out", "--json").json["lineage"]
    assert [item["path"] for item in tree["inputs"]] == [str(chain.tokens), str(Path("tokens").resolve())]


def test_the_card_and_the_report_are_there(chain):
    card = (chain.base / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "| parameters | 33,440 |" in card
    assert "8 steps, 2,048 tokens" in card
    assert "Validation bits per byte" in (chain.base / "report.html").read_text(encoding="utf-8")


def test_a_context_over_the_positions_of_the_model_is_refused(cli, chain):
    outcome = cli(
        "pretrain", "--data", chain.tokens, "--model", chain.base, "-s", "context_length=128", "-s",
        "batch_tokens=128", "--max-steps", 1, "-o", "out",
    )  # fmt: skip
    assert outcome.code == 2
    assert "context_length: 128 is over the 64 positions of the model" in outcome.err
    assert not (Path("out") / "llmkit.json").exists()


@pytest.fixture
def interrupted(pretrain, monkeypatch):
    """Run a pretraining in `out` that is asked to stop after its first step."""
    from llmkit.training.loop import Trainer

    step = Trainer._step

    def step_then_stop(self, stop):
        row = step(self, stop)
        stop.name = "SIGTERM"
        return row

    def run(*more):
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_step", step_then_stop)
            assert pretrain("-o", "out", *more).code == 75

    return run


def test_an_unfinished_run_may_end_at_a_lower_limit_that_it_has_not_passed(pretrain, interrupted):
    interrupted("--max-steps", 9)
    interrupted("--max-steps", 9)
    lower = pretrain("-o", "out", "--max-steps", 1)
    assert lower.code == 2
    assert "out holds an unfinished run of another config: 2 steps are trained, max_steps is 1 now" in lower.err
    assert "raise that limit, or take it out, and it goes on; or choose another --output" in lower.err
    assert "resumed at step 2 of 3" in pretrain("-o", "out", "--max-steps", 3).err


def test_the_checkpoint_of_a_run_moved_aside_is_another_runs(pretrain, interrupted):
    interrupted("--max-steps", 9)
    assert pretrain("-o", "out", "-s", "seed=5", "--force").code == 0
    (start,) = Path("out").glob(".partial-*/checkpoints/step-00000001")
    outcome = pretrain("-o", "out", "-s", "seed=5", "--resume", start, "--force")
    assert (outcome.code, "--output out holds the input" in outcome.err) == (2, True)
    outcome = pretrain("-o", "other", "-s", "seed=5", "--resume", start)
    assert outcome.code == 0, outcome.err
    assert "resumed at step 1 of 8" in outcome.err
    assert [item.role for item in read_manifest(Path("other")).inputs] == ["data", "resume"]


def test_tokens_with_foreign_ids_are_refused_before_the_first_step(cli, chain, stage_commands, tmp_path):
    """Not damage: a manifest that agrees with them, as another tool would write it."""
    foreign = tmp_path / "foreign"
    shutil.copytree(chain.tokens, foreign)
    (shard,) = (foreign / "train").glob("*.arrow")
    ids = TokenSplit(chain.tokens, "train").shards[0][:8].tobytes()
    content = shard.read_bytes()
    assert content.count(ids) == 1
    shard.write_bytes(content.replace(ids, b"\xff" * len(ids)))
    manifest = read_manifest(foreign)
    name = shard.relative_to(foreign).as_posix()
    outputs = [describe_output(foreign, shard, payload=True) if o.path == name else o for o in manifest.outputs]
    replace(manifest, outputs=outputs).write(foreign / "llmkit.json")
    command = [foreign if argument == str(chain.tokens) else argument for argument in stage_commands["pretrain"]]
    outcome = cli(*command, "--max-steps", 1, "-s", f"batch_tokens={64 * 64}", "-o", "out")
    assert outcome.code == 3
    assert "error: data: the tokens hold the id 65535, but the tokenizer has only 400" in outcome.err
    assert cli("lineage", foreign, "--verify").code == 7, "what the hint says finds it"


OFTEN = ["-s", "checkpoint.every=2", "-s", "checkpoint.keep=9", "-s", "schedule={type: constant, warmup_steps: 2}"]


@pytest.fixture
def many(pretrain):
    """A finished run of 6 steps with a checkpoint at every second one, in `many`."""
    assert pretrain("-o", "many", *OFTEN, "--max-steps", 6).code == 0
    assert sorted(path.name[-2:] for path in Path("many/checkpoints").iterdir()) == ["02", "04", "06"]
    return Path("many/checkpoints")


def test_going_back_to_an_older_checkpoint_gives_the_same(pretrain, many):
    assert pretrain("-o", "straight", *OFTEN).code == 0
    outcome = pretrain("-o", "many", *OFTEN, "--resume", many / "step-00000002")
    assert outcome.code == 0
    assert "resumed at step 2 of 8" in outcome.err
    assert [row["step"] for row in rows_of("many") if "loss" in row] == list(range(1, 9))
    assert read_manifest(Path("many")).id == read_manifest(Path("straight")).id
    again = pretrain("-o", "many", *OFTEN, "--resume", many / "step-00000002")
    assert (again.code, "many is up to date" in again.out) == (0, True), "it would come to the same"


def test_starting_at_another_runs_checkpoint_counts_for_the_identity(pretrain, many):
    start = many / "step-00000004"
    outcome = pretrain("-o", "out", *OFTEN, "--resume", start)
    assert outcome.code == 0
    assert "resumed at step 4 of 8" in outcome.err
    assert [row["step"] for row in rows_of("out") if "loss" in row] == [5, 6, 7, 8]
    assert pretrain("-o", "straight", *OFTEN).code == 0
    one, other = read_manifest(Path("out")), read_manifest(Path("straight"))
    weights = [[file.digest for file in m.outputs if file.path == "model.safetensors"] for m in (one, other)]
    assert weights[0] == weights[1], "the same steps"
    assert one.identity != other.identity
    assert [item.role for item in one.inputs] == ["data", "resume"]
    assert "out is up to date" in pretrain("-o", "out", *OFTEN, "--resume", start).out
    assert pretrain("-o", "out", *OFTEN).code == 2


def test_what_a_recipe_says_wins_over_what_another_runs_checkpoint_holds(pretrain, many):
    assert read_manifest(Path("many")).config["resolved"]["precision"] == "float32"
    outcome = pretrain("-o", "out", *OFTEN, "--resume", many / "step-00000004", "-s", "precision=bf16")
    assert outcome.code == 0, outcome.err
    assert read_manifest(Path("out")).config["resolved"]["precision"] == "bf16"


@pytest.mark.parametrize(("path", "code", "words"), [
    ("nowhere", 2, "--resume nowhere: should be auto, never or the directory of a checkpoint"),
    ("many", 3, "--resume many is not a whole checkpoint -> --resume {root}/many/checkpoints/step-00000006"),
    ("many/checkpoints", 3, "is not a whole checkpoint -> --resume {root}/many/checkpoints/step-00000006"),
    ("torn", 3, "torn is not a whole checkpoint"),
    ("empty", 3, "--resume empty is not a whole checkpoint -> checkpoints are in OUT/checkpoints, one per step"),
])  # fmt: skip
def test_what_is_no_checkpoint_to_go_on_from(pretrain, many, tmp_path, path, code, words):
    Path("empty").mkdir()
    shutil.copytree(many / "step-00000004", "torn")
    Path("torn/optimizer.pt").write_bytes(b"torn")
    outcome = pretrain("-o", "out", "--resume", path)
    assert outcome.code == code
    assert words.format(root=tmp_path) in " ".join(outcome.err.split())
    assert not list(Path().glob("out/*")), "nothing stands in the way of the corrected command"


@pytest.mark.parametrize(("more", "code", "words"), [
    (["-s", "model.config.hidden_size=16"], 3, "embed_tokens.weight is [400, 32] there, [400, 16] in the recipe"),
    (["-s", "model.config.num_hidden_layers=1"], 3, "is of another model: the model has no model.layers.1."),
    (["-s", "optimizer.type=sgd"], 3, "is of another optimizer"),
    (["--max-steps", "6"], 2, "has reached 6 steps: nothing is left to train -> raise that limit"),
])  # fmt: skip
def test_a_checkpoint_that_does_not_fit(pretrain, many, more, code, words):
    outcome = pretrain("-o", "out", *OFTEN, "--resume", many / "step-00000006", *more)
    assert outcome.code == code
    assert words in " ".join(outcome.err.split())


@pytest.mark.parametrize("source", ["many", "many/checkpoints/step-00000006"])
def test_a_new_model_starts_from_the_weights_of_another(pretrain, many, source):
    outcome = pretrain("-o", "out", "--init-from", source)
    assert outcome.code == 0
    assert "resumed" not in outcome.err
    before = [row["validation_loss"] for row in rows_of("many") if "validation_loss" in row]
    after = [row for row in rows_of("out") if "validation_loss" in row]
    assert after[0]["step"] == 0
    assert after[0]["validation_loss"] == before[-1]
    assert [item.role for item in read_manifest(Path("out")).inputs] == ["data", "init_from"]


@pytest.mark.parametrize(("source", "more", "words"), [
    ("nowhere", [], "init_from: no such directory: nowhere"),
    ("tokens", [], "tokens holds tokens, not a model or an export"),
    ("many", ["-s", "model.config.hidden_size=16"], "embed_tokens.weight is [400, 32] there, [400, 16] in the recipe"),
    ("many/checkpoints", [], "init_from: many/checkpoints is empty"),
])  # fmt: skip
def test_weights_that_are_none_or_do_not_fit(pretrain, chain, many, source, more, words):
    outcome = pretrain("-o", "out", "--init-from", chain.tokens if source == "tokens" else source, *more)
    assert outcome.code == 3
    assert words in " ".join(outcome.err.split())


def test_a_loss_that_is_not_a_number_keeps_the_last_checkpoint(pretrain, monkeypatch):
    from llmkit.training.gradients import Gradients

    accumulate = Gradients.accumulate

    def fail(self, batch, *, step, signals):
        found = accumulate(self, batch, step=step, signals=signals)
        return replace(found, total=math.nan) if step == 5 else found

    with monkeypatch.context() as patch:
        patch.setattr(Gradients, "accumulate", fail)
        outcome = pretrain("-o", "out", *OFTEN)
    assert outcome.code == 6
    assert "step 6: the loss is nan" in outcome.err
    assert "; the batch holds " in outcome.err
    assert latest(Path("out/.partial/checkpoints"))[0].name == "step-00000004"
    again = pretrain("-o", "out", *OFTEN)
    assert (again.code, "resumed at step 4 of 8" in again.err) == (0, True)


def test_weights_that_are_no_numbers_do_not_replace_the_last_checkpoint(pretrain, monkeypatch):
    from llmkit.training.loop import Trainer

    step = Trainer._step

    def spoil(self, stop):
        row = step(self, stop)
        if self.state.step == 4:
            next(self.model.parameters()).data.view(-1)[7] = math.nan
        return row

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", spoil)
        outcome = pretrain("-o", "out", *OFTEN, "-s", "checkpoint.keep=1")
    assert outcome.code == 6
    assert "step 4: the norm of the weights is nan; the batch holds " in " ".join(outcome.err.split())
    assert latest(Path("out/.partial/checkpoints"))[0].name == "step-00000002"


def test_a_disk_too_small_is_told_before_training(pretrain, monkeypatch):
    # 33,440 float32 weights, and twice as many for AdamW: the next checkpoint and the model take 0.54 MB.
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=500_000))
        outcome = pretrain("-o", "out")
    assert outcome.code == 4
    needed = "the disk is full: checkpoints and the model need 535.0 kB in out/.partial, 500.0 kB are free"
    assert needed in " ".join(outcome.err.split())
    assert "step 0" not in outcome.err
    assert pretrain("-o", "out").code == 0


def test_an_untied_model_does_not_become_a_tied_one_unsaid(pretrain, many):
    assert pretrain("-o", "untied", "-s", "model.config.tie_word_embeddings=false", "--max-steps", 2).code == 0
    outcome = pretrain("-o", "out", "--init-from", "untied")
    assert outcome.code == 3
    assert "differ there, and are one tensor in the recipe's model" in " ".join(outcome.err.split())


def test_two_origins_of_weights_are_refused(cli, chain, many, training_options):
    arguments = ["--data", chain.tokens, "--model", chain.base, "--init-from", "many", *training_options]
    outcome = cli("pretrain", *arguments, "--max-steps", 1, "-o", "out")
    assert outcome.code == 2
    assert "init_from: the model of model.path has weights already" in outcome.err


def test_text_that_the_tokenizer_does_not_know_has_no_bits_per_byte(
    cli, jsonl, tmp_path, little_tokenizer, model_options, training_options
):
    texts = [f"the river , the clock . {'春天来了' if i % 3 else 'the river'} {i % 9}" for i in range(60)]
    corpus, words = jsonl("a.jsonl", texts), little_tokenizer(tmp_path / "words")
    short = [*training_options, "--max-steps", "1"]
    assert (
        cli("tokenize", "-i", corpus, "--tokenizer", words, "-s", "validation_fraction=0.3", "-o", "tokens").code == 0
    )
    outcome = cli("pretrain", "--data", "tokens", *model_options, *short, "-o", "model")
    assert outcome.code == 0
    counts = json.loads(Path("tokens/tokens.json").read_text(encoding="utf-8"))["splits"]["validation"]
    share = f"{100 * counts['unknown_bytes'] / counts['bytes']:.3g}%"
    assert "bits per byte " not in outcome.out
    words = f"{share} of the bytes are unknown to the tokenizer: no bits per byte, which would mean nothing"
    assert words in outcome.out
    rows = [json.loads(line) for line in Path("model/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all("bits_per_byte" not in row for row in rows)
