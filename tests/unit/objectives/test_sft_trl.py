"""What is learned of chats, and the loss of it, against TRL's SFTTrainer: token by token where templates have marks."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest
import torch

from llmkit.data.packing import IGNORED, EncodedRows, RowPacker, examples_of
from llmkit.data.rendering import encode_prompt, render
from llmkit.data.rows.messages import Messages
from llmkit.modeling.companions import Models
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.rows.sft import SFT
from styles import THOUGHTS, TOOLS, TURNS, calls, said, style, user
from tiny import model

pytestmark = pytest.mark.filterwarnings("ignore")  # of TRL's, about its own and transformers' options

QUESTION = [user("1 + 2?"), said("It is 3.")]
THINKS = [user("1 + 2?"), said("It is 3.", reasoning_content="one more than 2")]
STEPS = [*TOOLS[:1], calls("Rome", reasoning_content="look"), TOOLS[2], said("Sunny.", reasoning_content="I see")]
SHARED = {
    "llama3": [TURNS, TOOLS, QUESTION],
    "qwen3": [QUESTION, THINKS, STEPS],
    "phi3": [TURNS, QUESTION],
    "gemma": [TURNS, QUESTION],
    "chatml": [TURNS, TOOLS, QUESTION],
}
"""Rows of which a template writes every answer as inference sees it, so that one example has them all."""


def row_of(turns):
    """Return a conversation as TRL takes it."""
    shown = [{key: part for key, part in turn.items() if key != "tools"} for turn in turns]
    tools = {"tools": json.dumps(turns[0]["tools"])} if "tools" in turns[0] else {}
    return {"messages": shown, **tools}


@pytest.fixture
def trl(tmp_path):
    """Return TRL's trainer of rows, which it has encoded."""

    def make(tokenizer, rows, **options):
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        args = SFTConfig(
            str(tmp_path), max_length=None, report_to="none", use_cpu=True, bf16=False, shuffle_dataset=False,
            gradient_checkpointing=False, per_device_train_batch_size=8, **options,
        )  # fmt: skip
        names = {name for row in rows for name in row}
        data = Dataset.from_list([{name: row.get(name) for name in names} for row in rows])
        learner = model(vocab_size=len(tokenizer))
        return SFTTrainer(learner, args, train_dataset=data, processing_class=tokenizer)

    return make


def targets_of(trainer):
    """Return of each of TRL's rows its ids, and its labels at the place before the token that they are, as ours."""
    rows = [trainer.train_dataset[i] for i in range(len(trainer.train_dataset))]
    return [(row["input_ids"], [*row["labels"][1:], IGNORED]) for row in rows]


def encoded(tokenizer, conversations):
    kind = Messages(holds="all")
    found = SFT().encode([kind.parse(row_of(turns)) for turns in conversations], kind, tokenizer, 2048)
    return [example for outcome in found for example in examples_of(outcome)]


def loss_of(learner, examples, tokenizer):
    """Return our loss of some examples, packed into blocks."""
    vocabulary = vocabulary_of(tokenizer)
    rows = EncodedRows.of(SFT().columns(vocabulary), examples)
    packer = RowPacker(rows, 1024, seed=None, pad_id=vocabulary.padding)
    tensors, counts = SFT().collate(packer.blocks(0, range(packer.num_blocks(0))), vocabulary, 0)
    with torch.no_grad():
        ((total, _),) = SFT().loss(Models(learner), tensors).values()
    return float(total) / counts["tokens"]


def their_loss(trainer, learner):
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(trainer.train_dataset))])
    trainer.model.eval()
    with torch.no_grad():
        return float(trainer.compute_loss(trainer.model, dict(batch)))


@pytest.mark.parametrize("name", SHARED)
def test_marked_templates_have_the_same_targets_and_the_same_loss(trl, name):
    tokenizer = style(name)
    trainer = trl(tokenizer, [row_of(turns) for turns in SHARED[name]], assistant_only_loss=True)
    examples = encoded(tokenizer, SHARED[name])
    assert len(examples) == len(SHARED[name])
    for example, (ids, labels) in zip(examples, targets_of(trainer), strict=True):
        assert example.columns["input_ids"].tolist() == ids
        assert example.columns["labels"].tolist() == labels
    ours = loss_of(model(vocab_size=len(tokenizer)), examples, tokenizer)
    assert ours == pytest.approx(their_loss(trainer, trainer.model), abs=1e-5)


