"""Odd rows of every kind, given to every objective, to `predict`, and to the tasks of `eval` that read rows; seeded.

A value, or a field, of a file that people have made is not what it should be, in one row or in all of them: a row is
read, or counted and said, or the command refuses with words.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from campaign._cases import Case, run
from campaign._chain import TRAINING, Chain, sentences

HELD = frozenset({0, 2, 3})
SEED = 22
DRAWN = 5
"""Odd values of each field and reader."""
SECONDS = 30
TEXTS = sentences(24)
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 7, 1.5, 1e308, "", " ", "x", "\n", "x" * 20_000, "中文", "<|im_end|>", "<|endoftext|>",
    "{source}", "\ud800", "\0", "\u202e", "e\u0301" * 50, "{{ 1 }}", "NaN", "1e999", "[]", "{}", [], [""], [None],
    [[]], [0] * 500,
    {}, {"a": 1}, {"text": "x"}, ["x"] * 500, [{"role": "user"}],
)  # fmt: skip
"""What a field may hold."""
MISSING = object()
"""Stands for a field that is not there."""
ASKED = {"type": "sequence_to_sequence", "prompt": "{source} =>", "max_target_length": 40,
         "writing": {"rows": 1, "max_new_tokens": 2, "metrics": ["chrf"]}}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Rows of a kind, and what reads them.

    Attributes:
        rows: Good ones.
        objective: Learns from them.
        tasks: Tasks of `eval` that read them.
        predicts: Whether a model of the objective answers them.
    """

    rows: Sequence[Mapping[str, Any]]
    objective: Any
    tasks: Sequence[str] = ()
    predicts: bool = True


def _span(i: int, text: str) -> dict[str, Any]:
    second = text.split()[1]
    return {"question": "Which?", "context": text, "answers": [second], "answer_start": [text.index(second)]} if i % 3 \
        else {"question": "Which?", "context": text, "answers": [], "answer_start": []}  # fmt: skip


