"""A GGUF file as llama.cpp has it loaded: text to ids and back, logits and vectors of rows of ids."""

from __future__ import annotations

import ctypes as c
import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmkit.core.cores import num_threads
from llmkit.core.errors import DataError
from llmkit.runtimes import _llama_c
from llmkit.runtimes._llama_c import library

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRESH = "export the model again: `llmkit export --model MODEL --format gguf -o DIR`"
CACHES = {"float32": 0, "float16": 1}
"""ggml's numbers of the formats that keys and values are kept in."""
LEAST = 256
"""Positions that a context has room for at least; a longer row gets one of twice the size."""
PIECE = 64
"""Bytes of a token that most fit into."""
AT_A_TIME = 512
"""Tokens of a row that are computed together, as llama.cpp does by itself."""


class LlamaModel:
    """A loaded file.

    Args:
        file: The file.
        cache: Number format of keys and values.

    Raises:
        DataError: llama.cpp does not load it; the words are its own.
        SetupError: It is not installed.
    """

    def __init__(self, file: str, cache: Literal["float32", "float16"] = "float32") -> None:
        self.lib, self.file, self.cache = library(), file, cache
        _llama_c.listen()
        self.handle = self.lib.llama_model_load_from_file(os.fsencode(file), self.lib.llama_model_default_params())
        if not self.handle:
            raise DataError(f"llama.cpp does not load {file}: {self.said()}", FRESH)
        self.vocab = self.lib.llama_model_get_vocab(self.handle)
        self._context: Any = None
        self._batch: Any = None
        self._room = self._used = 0

    @cached_property
    def positions(self) -> int:
        """Longest row that the file says it was trained for."""
        return int(self.lib.llama_model_n_ctx_train(self.handle))

    @cached_property
    def vocab_size(self) -> int:
        """Rows of its embedding."""
        return int(self.lib.llama_vocab_n_tokens(self.vocab))

    @cached_property
    def width(self) -> int:
        """Numbers of a token's vector."""
        return int(self.lib.llama_model_n_embd(self.handle))

    @cached_property
    def token_bytes(self) -> int:
        """Bytes of a token's keys and values."""
        arch = self.setting("general.architecture")

        def number(name: str, default: int = 0) -> int:
            found = self.setting(f"{arch}.{name}") or ""
            return int(found) if found.isdigit() else default

        heads = number("attention.head_count", 1)
        size = self.width // heads
        sizes = number("attention.key_length", size) + number("attention.value_length", size)
        each = number("attention.head_count_kv", heads) * sizes
        return number("block_count", 1) * each * (4 if self.cache == "float32" else 2)

    @cached_property
    def writes(self) -> bool:
        """Whether it writes text; else it makes vectors."""
        return self.setting("general.architecture") != "bert"

    @cached_property
    def ends(self) -> frozenset[int]:
        """Ids at which llama.cpp stops: those that the file names, and those that it knows by their text."""
        return frozenset(i for i in range(self.vocab_size) if self.lib.llama_vocab_is_eog(self.vocab, i))

    @property
    def bos(self) -> int | None:
        """The id that a text begins with."""
        found = int(self.lib.llama_vocab_bos(self.vocab))
        return None if found < 0 else found

    @property
    def eos(self) -> int | None:
        """The id that a text ends with."""
        found = int(self.lib.llama_vocab_eos(self.vocab))
        return None if found < 0 else found

    @property
    def adds_bos(self) -> bool:
        """Whether BOS is put before a text."""
        return bool(self.lib.llama_vocab_get_add_bos(self.vocab))

    @property
    def template(self) -> str | None:
        """Its chat template."""
        found = self.lib.llama_model_chat_template(self.handle, None)
        return None if found is None else str(found.decode())

    def setting(self, name: str) -> str | None:
        """Return a setting of the file as text."""
        buffer = c.create_string_buffer(1 << 12)
        size = self.lib.llama_model_meta_val_str(self.handle, name.encode(), buffer, len(buffer))
        return None if size < 0 else buffer.value.decode()

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text; special tokens in it are known, and those that belong around it are put there."""
        data = text.encode()
        room = len(data) + 16
        for _ in range(2):
            found = (c.c_int32 * room)()
            count = self.lib.llama_tokenize(self.vocab, data, len(data), found, room, True, True)
            if count >= 0:
                return list(found[:count])
            room = -count
        raise DataError(
            f"llama.cpp does not read a text of {len(data):,} bytes with the tokenizer in {self.file}", FRESH
        )

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without special tokens: piece by piece, as llama.cpp's server writes it."""
        return b"".join(self.piece(i) for i in ids).decode("utf-8", "replace")

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; none of a special one."""
        room = PIECE
        for _ in range(2):
            buffer = c.create_string_buffer(room)
            size = self.lib.llama_token_to_piece(self.vocab, token, buffer, room, 0, False)
            if size >= 0:
                return buffer.raw[:size]
            room = -size
        return b""

    def start(self, ids: Sequence[int], room: int, wanted: slice = slice(None)) -> NDArray[np.float32]:
        """Compute a row from its beginning.

        Args:
            ids: The row.
            room: Positions that it will take up in the end.
            wanted: Whose logits are returned.

        Returns:
            `[wanted, vocabulary]`.

        Raises:
            MemoryError: There is none for so long a row.
        """
        self._make_room(max(room, len(ids)))
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self._context), True)
        self._used = 0
        return self.go_on(ids, wanted)

    def go_on(self, ids: Sequence[int], wanted: slice = slice(-1, None)) -> NDArray[np.float32]:
        """Compute tokens behind those that have been; see `start`."""
        count = self._fill(ids, wanted)
        if self.lib.llama_decode(self._context, self._batch):
            raise MemoryError(f"llama.cpp does not compute {len(ids)} tokens: {self.said()}")
        self._used += len(ids)
        found = self.lib.llama_get_logits(self._context)
        return np.ctypeslib.as_array(found, (count, self.vocab_size)).copy()

    def vector(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the vector of a row `[width]`, pooled as the file says."""
        self._make_room(len(ids))
        self._used = 0
        self._fill(ids, slice(None))
        if self.lib.llama_encode(self._context, self._batch):
            raise MemoryError(f"llama.cpp does not compute {len(ids)} tokens: {self.said()}")
        found = self.lib.llama_get_embeddings_seq(self._context, 0)
        if not found:
            raise DataError(f"{self.file} says no way of pooling (pooling_type), and llama.cpp gives no vector", FRESH)
        return np.ctypeslib.as_array(found, (self.width,)).copy()

    def close(self) -> None:
        """Give the memory back."""
        self._forget()
        if self.handle:
            self.lib.llama_model_free(self.handle)
        self.handle = None

    def _fill(self, ids: Sequence[int], wanted: slice) -> int:
        """Put tokens into the batch; return of how many the logits are wanted."""
        batch, size = self._batch, len(ids)
        batch.n_tokens = size
        asked = np.zeros(size, np.int8)
        asked[wanted] = 1
        np.ctypeslib.as_array(batch.token, (size,))[:] = ids
        np.ctypeslib.as_array(batch.pos, (size,))[:] = range(self._used, self._used + size)
        np.ctypeslib.as_array(batch.n_seq_id, (size,))[:] = 1
        np.ctypeslib.as_array(batch.logits, (size,))[:] = asked
        for row in range(size):
            batch.seq_id[row][0] = 0
        return int(asked.sum())

    def _make_room(self, needed: int) -> None:
        if needed <= self._room:
            return
        self._forget()
        room = max(LEAST, 1 << (needed - 1).bit_length())
        params = self.lib.llama_context_default_params()
        params.n_ctx = params.n_batch = room
        params.n_ubatch = min(AT_A_TIME, room) if self.writes else room  # an encoder sees a row as a whole
        params.type_k = params.type_v = CACHES[self.cache]
        params.flash_attn_type = 0  # it rounds to float16
        params.embeddings = not self.writes
        params.n_threads = params.n_threads_batch = num_threads()
        _llama_c.listen()
        self._context = self.lib.llama_init_from_model(self.handle, params)
        if not self._context:
            raise MemoryError(f"llama.cpp makes no room for {room} tokens: {self.said()}")
        self._batch, self._room = self.lib.llama_batch_init(room, 0, 1), room

    def _forget(self) -> None:
        if self._context:
            self.lib.llama_batch_free(self._batch)
            self.lib.llama_free(self._context)
        self._context, self._room = None, 0

    def said(self) -> str:
        """Return why the last call has failed, in llama.cpp's own words."""
        return "; ".join(dict.fromkeys(_llama_c.errors)) or "it says no reason"
