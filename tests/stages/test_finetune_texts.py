"""finetune on sources and targets, and what comes after it, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers

from headed import SENTIMENT, save_headed
from llmkit.core.manifest import read_manifest
from llmkit.training.metrics import read_metrics
from texts_of_texts import save_two_sided

OBJECTIVE = {"type": "sequence_to_sequence", "prefix": "up: ", "max_target_length": 12,
             "writing": {"rows": 6, "metrics": ["chrf", "bleu"]}}  # fmt: skip
WORDS = [f"{a}{b}{c}" for a in "abc" for b in "def" for c in "ghi"]
ROWS = [{"source": word, "target": [word.upper(), word.title()]} for word in WORDS]
SIZES = ["-s", "batch_rows=8", "-s", "precision=float32", "-s", "log_every=1", "-s", "validation_fraction=0.3"]


@pytest.fixture
def finetune(cli, jsonl, tmp_path):
    """Train a small encoder-decoder on rows of a raw file, with more options."""

    def run(rows, *more, model=None, steps=2, objective=OBJECTIVE):
        data = jsonl("rows.jsonl", rows) if isinstance(rows, list) else rows
        base = model or save_two_sided(tmp_path / "base")
        return cli("finetune", "--data", data, "--model", base, "-s", f"objective={json.dumps(objective)}",
                   *SIZES, "--max-steps", steps, "-o", "out", *more)  # fmt: skip

    return run


def test_a_translator_its_measures_samples_card_and_predictions(finetune, cli, jsonl):
    outcome = finetune(ROWS, "-s", "validate.every=20", "-s", "optimizer.lr=0.01", steps=60)
    assert outcome.code == 0, outcome.err
    assert "rows are source_target (source_text from 'source', targets from 'target')" in outcome.err
    rows = [row for row in read_metrics(Path("out")) if "validation_loss" in row]
    assert [row["step"] for row in rows] == [0, 20, 40, 60]
    assert {"chrf", "bleu", "exact_match", "ended", "bits_per_byte"} <= rows[-1].keys()
    assert rows[-1]["ended"] == 100
    assert rows[-1]["chrf"] > rows[0]["chrf"]
    measures = read_manifest(Path("out")).metrics["measures"]
    assert measures == {name: rows[-1][name] for name in ("chrf", "bleu", "exact_match", "ended")}

    samples = [json.loads(line) for line in Path("out/samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(samples) == 3 * len(rows)
    assert samples[0].keys() == {"step", "prompt", "references", "text"}
    assert samples[0]["references"] == [samples[0]["prompt"].upper(), samples[0]["prompt"].title()]
    assert f"right: {samples[-1]['references'][0]}" in Path("out/report.html").read_text(encoding="utf-8")

    generation = transformers.GenerationConfig.from_pretrained("out")
    assert (generation.max_length, generation.decoder_start_token_id) == (13, 258)
    card = Path("out/README.md").read_text(encoding="utf-8")
    assert '| prefix | "up: " |' in card
    code = card.split("```python\n")[1].split("```")[0].replace('"DIR"', '"out"')
    exec(code, {})

    # What validation has measured is what the model answers afterwards.
    last = [sample for sample in samples if sample["step"] == 60]
    asked = [{"src": sample["prompt"], "n": number} for number, sample in enumerate(last)]
    done = cli("predict", "out", "-i", jsonl("asked.jsonl", asked), "-o", "said")
    assert done.code == 0, done.err
    assert 'asked by "up: {source}", for at most 12 tokens' in done.err
    import pyarrow.parquet as pq

    said = pq.read_table(sorted(Path("said").glob("data-*.parquet"))).to_pylist()
    assert [row["output"] for row in said] == [sample["text"].strip() for sample in last]
    assert all(row["ended"] for row in said)
    tokenizer = transformers.AutoTokenizer.from_pretrained("out")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained("out")
    for row in said:
        ids = tokenizer("up: " + row["text"], return_tensors="pt", return_token_type_ids=False)
        assert tokenizer.decode(model.generate(**ids)[0], skip_special_tokens=True).strip() == row["output"]


@pytest.mark.parametrize("arch", ["bart", "marian"])
def test_other_encoder_decoders(finetune, tmp_path, arch):
    outcome = finetune(ROWS, model=save_two_sided(tmp_path / arch, arch))
    assert outcome.code == 0, outcome.err
    assert transformers.AutoConfig.from_pretrained("out").model_type == arch


def test_lora_on_an_encoder_decoder_answers_with_its_base(finetune, cli, jsonl):
    outcome = finetune(ROWS, "--lora")
    assert outcome.code == 0, outcome.err
    assert not Path("out/config.json").exists()
    done = cli("predict", "out", "-i", jsonl("asked.jsonl", ["adg"]), "-o", "said")
    assert done.code == 0, done.err
    assert 'asked by "up: {source}", for at most 12 tokens' in done.err


def test_a_decoder_alone_with_a_prompt(finetune, cli, chain, jsonl):
    objective = {"type": "sequence_to_sequence", "prompt": "{source} =", "max_target_length": 24,
                 "writing": {"rows": 2, "metrics": ["chrf"]}}  # fmt: skip
    outcome = finetune(ROWS, "-s", "context_length=64", model=chain.base, objective=objective)
    assert outcome.code == 0, outcome.err
    assert {"chrf", "ended"} <= read_manifest(Path("out")).metrics["measures"].keys()
    done = cli("predict", "out", "-i", jsonl("asked.jsonl", ["adg"]), "-o", "said")
    assert done.code == 0, done.err
    assert 'asked by "{source} =", for at most 24 tokens' in done.err


def test_preview_shows_both_sides(finetune):
    outcome = finetune(ROWS[:1], "--preview", 1)
    assert outcome.code == 0, outcome.err
    assert "source: adg\ntarget: ADG\ntarget: Adg\n" in outcome.out
    assert "model: up: adg<|eos|>" in outcome.out
    assert "target: [[ADG<|eos|>]]" in outcome.out
    assert not Path("out").exists()


def test_the_hub_s_translations_and_rows_that_cannot_be_used(finetune):
    rows = [{"translation": {"en": word, "fr": word.upper()}} for word in WORDS]
    rows += [{"translation": {"en": "adg", "fr": " "}}, {"translation": {"en": "adg", "fr": "X" * 40}}]
    rows += [{"translation": {"en": "adg", "fr": "an <|eos|> inside"}}]
    outcome = finetune(rows, "-s", "validation_fraction=0", "--max-failed", 0.5)
    assert outcome.code == 0, outcome.err
    assert "rows.jsonl:28: field 'translation.fr' is empty" in outcome.err
    assert "1 rows were left out: a target of more than 12 tokens, see objective.max_target_length" in outcome.err
    assert "1 rows were left out: a target holds a special token literally" in outcome.err


@pytest.mark.parametrize(("rows", "objective", "code", "says"), [
    ([{"source": "a", "taget": "b"}], OBJECTIVE, 2, "did you mean 'taget'?"),
    ([{"instruction": "a", "input": "b", "output": "c"}], OBJECTIVE, 2, "an instruction with an input is a prompt"),
    (ROWS, {**OBJECTIVE, "prompt": "{source}"}, 2, "objective.prompt: t5 has an encoder"),
    (ROWS, {**OBJECTIVE, "directions": {"backward": 1}, "backward_prefix": "up: "}, 2, "two directions need prefixes"),
    (ROWS, {**OBJECTIVE, "max_target_length": 2}, 3, "no row is left to train on"),
])  # fmt: skip
def test_what_is_wrong_is_said(finetune, rows, objective, code, says):
    outcome = finetune(rows, objective=objective)
    assert outcome.code == code
    assert says in outcome.err
    assert "Traceback" not in outcome.err


def test_a_model_without_an_encoder_is_told_of_the_prompt(finetune, chain):
    outcome = finetune(ROWS, model=chain.base)
    assert outcome.code == 2
    assert "llama has no encoder, and nothing says how it is asked for a target" in outcome.err
    assert "-s objective.prompt='{source} => ' asks it" in outcome.err


def test_labels_of_texts_with_the_sign_of_their_end_in_them(cli, jsonl, tmp_path):
    """T5's and BART's classes for labels refuse a batch whose rows differ in their number of EOS."""
    settings = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
    model = save_headed(tmp_path / "model", SENTIMENT, "t5", eos_token_id=3, **settings)  # [SEP]
    texts = ["a boat", "a [SEP] b", "the sea", "a [SEP] b [SEP] c"] * 6
    rows = [{"text": f"{text} {i}", "label": ["bad", "good", "fair"][i % 3]} for i, text in enumerate(texts)]
    outcome = cli("finetune", "--data", jsonl("rows.jsonl", rows), "--model", model, "-s", "objective=classification",
                  "-s", "validation_fraction=0.3", "-s", "batch_rows=8", "--max-steps", 2, "-o", "out")  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "accuracy" in outcome.out


def test_labels_of_a_model_whose_tokenizer_writes_no_end_are_refused_in_words(cli, jsonl, tmp_path):
    settings = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
    model = save_headed(tmp_path / "model", SENTIMENT, "t5", eos_token_id=4, **settings)  # [MASK], which none ends with
    rows = [{"text": f"a boat {i}", "label": ["bad", "good"][i % 2]} for i in range(8)]
    file = jsonl("rows.jsonl", rows)
    says = "the model (t5) reads a label at the last end of a text ('[MASK]', id 4), and its tokenizer puts none behind"
    trained = cli("finetune", "--data", file, "--model", model, "-s", "objective=classification", "-o", "out")
    assert trained.code == 3
    assert says in trained.err
    asked = cli("predict", model, "-i", file, "-o", "said")
    assert asked.code == 3
    assert says in asked.err
