from __future__ import annotations

import math
import os
import re
import signal

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from llmkit.core.errors import DataError, DivergedError, Interrupted
from llmkit.data.feeds import HeldOut
from llmkit.data.order import Order
from llmkit.data.packing import IGNORED, RowPacker, StreamPacker
from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.objectives.rows.sft import SFT
from llmkit.training import loop
from llmkit.training.gradients import Gradients
from llmkit.training.metrics import MetricsFile, read_metrics
from llmkit.training.validation import Scored
from tiny import BOS, CONTEXT, EOS, VOCABULARY, InMemory, documents, encoded, model, rows, stream, trainer, untimed


def run(directory, **options):
    """Train and return the rows of metrics.jsonl, without timings, and the model."""
    directory.mkdir(exist_ok=True)
    job = trainer(directory, **options)
    job.train()
    return untimed(read_metrics(directory)), job.model


def column(rows, name):
    return [row[name] for row in rows if name in row]


def assert_weights(left, right, **tolerance):
    for (name, one), other in zip(left.state_dict().items(), right.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}", **tolerance)


@pytest.mark.parametrize(
    ("objective", "packer"), [(None, stream), (SFT(), rows)], ids=["documents", "rows of which a part is learned"]
)
def test_accumulation_gives_the_numbers_of_one_large_batch(tmp_path, objective, packer):
    first = Order(packer()).batch(range(8))
    targets = (first.labels != IGNORED).sum(axis=1)
    assert len(set(targets)) >= 3, "blocks must differ in their targets, or a mean of means would pass"
    options = {"objective": objective, "max_steps": 12}
    whole, reference = run(tmp_path / "whole", packer=packer(), micro_batch_tokens=8 * CONTEXT, **options)
    for blocks in (4, 2, 1):
        parts, built = run(tmp_path / f"{blocks}", packer=packer(), micro_batch_tokens=blocks * CONTEXT, **options)
        for name in ("loss", "grad_norm"):
            assert column(parts, name) == pytest.approx(column(whole, name), rel=1e-5), name
        for name in ("lr", "tokens", "epoch", "step"):
            assert column(parts, name) == column(whole, name)
        # Adam divides by the root of the second moment: rounding of a tiny gradient can move a weight by some of lr.
        assert_weights(built, reference, rtol=0, atol=1e-4)


def test_the_loss_is_that_of_transformers_for_one_document(tmp_path):
    document = documents(30)[9]
    assert len(document) == 23
    ids = [BOS, *document, EOS]
    packer = StreamPacker(InMemory([document]), 32, prefix=[BOS], suffix=[EOS], seed=0)
    reference = model()
    expected = reference(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss
    expected.backward()
    gradients = [parameter.grad for parameter in reference.parameters()]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    found, _ = run(tmp_path, packer=packer, context_length=32, batch_tokens=32, max_steps=1)
    assert found[0]["loss"] == pytest.approx(expected.item(), rel=1e-6)
    assert found[0]["grad_norm"] == pytest.approx(norm.item(), rel=1e-5)
    assert found[0]["tokens"] == len(ids)  # padding is not counted


def test_thirty_steps_equal_a_plain_loop(tmp_path):
    found, trained = run(
        tmp_path,
        max_steps=30,
        optimizer={"lr": 1e-2, "betas": [0.9, 0.99], "eps": 1e-7, "weight_decay": 0.2, "max_grad_norm": 0.5},
        schedule={"type": "linear", "warmup_steps": 5, "min_lr_ratio": 0.0},
    )
    plain, order = model().train(), Order(stream())
    matrices = [p for p in plain.parameters() if p.ndim == 2]
    vectors = [p for p in plain.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.2}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), eps=1e-7, foreach=False, fused=False)
    losses, norms = [], []
    for step in range(30):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * ((step + 1) / 6 if step < 5 else 1 - (step - 5) / 24)
        batch = order.batch(range(8 * step, 8 * step + 8))
        logits = plain(
            input_ids=torch.from_numpy(batch.input_ids),
            position_ids=torch.from_numpy(batch.position_ids),
            use_cache=False,
        ).logits
        loss = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(batch.labels).flatten(), ignore_index=-100)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5).item())
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    assert column(found, "loss") == pytest.approx(losses, abs=1e-4)
    assert column(found, "grad_norm") == pytest.approx(norms, abs=1e-3)
    assert max(norms) > 0.5, "clipping must have had something to do"
    assert losses[-1] < losses[0] - 0.2, "the model must have learned something"
    assert_weights(trained, plain, rtol=0, atol=1e-4)