@pytest.mark.parametrize("turns", [TURNS, THOUGHTS], ids=["turns", "thoughts"])
def test_rewritten_answers_are_what_trl_learns_of_rows_cut_behind_them(trl, turns):
    """Qwen3 writes an empty thought before the last answer alone, and drops the thoughts of earlier questions.

    TRL renders a conversation once, so that it learns earlier answers without their thoughts: as inference, which asks
    with the prompt that the answer stands behind, never sees the template write them. The last answer of each row that
    is cut behind an answer has its own context, and there TRL and we agree.
    """
    tokenizer = style("qwen3")
    cut = [turns[: i + 1] for i, turn in enumerate(turns) if turn["role"] == "assistant"]
    trainer = trl(tokenizer, [row_of(turns), *map(row_of, cut)], assistant_only_loss=True)
    (whole, labels), *alone = targets_of(trainer)
    learned = tokenizer.decode([label for label in labels if label != IGNORED])
    assert learned.startswith("It is 3.<|im_end|>")  # TRL's, of the conversation as a whole
    assert render(tokenizer, turns[:2]).endswith("\n</think>\n\nIt is 3.<|im_end|>\n")  # what the template has there
    examples = encoded(tokenizer, [turns])
    assert examples[-1].columns["input_ids"].tolist() == whole
    for example, (ids, theirs), rows in zip(examples, alone, cut, strict=True):
        assert example.columns["input_ids"].tolist() == ids
        start = len(encode_prompt(tokenizer, rows[:-1])) - 1
        assert example.columns["labels"].tolist() == [IGNORED] * start + theirs[start:]


@pytest.mark.parametrize("name", ["llama3", "qwen3", "phi3", "gemma", "chatml"])
def test_completions_are_the_same_up_to_the_token_at_which_generation_stops(trl, name):
    """TRL also learns what a template writes behind the end of a turn: a new line, and EOS behind that in Phi-3's.

    Generation has stopped by then: nothing ever asks a model for these.
    """
    tokenizer = style(name)
    rows = [{"prompt": turns[:1], "completion": turns[1:2]} for turns in (QUESTION, TURNS)]
    trainer = trl(tokenizer, rows)
    examples = encoded(tokenizer, [QUESTION, TURNS[:2]])
    for example, (ids, theirs) in zip(examples, targets_of(trainer), strict=True):
        assert example.columns["input_ids"].tolist() == ids
        labels = example.columns["labels"]
        behind = [label for label, ours in zip(theirs, labels, strict=True) if label != IGNORED and ours == IGNORED]
        assert tokenizer.decode(behind) == {"llama3": "", "phi3": "\n<|eos|>"}.get(name, "\n")
        assert [label for label in theirs if label != IGNORED] == [*labels[labels != IGNORED], *behind]
    shifted = [[IGNORED, *example.columns["labels"][:-1].tolist()] for example in examples]
    trainer.train_dataset = trainer.train_dataset.remove_columns("labels").add_column("labels", shifted)
    ours = loss_of(model(vocab_size=len(tokenizer)), examples, tokenizer)
    assert ours == pytest.approx(their_loss(trainer, trainer.model), abs=1e-5)


OWN = {"llama3": "", "qwen3": "\n", "phi3": "\n", "gemma": "\n", "qwen2_5": "\n"}
"""TRL's templates for training, and what of each answer TRL learns that generation never writes, behind its end."""


@pytest.mark.parametrize("name", OWN)
def test_trls_own_templates_mark_what_we_learn_and_blanks_around_it(trl, name):
    """What else TRL learns is no part of an answer: it is behind the end, or the prompt has it already.

    Of Qwen2.5's the marks begin with the new line that the prompt ends with; Phi-3's have EOS behind the last turn.
    """
    from tokenizers import AddedToken

    from tiny import byte_tokenizer

    template = (files("trl") / "chat_templates" / f"{name}_training.jinja").read_text()
    tokens = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|user|>", "<|assistant|>", "<|end|>",
              "<start_of_turn>", "<end_of_turn>", "<think>", "</think>"]  # fmt: skip
    tokenizer = byte_tokenizer(template=template)
    added = [token for token in tokens if token in template]
    tokenizer.add_tokens([AddedToken(token, special="think" not in token, normalized=False) for token in added])
    tools = [TOOLS[:4]] if name in ("qwen3", "qwen2_5") else []
    trainer = trl(tokenizer, [row_of(turns) for turns in [TURNS, *tools]], assistant_only_loss=True)
    examples = encoded(tokenizer, [TURNS, *tools])
    for turns, example, (ids, theirs) in zip([TURNS, *tools], examples, targets_of(trainer), strict=True):
        assert example.columns["input_ids"].tolist() == ids
        labels = example.columns["labels"].tolist()
        assert all(ours in (IGNORED, label) for ours, label in zip(labels, theirs, strict=True))
        more = np.array([ours == IGNORED != label for ours, label in zip(labels, theirs, strict=True)])
        number = sum(turn["role"] == "assistant" for turn in turns)
        starts = [
            len(encode_prompt(tokenizer, turns[:i])) for i, turn in enumerate(turns) if turn["role"] == "assistant"
        ]
        before = [start - 2 for start in starts if more[start - 2]]  # predicts the last token of a prompt
        assert len(before) == (number if name == "qwen2_5" else 0)
        more[before] = False
        behind = tokenizer.decode(np.array(theirs)[more])
        assert behind == OWN[name] * number + ("<|eos|>" if name == "phi3" else "")
