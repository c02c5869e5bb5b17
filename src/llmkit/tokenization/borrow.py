"""Take a tokenizer made elsewhere: a directory, a file of any common format, or a name on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.core.errors import ConfigError, DataError, nearest
from llmkit.core.found import is_gguf
from llmkit.core.machine import raise_limit
from llmkit.core.manifest import MANIFEST, PARTIAL
from llmkit.modeling.gguf_header import read_header
from llmkit.modeling.gguf_tokenizer import read_tokenizer
from llmkit.modeling.sentencepiece_model import read_model
from llmkit.modeling.sentencepiece_pipeline import to_tokenizer
from llmkit.modeling.tokenizer import TOKENIZER_FILE, load_tokenizer
from llmkit.tokenization import byte_ranks
from llmkit.tokenization.byte_ranks import END_OF_TEXT
from llmkit.tokenization.trainers._patterns import Pattern, byte_level

if TYPE_CHECKING:
    from tokenizers import models
    from transformers import PreTrainedTokenizerFast

CONFIG_FILE = "tokenizer_config.json"
MODEL_FILES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
OTHER_FILES = ("special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "vocab.txt", "config.json")
PAIR = ("vocab.json", "merges.txt")
FILES = (TOKENIZER_FILE, CONFIG_FILE, *OTHER_FILES, *PAIR, *MODEL_FILES, "*.tiktoken")
"""What of a directory belongs to its tokenizer; `config.json` names the model, and that the class of the tokenizer."""
FORMATS = f"{TOKENIZER_FILE}, a SentencePiece .model, vocab.json with merges.txt, a .tiktoken or a .gguf file"
PATTERNS: dict[str, Pattern] = {"cl100k": "llama3", "o200k": "o200k", "qwen": "qwen2", "r50k": "gpt2", "p50k": "gpt2"}
"""Beginning of a tiktoken file's name -> the expression it goes with; the file itself does not tell."""