def test_bf16_stays_beside_float32(tmp_path):
    exact, _ = run(tmp_path / "exact", max_steps=30)
    rounded, _ = run(tmp_path / "rounded", max_steps=30, precision="bf16")
    losses = np.array([column(exact, "loss"), column(rounded, "loss")])
    assert (losses[0] != losses[1]).any(), "bf16 was not used"
    # bf16 keeps 8 bits: the first loss agrees within 2 ** -8, and 30 steps do not let the two drift further than 2%.
    assert losses[1, 0] == pytest.approx(losses[0, 0], rel=2**-8)
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)


def test_weights_and_optimizer_stay_in_float32_under_bf16(tmp_path):
    job = trainer(tmp_path, max_steps=1, precision="bf16")
    job.train()
    assert {p.dtype for p in job.model.parameters()} == {torch.float32}
    moments = [value for values in job.optimizer.state.values() for value in values.values()]
    assert {value.dtype for value in moments} == {torch.float32}


def test_a_loss_that_is_not_a_number_ends_the_run(cli, chain):
    outcome = cli(
        "pretrain", "--data", chain.tokens, "--model", chain.base, "-s", "context_length=64", "-s", "batch_tokens=256",
        "-s", "precision=float32", "-s", "optimizer.lr=1e30", "-s", "schedule.warmup_steps=0", "--max-steps", 50,
        "-o", "out",
    )  # fmt: skip
    assert outcome.code == 6
    assert re.search(r"step \d+: the loss is \S+ and the gradient norm nan", " ".join(outcome.err.split()))
    assert re.search(r"; the batch holds \S+(, \S+){4} and \d+ more", " ".join(outcome.err.split()))
    assert "--set optimizer.lr=3.3e+29" in " ".join(outcome.err.split())
    assert "Traceback" not in outcome.err


def test_what_the_last_step_ruined_beside_weights_is_found_by_validation(tmp_path):
    job = trainer(tmp_path, max_steps=1, validation=HeldOut(stream(seed=None), 1000))
    step = job.optimizer.step

    def ruin():
        step()
        job.model.model.rotary_emb.inv_freq.fill_(math.inf)

    job.optimizer.step = ruin
    with pytest.raises(DivergedError, match="step 1: the validation loss is nan") as error:
        job.train()
    assert error.value.exit_code == 6
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


def test_a_step_without_targets_is_an_error(tmp_path):
    packer = RowPacker(encoded([([5, 6, 7], [IGNORED] * 3)] * 40), CONTEXT, seed=0)
    with pytest.raises(DataError, match="step 1 has nothing to learn from: no tokens with a target") as error:
        trainer(tmp_path, packer=packer, objective=SFT(), max_steps=2).train()
    assert error.value.exit_code == 3


def test_validation_by_hand(tmp_path):
    # With a zero head every one of V ids is as likely: ln V nats for each target, and each target is scored once.
    uniform = model(tie_word_embeddings=False)
    torch.nn.init.zeros_(uniform.lm_head.weight)
    held_out = documents(25)
    num_targets = sum(len(document) + 1 for document in held_out)  # every id, and EOS; never BOS
    packer = StreamPacker(InMemory(held_out), CONTEXT, prefix=[BOS], suffix=[EOS], seed=None)
    assert packer.num_blocks(0) % 8 != 0
    found, _ = run(
        tmp_path,
        start=uniform,
        validation=HeldOut(packer, 777),
        max_steps=1,
        micro_batch_tokens=3 * CONTEXT,
    )
    first = found[0]
    assert (first["step"], first["tokens"]) == (0, 0)
    assert first["validation_loss"] == pytest.approx(math.log(VOCABULARY), rel=1e-6)
    assert first["bits_per_byte"] == pytest.approx(num_targets * math.log2(VOCABULARY) / 777, rel=1e-6)


