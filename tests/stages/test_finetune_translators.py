"""finetune of translators with SentencePiece models, or marks of languages: Marian, M2M-100, NLLB and mBART."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import transformers

from llmkit.core.manifest import read_manifest
from llmkit.modeling.companions import Models
from llmkit.modeling.generation import decoder_inputs
from llmkit.modeling.tokenizer import load_tokenizer, tokenizer_digest
from llmkit.objectives.rows.sequence_to_sequence import SequenceToSequence
from llmkit.training.metrics import read_metrics
from translators import KINDS, LANGUAGES, save_translator

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")  # by transformers' own tokenizer
WORDS = [f"{a}{b} {c}" for a in "abc" for b in "def" for c in "ghi"]
ROWS = [{"source": word, "target": word.upper()} for word in WORDS]
SIZES = ["-s", "batch_rows=8", "-s", "precision=float32", "-s", "log_every=1", "-s", "validation_fraction=0.3"]


def _objective(kind, **more):
    languages = dict(zip(("source_language", "target_language"), LANGUAGES.get(kind, ()), strict=False))
    writing = {"rows": 4, "metrics": ["chrf"]}
    return {"type": "sequence_to_sequence", "max_target_length": 12, "writing": writing, **languages, **more}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of a kind's model."""
    made: dict[str, Path] = {}

    def of(kind):
        if kind not in made:
            made[kind] = save_translator(
                tmp_path_factory.mktemp(kind) / "base", kind, WORDS, [word.upper() for word in WORDS]
            )
        return made[kind]

    return of


@pytest.fixture
def finetune(cli, jsonl, base):
    """Train one, with more options."""

    def run(kind, *more, steps=2, **objective):
        return cli("finetune", "--data", jsonl("rows.jsonl", ROWS), "--model", base(kind),
                   "-s", f"objective={json.dumps(_objective(kind, **objective))}",
                   *SIZES, "--max-steps", steps, "-o", "out", *more)  # fmt: skip

    return run


def _their_answers(texts):
    """What transformers makes of the directory, with nothing but what is saved there."""
    tokenizer = transformers.AutoTokenizer.from_pretrained("out")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained("out")
    said = []
    for text in texts:
        ids = model.generate(**tokenizer(text, return_tensors="pt", return_token_type_ids=False))[0]
        said.append(load_tokenizer("out").decode(ids, skip_special_tokens=True).strip())
    return said


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in ("marian", "m2m_100") else [pytest.mark.slow]) for kind in KINDS]
)
def test_it_trains_writes_predicts_and_goes_on(finetune, cli, jsonl, base, kind):
    outcome = finetune(kind, "-s", "optimizer.lr=0.04", steps=30)
    assert outcome.code == 0, outcome.err
    figures = read_manifest(Path("out")).metrics
    assert figures["validation_loss"] < 0.5 * figures["validation_loss_before"]
    assert figures["measures"]["chrf"] > 0
    assert tokenizer_digest("out") == tokenizer_digest(base(kind))
    done = cli("predict", "out", "-i", jsonl("asked.jsonl", WORDS[:3]), "-o", "said")
    assert done.code == 0, done.err
    said = [row["output"] for row in pq.read_table(sorted(Path("said").glob("data-*.parquet"))).to_pylist()]
    assert said == _their_answers(WORDS[:3])

    # More steps go on from the last checkpoint.
    more = finetune(kind, "-s", "optimizer.lr=0.04", steps=32)
    assert more.code == 0, more.err
    assert [row["step"] for row in read_metrics(Path("out")) if "loss" in row] == list(range(1, 33))


@pytest.mark.parametrize("kind", KINDS)
def test_ids_loss_and_first_token_are_transformers(base, kind):
    folder = base(kind)
    objective = SequenceToSequence.model_validate({k: v for k, v in _objective(kind).items() if k != "type"})
    config = transformers.AutoConfig.from_pretrained(folder)
    tokenizer = load_tokenizer(folder)
    objective.suit(tokenizer, config)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    if kind in LANGUAGES:
        theirs.src_lang, theirs.tgt_lang = LANGUAGES[kind]
    rows = [{"source_text": row["source"], "targets": [row["target"]]} for row in ROWS]
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    objective.equip(model, tokenizer)
    for row, made in zip(rows, objective.encode(rows, None, tokenizer, 64), strict=True):
        both = theirs(row["source_text"], text_target=row["targets"][0])
        assert made.columns["input_ids"] == both["input_ids"]
        assert made.columns["target_input_ids"] == both["labels"]
    labels = torch.tensor([both["labels"]])
    asked = torch.tensor([both["input_ids"]])
    ours = objective.loss(
        Models(model), {"input_ids": asked, "attention_mask": torch.ones_like(asked), "labels": labels}
    )
    total, _ = ours["tokens"]
    torch.testing.assert_close(total / labels.numel(), model(input_ids=asked, labels=labels).loss)
    # What the decoder is given first is what it was trained on first.
    decoder = decoder_inputs(model, labels)[0].tolist()
    first = model.generate(asked)[0].tolist()
    assert first[0] == decoder[0]
    if kind in LANGUAGES:
        language = theirs.convert_tokens_to_ids(
            f"__{LANGUAGES[kind][1]}__" if kind == "m2m_100" else LANGUAGES[kind][1]
        )
        place = 0 if kind == "mbart" else 1
        assert first[place] == decoder[place] == language


@pytest.mark.parametrize(("kind", "objective", "says"), [
    ("nllb", {"target_language": None}, "objective.target_language: the model's tokenizer marks the language of each"),
    ("m2m_100", {"target_language": "frr"}, "objective.target_language: the model's tokenizer knows no 'frr'; did you"),
    ("mbart", {"directions": {"backward": 1}, "backward_prefix": "back: "}, "the model is told one language to write"),
    ("marian", {"target_language": "fr"}, "objective.target_language: the model's tokenizer marks no languages"),
])  # fmt: skip
def test_what_is_wrong_is_said_before_the_first_step(finetune, kind, objective, says):
    outcome = finetune(kind, **objective)
    assert outcome.code == 2
    assert says in outcome.err
    assert "Traceback" not in outcome.err


def test_marian_s_mark_of_a_language_is_a_token(base):
    tokenizer = load_tokenizer(base("marian"))
    ids = tokenizer(">>fr<< ad g")["input_ids"]
    assert ids[0] == tokenizer.convert_tokens_to_ids(">>fr<<")
    assert ids[1:] == tokenizer("ad g")["input_ids"]