KINDS: dict[str, Kind] = {
    "text_label": Kind([{"text": t, "label": "ab"[i % 2]} for i, t in enumerate(TEXTS)], "classification",
                       ["classification"]),
    "text_pair": Kind([{"sentence1": t, "sentence2": t[:20], "score": i % 6 / 5} for i, t in enumerate(TEXTS)],
                      "embedding", ["similarity"]),
    "triplet": Kind([{"anchor": t[:20], "positive": t, "negative": TEXTS[-1 - i]} for i, t in enumerate(TEXTS)],
                    "embedding", ["retrieval"]),
    "tags": Kind([{"words": t.split()[:6], "tags": ["O", "B-X"] * 3} for t in TEXTS], "token_classification",
                 ["token_classification"]),
    "span_answer": Kind([_span(i, t) for i, t in enumerate(TEXTS)], "question_answering", ["question_answering"]),
    "source_target": Kind([{"source": t[:20], "target": t[20:40]} for t in TEXTS], ASKED,
                          ["translation", "summarization"]),
    "messages": Kind([{"messages": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": t}]}
                      for t in TEXTS], "sft", ["answers", "generation"], predicts=False),
    "completion": Kind([{"prompt": [{"role": "user", "content": "What?"}],
                         "completion": [{"role": "assistant", "content": t}]} for t in TEXTS], "sft", ["answers"],
                       predicts=False),
    "alpaca": Kind([{"instruction": "Say", "input": t[:9], "output": t, "history": [["a", "b"]]} for t in TEXTS],
                   "sft", ["answers"], predicts=False),
    "text": Kind([{"text": t} for t in TEXTS], {"type": "fill_in_the_middle", "max_per_block": 2}, predicts=False),
    "choices": Kind([{"question": t, "choices": ["a", "b"], "answer": i % 2} for i, t in enumerate(TEXTS)], None,
                    ["multiple_choice"], predicts=False),
}  # fmt: skip
ENCODED = frozenset({"span_answer", "text_pair", "triplet"})
"""Kinds that an encoder learns; the class for spans of most decoders loads no body but its own."""
ADAPTERS = (["--lora"], [], ["-s", "adapter=ia3"], ["-s", "adapter=head"], ["-s", "adapter={type: layers, last: 1}"])


def cases(scratch: Path) -> Iterator[Case]:
    """Yield every case; see `campaign.damage.cases`."""
    chain = Chain(scratch / "chain", scratch / "kept")
    chain.make()
    encoder = save_encoder(scratch / "encoder")
    draw = random.Random(SEED)
    for name, kind in KINDS.items():
        good = scratch / f"{name}.jsonl"
        good.write_text(_lines(kind.rows), encoding="utf-8")
        base = encoder if name in ENCODED else chain.kept / "base"
        for reader, command in _readers(name, kind, base, good, scratch, draw):
            for field in kind.rows[0]:
                for value in [MISSING, *draw.sample(VALUES, DRAWN)]:
                    where = draw.choice(("one row", "all rows"))
                    shown = "missing" if value is MISSING else repr(value)[:30]
                    build = partial(_with, kind.rows, field, value, where, command)
                    yield Case(f"{name}.{field} {shown} in {where}: {reader}", build, HELD, seconds=SECONDS)
    yield from _wrong_kinds(chain.kept / "base", scratch)


def _readers(
    name: str, kind: Kind, base: Path, good: Path, scratch: Path, draw: random.Random
) -> Iterator[tuple[str, list[str]]]:
    """Yield what reads rows of a kind: a training with an adapter, the model it makes, tasks of `eval`, `clean`."""
    model = scratch / f"{name}-model"
    if kind.objective is not None:
        command = _tuning(kind, base, [])
        yield "finetune", [*command, *draw.choice(ADAPTERS if name != "text" else ADAPTERS[:2])]
        if kind.predicts:
            made = [*command, "--data", str(good), "-o", str(model)]
            done = run(Case(name, lambda _: [word for word in made if word != "ROWS"], frozenset({0})), scratch)
            assert not done.problem, f"{name}: {done.problem}\n{done.said}"
            yield "predict", ["predict", "--model", str(model), "-i", "ROWS", "-o", "out"]
    asked = model if kind.predicts else base
    for task in kind.tasks:
        yield f"eval {task}", ["eval", "--model", str(asked), "-s", f"tasks=[{{type: {task}, data: ROWS, limit: 3}}]",
                               "-o", "out"]  # fmt: skip
    yield "clean", ["clean", "--row", "auto", "-i", "ROWS", "-s", "steps=[normalize, exact_duplicates]", "-o", "out"]


def _tuning(kind: Kind, base: Path, more: Sequence[str]) -> list[str]:
    training = [word for setting in TRAINING for word in ("-s", setting)]
    objective = kind.objective if isinstance(kind.objective, str) else json.dumps(kind.objective)
    return ["finetune", "--model", str(base), *training, "-s", f"objective={objective}", "-s", "batch_rows=4",
            "-s", "validation_fraction=0.2", "-s", "workers=1", "-s", "overlength=truncate", "--max-steps", "1",
            *more]  # fmt: skip


def save_encoder(folder: Path) -> Path:
    """Save a little BERT without a head, which reads letters."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    within = (f"##{letter}" for letter in ascii_lowercase)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,!?", *ascii_lowercase, *within]
    raw = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    raw.normalizer, raw.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=128, **sizes)).save_pretrained(folder)
    return folder


def _with(
    rows: Sequence[Mapping[str, Any]], field: str, value: Any, where: str, command: Sequence[str], folder: Path
) -> Sequence[str]:
    changed = [dict(row) for row in rows]
    for row in changed if where == "all rows" else changed[5:6]:
        if value is MISSING:
            del row[field]
        else:
            row[field] = value
    (folder / "rows.jsonl").write_text(_lines(changed), encoding="utf-8")
    words = [word.replace("ROWS", "rows.jsonl") for word in command]
    return words if words[0] != "finetune" else [*words, "--data", "rows.jsonl", "-o", "out"]


def _wrong_kinds(base: Path, scratch: Path) -> Iterator[Case]:
    """Yield trainings and tasks that are given the rows of another kind."""
    names = list(KINDS)
    for name, kind in KINDS.items():
        for other in names:
            if other == name or kind.objective is None:
                continue
            given = ["--data", str(scratch / f"{other}.jsonl"), "-o", "out"]
            build = partial(_given, [*_tuning(kind, base, ["--lora"]), *given])
            yield Case(f"{name} learned from {other}", build, HELD, seconds=SECONDS)


def _given(command: Sequence[str], _folder: Path) -> Sequence[str]:
    return command


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