def test_validation_changes_nothing(tmp_path):
    dropping = {"max_steps": 6, "validate": {"every": 2}}
    without, plain = run(tmp_path / "without", start=model(attention_dropout=0.2), **dropping)
    validation = HeldOut(stream(20, seed=None), 500)
    found, validated = run(tmp_path / "with", start=model(attention_dropout=0.2), validation=validation, **dropping)
    assert [row for row in found if "loss" in row] == without
    assert [row["step"] for row in found if "bits_per_byte" in row] == [0, 2, 4, 6]
    assert_weights(plain, validated, rtol=0, atol=0)
    assert validated.training


def test_columns_of_metrics_and_when_they_are_written(tmp_path):
    trainer(tmp_path, max_steps=7, log_every=3, validation=HeldOut(stream(20, seed=None), 500)).train()
    found = read_metrics(tmp_path)
    assert [(row["step"], "loss" in row) for row in found] == [(0, False), (3, True), (6, True), (7, True), (7, False)]
    columns = ["step", "tokens", "epoch", "loss", "lr", "grad_norm", "tokens_per_second", "utilization", "elapsed_s",
               "memory_gb"]  # fmt: skip
    assert [list(row) for row in found if "loss" in row] == [columns] * 3
    assert list(found[0]) == ["step", "tokens", "validation_loss", "bits_per_byte"]
    num_blocks, order = stream().num_blocks(0), Order(stream())
    tokens = [int(order.batch(range(8 * step, 8 * step + 8)).num_tokens.sum()) for step in range(7)]
    assert found[1]["tokens"] == sum(tokens[:3])
    assert found[1]["epoch"] == pytest.approx(24 / num_blocks, abs=1e-4)
    assert all(0 < row["utilization"] <= 1 for row in found if "loss" in row)


def test_a_peak_that_was_measured_too_low_is_raised_and_nothing_else_changes(tmp_path, monkeypatch):
    peaks = iter([1.0, 1e15])
    monkeypatch.setattr("llmkit.training.setup.measure_peak", lambda model, dtype: next(peaks))
    rows, model = run(tmp_path / "busy", max_steps=3)
    shares = column(read_metrics(tmp_path / "busy"), "utilization")
    assert shares
    assert max(shares) < 1e-3  # of the second peak, from the first step on
    monkeypatch.setattr("llmkit.training.setup.measure_peak", lambda model, dtype: 1e15)
    same, other = run(tmp_path / "idle", max_steps=3)
    assert rows == same
    assert_weights(model, other, rtol=0, atol=0)


def test_a_logged_loss_is_the_mean_since_the_last_one(tmp_path):
    each, _ = run(tmp_path / "each", max_steps=7)
    thirds, _ = run(tmp_path / "thirds", max_steps=7, log_every=3)
    losses = column(each, "loss")
    means = [sum(losses[:3]) / 3, sum(losses[3:6]) / 3, losses[6]]
    assert column(thirds, "loss") == means
    assert column(thirds, "grad_norm") == [column(each, "grad_norm")[i] for i in (2, 5, 6)]


def stop_at(monkeypatch, step, number=signal.SIGTERM):
    """Send this process a signal while the step is computed."""
    accumulate = Gradients.accumulate

    def signalled(self, batch, **arguments):
        if arguments["step"] == step - 1:
            os.kill(os.getpid(), number)
        return accumulate(self, batch, **arguments)

    monkeypatch.setattr(Gradients, "accumulate", signalled)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")])
@pytest.mark.parametrize("step", [1, 5, 9, 14])
def test_a_signal_saves_and_the_next_run_goes_on_to_the_bit(tmp_path, monkeypatch, number, name, step):
    # 14 steps of 8 blocks go well into the second epoch; dropout needs the random state; a line covers 4 steps.
    options = {"max_steps": 14, "log_every": 4}
    assert stream().num_blocks(0) < 14 * 8
    straight, expected = run(tmp_path / "straight", start=model("gpt2"), **options)
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        stop_at(patch, step, number)
        with pytest.raises(Interrupted) as stopped:
            run(tmp_path / "stopped", start=model("gpt2"), **options)
    assert signal.getsignal(number) is before
    assert stopped.value.exit_code == 75
    assert f"interrupted by {name} after step {step}; the state is saved" in stopped.value.message
    torch.manual_seed(99)
    resumed, found = run(tmp_path / "stopped", start=model("gpt2"), **options)
    assert resumed == straight
    assert_weights(found, expected, rtol=0, atol=0)


