"""Recognize by a cheap look what a path holds that a stage cannot read, and say the line that makes what is wanted.

The look is at names, at the first bytes of a file, and at the first row of the first file of rows.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import shlex
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from llmkit.core.registry import Family

HEAD_BYTES = 1 << 16
FILES_SEEN = 200
"""Of a folder with more, the first so many are looked at."""
ROWS = (".jsonl", ".jsonlines", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".pq", ".arrow")
TEXTS = (".txt", ".text", ".md", ".markdown", ".html", ".htm", ".xhtml", ".xml", ".warc", ".wet")
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
OPENERS: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
GGUF_MAGIC = b"GGUF"
HUB = re.compile(r"(?:https?://huggingface\.co/)?(?:datasets/)?([\w.-]{1,96}(?:/[\w.-]{1,96})?)/?", re.ASCII)

WORDS = {
    "preferences": "preferences, rows of chosen and rejected",
    "ids": "ids of another tool's tokenizer",
    "text": "text",
    "rows": "rows of a table",
    "gguf": "GGUF, the weights of llama.cpp",
    "weights": "weights alone",
    "adapter": "a LoRA adapter, not a whole model",
    "checkpoint": "a checkpoint of a run",
    "tokenizer": "a tokenizer without a model",
    "hf_model": "a model of transformers",
}
"""What is recognized beside kinds of labelled rows, in words."""


def in_words(found: str) -> str:
    """Return what was recognized, in words."""
    return WORDS.get(found) or f"labelled rows, {found}"


def recognize(path: str | Path) -> str | None:
    """Return the key of `WORDS`, or the kind of labelled rows, that a path holds; None for all else."""
    place = Path(path).expanduser()
    try:
        return _of_folder(place) if place.is_dir() else _of_file(place) if place.is_file() else None
    except (OSError, ValueError, EOFError, RecursionError, lzma.LZMAError, zlib.error, csv.Error):
        return None


def is_gguf(path: str | Path) -> bool:
    """Tell whether a path is of a file in GGUF, by its name or by how it begins; it need not be a whole one."""
    file = Path(path)
    if not file.is_file():
        return False
    if file.suffix.lower() == ".gguf":
        return True
    with file.open("rb") as opened:  # as ollama keeps them: named by their digest
        return opened.read(len(GGUF_MAGIC)) == GGUF_MAGIC


def _of_folder(folder: Path) -> str | None:
    names = {entry.name for entry, _ in zip(folder.iterdir(), range(FILES_SEEN), strict=False)}
    suffixes = {Path(name).suffix for name in names}
    if "adapter_config.json" in names:
        return "adapter"
    if "config.json" in names and "model_type" in _object(folder / "config.json"):
        return "hf_model"
    if {"optimizer.pt", "trainer_state.json", "complete.json"} & names and suffixes & {*WEIGHTS}:
        return "checkpoint"
    if ".gguf" in suffixes:
        return "gguf"
    if {"tokenizer.json", "tokenizer.model"} & names:
        return "tokenizer"
    if ".safetensors" in suffixes:
        return "weights"
    for saved in (folder, *(folder / name for name in sorted(names))):  # `save_to_disk` of a dataset, or of a dict
        if (saved / "dataset_info.json").is_file():
            return _of_row(_object(saved / "dataset_info.json").get("features") or {})
    files = (folder / name for name in sorted(names) if not name.startswith((".", "README")))
    found = (_of_file(file) if file.is_file() else None for file in files)
    return next((kind for kind in found if kind is not None), None)


def _object(file: Path) -> dict[str, Any]:
    value = json.loads(file.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}


def _of_file(file: Path) -> str | None:
    codec = file.suffix.lower() if file.suffix.lower() in OPENERS else ""
    suffix = Path(file.stem).suffix.lower() if codec else file.suffix.lower()
    if suffix in WEIGHTS:
        return "weights"
    if suffix in TEXTS:
        return "text"
    opened = OPENERS[codec](file) if codec else file.open("rb")
    with cast("BinaryIO", opened) as stream:
        head = stream.read(HEAD_BYTES)
    if head.startswith(GGUF_MAGIC):
        return "gguf"
    if suffix not in ROWS:
        return None
    row = _first_row(head.decode("utf-8-sig", "replace"), suffix)
    return "rows" if row is None else _of_row(row)


def _first_row(text: str, suffix: str) -> dict[str, Any] | None:
    """Return the first row; None for a format that is no text."""
    if suffix in (".csv", ".tsv"):
        table = csv.reader(io.StringIO(text), delimiter="\t" if suffix == ".tsv" else ",")
        names = next(table, [])
        return dict(zip(names, next(table, [""] * len(names)), strict=False))
    if suffix in (".parquet", ".pq", ".arrow"):
        return None
    if '"qas"' in text and '"context"' in text:  # SQuAD's file, which is one object
        return dict.fromkeys(("question", "context", "answers"))
    value, _ = json.JSONDecoder().raw_decode(text.lstrip("[ \t\r\n"))
    return value if isinstance(value, dict) else None


def _of_row(row: Iterable[str]) -> str:
    """Recognize a row by the names of its columns."""
    names = {name.lower() for name in row}
    if {"chosen", "rejected"} <= names:
        return "preferences"
    if "input_ids" in names:
        return "ids"
    fields: dict[str, int] = {}
    for kind in Family("row").members():
        part: Any = Family("row").load(kind)
        needed = [aliases for field, aliases in part.aliases.items() if field not in part.optional]
        if all(names & {*aliases} for aliases in needed):
            fields[kind] = len(needed)
    if fields:  # of several the one that reads most of the row
        return max(fields, key=lambda kind: fields[kind])
    return "text" if "text" in names else "rows"


def hub_name(path: str | Path) -> str | None:
    """Return the name on the Hugging Face hub that a path may be that is not there: `org/name`, or just a name."""
    text = str(path)
    found = HUB.fullmatch(text)
    if found is None or Path(text).exists() or ("/" in found[1] and Path(text).parent.exists()):
        return None
    return None if Path(text).suffix in (*ROWS, *TEXTS, *WEIGHTS, ".gguf", ".gz", ".yaml", ".yml") else found[1]


def way(found: str, wanted: Sequence[str], path: str | Path, role: str = "data") -> str | None:
    """Return what to type, to come from what is there to what is wanted.

    Args:
        found: What `recognize` says, a kind of artifact, or `hub` for a name on the hub.
        wanted: The kinds of artifacts that are read.
        path: Where it is, or its name on the hub.
        role: The config field that names it.
    """
    there = shlex.quote(str(path))
    after = {"data": "--data DIR", "inputs": "-i DIR", "model": "--model DIR"}.get(role, f"{role}: DIR")
    table = next((ways for kind, ways in _WAYS.items() if kind in wanted), {})
    lines = {kind: line for kinds, line in table.items() for kind in kinds.split()}
    line = lines.get("labelled" if found == "examples" or found in Family("row").members() else found)
    return line and line.replace("{path}", there).replace("{raw}", str(path)).replace("{then}", f"then {after}")


_HUB = "'inputs=[{type: hf, path: {raw}}]'"
_TO_MODEL = {
    "gguf": "a model in GGUF is named by its file: {path}/NAME.gguf",
    "adapter": "an adapter is named as a model is: {then}; llmkit export --model {path} -o DIR merges it into its base",
    "hub": "llmkit reads models from directories: hf download {path} --local-dir DIR, {then}",
    "tokens": "llmkit pretrain -s model=llama-7m --data {path} -o DIR makes a model, {then}",
    "corpus text": "llmkit tokenize -i {path} -o TOKENS, llmkit pretrain -s model=llama-7m --data TOKENS -o DIR,"
    " {then}",
    "labelled preferences": "rows are --data: llmkit finetune --data {path} --model MODEL",
    "export": "an export goes no further: llmkit lineage {path} names the model that it was made of",
    "index": 'passages are found by llmkit search {path} "...", answers come from llmkit chat MODEL --documents {path}',
    "weights": "a model is a directory with config.json, *.safetensors and a tokenizer: name that",
    "checkpoint": "name the model's directory, which holds config.json; llmkit pretrain --init-from {path} takes a"
    " checkpoint's weights",
    "tokenizer": "llmkit tokenize -i TEXT --tokenizer {path} -o TOKENS, llmkit pretrain -s model=llama-7m --data TOKENS"
    " -o DIR, {then}",
}
_WAYS: Mapping[str, Mapping[str, str]] = {
    "tokens": {
        "text corpus": "llmkit tokenize -i {path} -o DIR, {then}",
        "rows": "llmkit tokenize -i {path} -s inputs.0.text_field=COLUMN -o DIR, {then}",
        "labelled preferences": "llmkit finetune --data {path} --model MODEL -o DIR trains on rows",
        "ids": "ids mean nothing without their tokenizer: llmkit tokenize -i TEXT --tokenizer TOKENIZER -o DIR, {then}",
        "hub": f"llmkit tokenize -s {_HUB} -o DIR, {{then}}",
        "hf_model model export": "a model is --model {path}; for --data: llmkit tokenize -i TEXT --tokenizer {path}"
        " -o DIR, {then}",
        "tokenizer": "llmkit tokenize -i TEXT --tokenizer {path} -o DIR, {then}",
    },
    "examples": {
        "ids": "llmkit finetune encodes the texts itself: name the rows that the ids were made of",
        "preferences": "training on preferences is not there yet; -s columns.completion=chosen learns the better ones",
        "text corpus": "text has no answers to learn; -s objective=causal_lm goes on with a model on text",
        "labelled": "llmkit clean --row auto -i {path} -o DIR, {then}",
        "rows": "llmkit clean --row NAME --column FIELD=COLUMN -i {path} -o DIR, {then}",
        "tokens": "tokens are documents, not rows; -s objective=causal_lm goes on with a model on them",
        "hf_model model export gguf": "a model is --model {path}; --data are labelled rows",
        "hub": "a dataset of the Hugging Face hub: -s 'data=[{type: hf, path: {raw}}]'",
        "predictions": "their rows are read as those of any table: '{raw}/data-*.parquet'",
    },
    "corpus": {
        "text": "llmkit clean -i {path} -o DIR, {then}",
        "rows": "llmkit clean --text-field COLUMN -i {path} -o DIR, {then}",
        "labelled preferences": "llmkit finetune --data {path} --model MODEL -o DIR trains on rows",
        "tokens": "llmkit pretrain -s model=llama-7m --data {path} -o DIR trains on tokens",
        "hf_model model export": "a model is no text; llmkit tokenize -i TEXT --tokenizer {path} takes its tokenizer",
        "tokenizer": "a tokenizer is no text; llmkit tokenize -i TEXT --tokenizer {path} takes it",
        "hub": f"a dataset of the Hugging Face hub: -s {_HUB}",
        "predictions": "their rows are read as those of any table: '{raw}/data-*.parquet'",
    },
    "model": _TO_MODEL,
    "index": {
        "text corpus rows labelled preferences": "llmkit index -i {path} -o DIR makes one, to be named instead",
        "hf_model model export": "llmkit index -i TEXTS --model {path} -o DIR makes one with the model's vectors",
        "predictions": "llmkit index -i '{raw}/data-*.parquet' -o DIR makes one, to be named instead",
        "tokens": "llmkit lineage {path} names those of the tokens; llmkit index -i TEXTS -o DIR",
    },
}
"""By what is wanted: keys of what is there, and the line that leads from one to the other."""