def locate(path: str) -> Path:
    """Return the directory or file that a path or hub name stands for; what is on the hub is downloaded.

    Raises:
        DataError: There is no such place.
    """
    place = Path(path).expanduser()
    if place.exists():
        return place
    has_folder = place.parent != Path() and place.parent.is_dir()
    beside = [entry.name for entry in place.parent.iterdir()] if place.parent.is_dir() else []
    if has_folder or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path):
        raise DataError(f"tokenizer '{path}' does not exist{_close(place.name, beside)}", f"ls {place.parent}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(path, allow_patterns=list(FILES)))
    except Exception as error:
        raise_limit(error)
        # Any exception: no network, a proxy, no such name and no permission each raise their own.
        raise DataError(
            f"tokenizer '{path}': no such directory or file{_close(place.name, beside)}, and the hub does not give it "
            f"({_first_line(error)})",
            f"check the path, or where there is a network: hf download {path} --include 'token*' --local-dir DIR",
        ) from error


def tokenizer_files(place: Path) -> list[Path]:
    """Return what a tokenizer is made of: one of our artifacts, or the files that count without the model's weights.

    Raises:
        DataError: There is no tokenizer in the directory.
    """
    if place.is_file() and place.name == TOKENIZER_FILE and (place.parent / CONFIG_FILE).is_file():
        return tokenizer_files(place.parent)  # what `load` reads
    if place.is_file():
        pair = [place.parent / name for name in PAIR if place.name in PAIR]
        return [file for file in pair if file.is_file()] or [place]
    if (place / MANIFEST).is_file() or (place / PARTIAL).is_dir():
        return [place]
    found = sorted({file for name in FILES for file in place.glob(name) if file.is_file()})
    if not found:
        raise DataError(f"'{place}' holds no tokenizer", f"name a directory with {FORMATS}")
    return found


def load(place: Path, pattern: Pattern | None = None) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a directory or a file.

    Args:
        place: What `locate` returned.
        pattern: How a tiktoken file, or vocab.json with merges.txt, cuts text; None for what the name tells.

    Raises:
        ConfigError: A tiktoken file that needs `pattern`.
        DataError: There is no tokenizer in it, or one that cannot be used.
    """
    if place.is_file():
        return _load_file(place, pattern)
    if (place / TOKENIZER_FILE).is_file() or (place / CONFIG_FILE).is_file():
        return load_tokenizer(place)
    if all((place / name).is_file() for name in PAIR):
        return _load_pair(place, pattern)
    files = [place / name for name in MODEL_FILES if (place / name).is_file()] or sorted(place.glob("*.tiktoken"))
    if not files:
        raise DataError(f"'{place}' holds no tokenizer", f"name a directory with {FORMATS}")
    return _load_file(files[0], pattern)


def sentencepiece_file(place: Path) -> Path | None:
    """Return the SentencePiece model that `load` reads, if it is one that it reads."""
    if place.is_dir():
        if any((place / name).is_file() for name in (TOKENIZER_FILE, CONFIG_FILE)):
            return None
        if all((place / name).is_file() for name in PAIR):
            return None
        place = next((place / name for name in MODEL_FILES if (place / name).is_file()), place)
    if place.suffix != ".model" or byte_ranks.looks_like_ranks(place.read_bytes()):
        return None
    return place


def _load_file(file: Path, pattern: Pattern | None) -> PreTrainedTokenizerFast:
    if file.name == TOKENIZER_FILE and (file.parent / CONFIG_FILE).is_file():
        return load_tokenizer(file.parent)  # the file beside it names the EOS
    if file.name in PAIR:
        return _load_pair(file.parent, pattern)
    if file.suffix == ".json":
        return _load_json(file)
    if is_gguf(file):
        return read_tokenizer(read_header(file))
    content = file.read_bytes()
    if byte_ranks.looks_like_ranks(content):
        return _load_ranks(content, file, pattern)
    if file.suffix == ".model":
        return to_tokenizer(read_model(content, str(file)))
    raise DataError(f"'{file}' is not a tokenizer of a known format", f"name {FORMATS}, or their directory")


def _load_json(file: Path) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    try:
        backend = Tokenizer.from_file(str(file))
    except Exception as error:  # `tokenizers` raises bare Exception
        raise_limit(error)
        raise DataError(f"{file} cannot be read as a {TOKENIZER_FILE}: {_first_line(error)}") from error
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False)


def _load_pair(folder: Path, pattern: Pattern | None) -> PreTrainedTokenizerFast:
    """Load the two files of GPT-2."""
    from tokenizers import models

    vocabulary, merges = (folder / name for name in PAIR)
    for file, other in ((vocabulary, merges), (merges, vocabulary)):
        if not file.is_file():
            raise DataError(f"{other} needs {file.name} beside it, which is missing", f"ls {folder}")
    try:
        model = models.BPE.from_file(str(vocabulary), str(merges))
    except Exception as error:  # `tokenizers` raises bare Exception
        raise_limit(error)
        raise DataError(f"{vocabulary} and {merges.name} cannot be read: {_first_line(error)}") from error
    return _byte_level(model, pattern or "gpt2")


def _load_ranks(content: bytes, file: Path, pattern: Pattern | None) -> PreTrainedTokenizerFast:
    """Load a tiktoken file."""
    named = next((known for name, known in PATTERNS.items() if file.name.startswith(name)), None)
    pattern = pattern or named
    if pattern is None:
        raise ConfigError(
            f"tokenizer.pattern: {file} is a tiktoken file, which does not tell how text is cut into words",
            "set tokenizer.pattern=llama3 for cl100k and Llama 3, qwen2, o200k or gpt2",
        )
    return _byte_level(byte_ranks.to_model(byte_ranks.read_ranks(content, str(file))), pattern)


def _byte_level(model: models.BPE, pattern: Pattern) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(model)
    backend.pre_tokenizer = byte_level(pattern, "pattern", "pattern")
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    names = {}
    if backend.token_to_id(END_OF_TEXT) is not None:
        names = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT}
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **names)


def _close(name: str, names: Iterable[str]) -> str:
    found = nearest(name, names)
    return found if "did you mean" in found else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