def test_a_resume_keeps_what_auto_was_resolved_to(tmp_path):
    first = trainer(tmp_path, max_steps=2, precision="auto", micro_batch_tokens="auto")
    chosen = {"precision": "float32", "micro_batch_tokens": 2 * CONTEXT, "compile": False}
    first.state.resolved.update(chosen)
    first.train()
    again = trainer(tmp_path, max_steps=3, precision="auto", micro_batch_tokens="auto")
    assert again.state.resolved == chosen
    assert again.gradients.micro_blocks(again.feed.batch(range(8))) == 2
    assert again.plain.dtype == torch.float32
    assert again.state.step == 2


def test_a_torn_checkpoint_is_passed_over_with_a_warning(tmp_path, capsys):
    options = {"max_steps": 6, "checkpoint": {"every": 2, "keep": 3}}
    straight, expected = run(tmp_path, **options)
    torn = tmp_path / "checkpoints" / "step-00000006" / "optimizer.pt"
    torn.write_bytes(torn.read_bytes()[:-1])
    capsys.readouterr()
    job = trainer(tmp_path, **options)
    assert job.state.step == 4
    warning = " ".join(capsys.readouterr().err.split())
    assert "warning:" in warning
    assert "step-00000006 is incomplete and not used" in warning
    job.train()
    assert untimed(read_metrics(tmp_path)) == straight
    assert_weights(job.model, expected, rtol=0, atol=0)


def test_a_longer_run_goes_on_as_if_the_shorter_had_not_ended(tmp_path):
    options = {"log_every": 4, "schedule": {"type": "constant", "warmup_steps": 2}}
    straight, expected = run(tmp_path / "straight", max_steps=12, **options)
    run(tmp_path / "extended", max_steps=6, **options)
    extended, found = run(tmp_path / "extended", max_steps=12, **options)
    assert [row for row in extended if row["step"] != 6] == straight
    assert_weights(found, expected, rtol=0, atol=0)


def test_rows_written_after_the_last_checkpoint_are_written_again(tmp_path):
    options = {"max_steps": 5, "checkpoint": {"every": 5}}
    straight, _ = run(tmp_path, **options)
    file = MetricsFile(tmp_path, 5)
    file.write({"step": 6, "loss": 1.0})
    resumed, _ = run(tmp_path, **options)
    assert resumed == straight


def test_the_random_numbers_of_a_step_depend_on_seed_and_step_alone(tmp_path, monkeypatch):
    first, states = [], []
    accumulate = Gradients.accumulate

    def noting(self, batch, **arguments):
        states.append(torch.get_rng_state())
        return accumulate(self, batch, **arguments)

    monkeypatch.setattr(Gradients, "accumulate", noting)
    straight, expected = run(tmp_path / "straight", start=model("gpt2"), max_steps=4)
    first, states = states, []
    assert len({tuple(state.tolist()) for state in first}) == 4

    def drawing(*_, **__):
        torch.rand(7)
        return Scored({"tokens": 1.0}, {"tokens": 1}, {"tokens": 1.0})

    monkeypatch.setattr(loop, "validate", drawing)
    torch.manual_seed(99)
    options = {"validation": HeldOut(stream(20, seed=None), 500), "validate": {"every": 1}}
    found, drawn = run(tmp_path / "drawing", start=model("gpt2"), max_steps=4, **options)
    assert all(torch.equal(one, other) for one, other in zip(first, states, strict=True))
    assert [row for row in found if "loss" in row] == straight
    assert_weights(drawn, expected, rtol=0, atol=0)

    other, _ = run(tmp_path / "seed", start=model("gpt2"), max_steps=1, seed=1)
    assert column(other, "loss") != column(straight[:1], "loss")


