"""Small translators as transformers saves them: SentencePiece models trained here, and tokens of languages."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers

KINDS = ("marian", "m2m_100", "nllb", "mbart", "mbart50")
LANGUAGES = {"m2m_100": ("en", "fr"), "nllb": ("eng_Latn", "fra_Latn"),
             "mbart": ("en_XX", "fr_XX"), "mbart50": ("en_XX", "fr_XX")}  # fmt: skip
SIZES = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64,
    "dropout": 0.0,
}  # fmt: skip


def train(file: Path, texts: Sequence[str], kind: str) -> list[tuple[str, float]]:
    """Train a SentencePiece model; return its pieces and their scores."""
    made, size = io.BytesIO(), max(60, len(set("".join(texts))) + 20)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=made, vocab_size=size, model_type=kind, hard_vocab_limit=False,
        minloglevel=2, num_threads=1,
    )  # fmt: skip
    file.write_bytes(made.getvalue())
    model = sentencepiece.SentencePieceProcessor()
    model.Load(str(file))
    return [(model.IdToPiece(i), model.GetScore(i)) for i in range(len(model))]


def save_tokenizer(folder: Path, kind: str, sources: Sequence[str], targets: Sequence[str]) -> Any:
    """Save the tokenizer of a kind, trained on some texts, and return it."""
    folder.mkdir(parents=True)
    spm, vocab = folder / "a.model", folder / "a.json"
    both = [*sources, *targets]
    if kind == "marian":
        pieces = train(spm, sources, "unigram") + train(folder / "b.model", targets, "unigram")
        names = dict.fromkeys(["</s>", "<unk>", ">>fr<<", *(text for text, _ in pieces), "<pad>"])
        vocab.write_text(json.dumps({text: i for i, text in enumerate(n for n in names if n != "<s>")}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made: Any = transformers.MarianTokenizer(str(spm), str(folder / "b.model"), str(vocab))
    elif kind == "m2m_100":
        names = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *(text for text, _ in train(spm, both, "bpe"))])
        vocab.write_text(json.dumps({text: i for i, text in enumerate(names)}))
        made = transformers.M2M100Tokenizer(str(vocab), str(spm))
    else:
        first = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
        pieces = train(spm, both, "unigram")
        if kind == "nllb":
            vocabulary = {text: i for i, (text, _) in enumerate([*first, *pieces[3:]])}
            made = transformers.NllbTokenizer(vocab=vocabulary, merges=[])
        elif kind == "mbart50":
            made = transformers.MBart50Tokenizer(vocab=pieces)
        else:
            codes = transformers.models.mbart.tokenization_mbart.FAIRSEQ_LANGUAGE_CODES
            made = transformers.MBartTokenizer(vocab=[*first, *pieces[3:], *((c, 0.0) for c in codes), ("<mask>", 0.0)])
    made.save_pretrained(folder)
    for file in (spm, vocab, folder / "b.model"):
        file.unlink(missing_ok=True)
    return made


def save_translator(folder: Path, kind: str, sources: Sequence[str], targets: Sequence[str]) -> Path:
    """Save a model of random weights beside its tokenizer."""
    tokenizer = save_tokenizer(folder, kind, sources, targets)
    arch = {"nllb": "m2m_100", "mbart50": "mbart"}.get(kind, kind)
    start = tokenizer.pad_token_id if kind == "marian" else tokenizer.eos_token_id
    size = max(len(tokenizer), *tokenizer.get_vocab().values()) + 110  # M2M-100's languages come behind
    config = transformers.AutoConfig.for_model(
        arch, vocab_size=size, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id, decoder_start_token_id=start,
        forced_eos_token_id=tokenizer.eos_token_id, **SIZES,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    if kind == "marian":  # as all of Marian's have it
        model.generation_config.bad_words_ids = [[tokenizer.pad_token_id]]
    model.save_pretrained(folder)
    return folder