def test_each_part_of_a_loss_has_its_column(tmp_path):
    found, _ = run(tmp_path / "parts", objective=CausalLM(z_loss=0.25), max_steps=4)
    for row in found:
        assert row["loss"] == pytest.approx(row["loss_tokens"] + 0.25 * row["loss_z"], rel=1e-6)
    pairs, _ = run(tmp_path / "pairs", objective=CausalLM(z_loss=0.25), max_steps=4, log_every=2)
    for name in ("loss", "loss_tokens", "loss_z"):
        one, two, three, four = column(found, name)
        assert column(pairs, name) == [(one + two) / 2, (three + four) / 2]


def full_rows(count):
    """Rows that fill a block each."""
    return RowPacker(encoded([([5] * CONTEXT, [6] * CONTEXT)] * count), CONTEXT, seed=0)


@pytest.mark.parametrize(
    ("blocks", "named"),
    [(3, "row 0, row 1, row 2"), (8, "row 0, row 1, row 2, row 3, row 4 and 3 more")],
)
def test_a_loss_that_is_not_a_number_names_what_the_batch_holds(tmp_path, blocks, named):
    broken = model()
    broken.model.norm.weight.data.fill_(math.nan)
    options = {"batch_tokens": blocks * CONTEXT, "optimizer": {"lr": 3e-3}, "max_steps": 2}
    with pytest.raises(DivergedError) as error:
        trainer(tmp_path, start=broken, packer=full_rows(blocks), objective=SFT(), **options).train()
    assert error.value.message == f"step 1: the loss is nan and the gradient norm nan; the batch holds {named}"
    lower = "--set optimizer.lr=0.001 -o OTHER"
    assert error.value.hint == f"start anew with a lower learning rate, beside this run: {lower}"
    assert error.value.exit_code == 6


@pytest.mark.parametrize("background", [True, False])
def test_a_checkpoint_that_cannot_be_written_ends_the_run(tmp_path, monkeypatch, background):
    monkeypatch.setattr(loop.checkpoint, "save_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    options = {"max_steps": 6, "checkpoint": {"every": 2, "background": background}}
    with pytest.raises(OSError, match="No space left"):
        trainer(tmp_path, **options).train()
    assert len(column(read_metrics(tmp_path), "loss")) == (4 if background else 2)  # it is seen at the next save


def test_checkpoints_in_the_background_are_those_in_the_foreground(tmp_path):
    folders = []
    for background in (True, False):
        folder = tmp_path / str(background)
        run(folder, max_steps=5, checkpoint={"every": 2, "keep": 9, "background": background})
        folders.append(folder / "checkpoints")
    assert [path.name for path in sorted(folders[0].iterdir())] == [f"step-0000000{step}" for step in (2, 4, 5)]
    for path in folders[0].glob("*/*"):
        other = folders[1] / path.relative_to(folders[0])
        if path.name == "model.safetensors":
            assert path.read_bytes() == other.read_bytes()
        if path.name == "optimizer.pt":
            one, other = (torch.load(file, weights_only=True)["state"] for file in (path, other))
            torch.testing.assert_close(one, other, rtol=0, atol=0)


COMPILING = pytest.mark.filterwarnings(r"ignore:.*torch\.jit\.script_method.* is deprecated:DeprecationWarning")


@pytest.mark.slow
@COMPILING
def test_compiled_is_eager_within_rounding_and_resumes_to_the_bit(tmp_path, monkeypatch):
    options = {"max_steps": 6, "log_every": 2}
    eager, plain = run(tmp_path / "eager", start=model("gpt2", **NO_DROPOUT), **options)
    straight, expected = run(tmp_path / "straight", start=model("gpt2", **NO_DROPOUT), compile=True, **options)
    for name in ("loss", "grad_norm"):
        assert column(straight, name) == pytest.approx(column(eager, name), rel=1e-4)
    assert_weights(expected, plain, rtol=0, atol=2e-4)
    for start in (NO_DROPOUT, {}):
        name = f"{len(start)}"
        straight, expected = run(tmp_path / f"s{name}", start=model("gpt2", **start), compile=True, **options)
        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            stop_at(patch, 3)
            run(tmp_path / f"r{name}", start=model("gpt2", **start), compile=True, **options)
        torch._dynamo.reset()  # as in another process
        resumed, found = run(tmp_path / f"r{name}", start=model("gpt2", **start), compile=True, **options)
        assert resumed == straight
        assert_weights(found, expected, rtol=0, atol=0)


NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
