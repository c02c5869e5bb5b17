"""Places of a model in GGUF: sequences of one context of llama.cpp, all of which one call of it computes."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.core.cores import num_threads
from llmkit.runtimes import Ids, _llama_c
from llmkit.runtimes._llama_model import AT_A_TIME, CACHES
from llmkit.runtimes._places import Places, Speller, shares
from llmkit.runtimes._prefixes import common

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.runtimes._llama_model import LlamaModel

CHUNK = 128
"""Tokens that are computed together: attention without flash holds as many rows of scores over all positions."""
CELLS = 256
"""llama.cpp rounds the positions of a sequence up to a multiple of so many."""
USUAL = 2048
"""Positions that a place has at least, if the model has as many: rather fewer places than shorter texts."""


class LlamaPlaces(Places):
    """Sequences of a context; what is left of one that has ended is read again by the next that begins alike.

    Args:
        model: The file; its own context is not touched.
        most: Texts at once.
        tokens: Positions of all of them together; each has the same share. In one pool of positions, which llama.cpp
            has as well, texts are computed otherwise beside others: logits of SmolLM2-135M in Q4_1 were 0.47 apart,
            and are equal bit by bit where each has its own.

    Raises:
        MemoryError: There is none for so many positions.
    """

    def __init__(self, model: LlamaModel, most: int, tokens: int) -> None:
        self.model, self.lib = model, model.lib
        self.most = max(1, min(most, tokens // min(model.positions, USUAL)))
        self.longest = min(max(1, tokens // self.most // CELLS), -(-model.positions // CELLS)) * CELLS
        self.tokens = self.most * self.longest
        params = self.lib.llama_context_default_params()
        flash = model.cache == "float16"  # it rounds to float16; with it one pool changes nothing, and is read faster
        params.n_ctx, params.n_seq_max, params.kv_unified = self.tokens, self.most, flash
        params.n_batch, params.n_ubatch = AT_A_TIME, AT_A_TIME if flash else CHUNK
        params.n_outputs_max = max(self.most, AT_A_TIME)
        params.type_k = params.type_v = CACHES[model.cache]
        params.flash_attn_type = int(flash)
        params.n_threads = params.n_threads_batch = num_threads()
        _llama_c.listen()
        self.context: Any = self.lib.llama_init_from_model(model.handle, params)
        if not self.context:
            raise MemoryError(f"llama.cpp makes no room for {self.tokens:,} tokens: {model.said()}")
        self.memory = self.lib.llama_get_memory(self.context)
        self.batch = self.lib.llama_batch_init(AT_A_TIME, 0, 1)
        self.taken = []
        self._held: dict[int, list[int]] = {number: [] for number in range(self.most)}
        """Ids in each sequence, of texts and of what is left of those that have ended; the latest are last."""
        self._sequence: dict[int, int] = {}
        self._prompts: dict[int, Ids] = {}
        """Those that are not read to their end."""

    @property
    def reading(self) -> list[int]:
        """Keys, the first that came first."""
        return [*self._prompts]

    def cost(self, lengths: Sequence[int]) -> int:
        """Return the positions of so many places, however long the texts are."""
        return len(lengths) * self.longest

    def begin(self, keys: Sequence[int], prompts: Sequence[Ids], lengths: Sequence[int]) -> None:  # noqa: ARG002
        """Give prompts the sequences that begin most like them."""
        for key, prompt in zip(keys, prompts, strict=True):
            self._sequence[key] = self._free(prompt)
            self._prompts[key] = prompt

    def read(self, budget: int) -> tuple[list[int], NDArray[np.float32]]:
        """Read on, several prompts in one call."""
        tokens: list[tuple[int, int, int, bool]] = []
        found: list[int] = []
        left = [len(prompt) - len(self._held[self._sequence[key]]) for key, prompt in self._prompts.items()]
        for (key, prompt), size in zip([*self._prompts.items()], shares(left, budget), strict=True):
            sequence = self._sequence[key]
            known = len(self._held[sequence])
            end = known + size
            self._held[sequence] += prompt[known:end]
            tokens += [(prompt[i], i, sequence, i == len(prompt) - 1) for i in range(known, end)]
            if end == len(prompt):
                del self._prompts[key]
                self.taken.append(key)
                found.append(key)
        return found, self._decode(tokens)

    def step(self, newest: Sequence[int]) -> NDArray[np.float32]:
        """Write one token more in every place."""
        tokens = []
        for key, token in zip(self.taken, newest, strict=True):
            sequence = self._sequence[key]
            tokens.append((token, len(self._held[sequence]), sequence, True))
            self._held[sequence].append(token)
        return self._decode(tokens)

    def leave(self, key: int) -> None:
        """Let go of a text; its keys and values stay until their room is needed."""
        if self._prompts.pop(key, None) is None:
            self.taken.remove(key)
        sequence = self._sequence.pop(key)
        self._held[sequence] = self._held.pop(sequence)

    def close(self) -> None:
        """Give the memory back."""
        if self.context:
            self.lib.llama_batch_free(self.batch)
            self.lib.llama_free(self.context)
        self.context = None

    def _free(self, prompt: Ids) -> int:
        """Return the free sequence that begins most like a prompt; it holds no more than that beginning."""
        busy = set(self._sequence.values())
        free = [number for number in self._held if number not in busy]
        alike = {number: common(tuple(self._held[number]), prompt[:-1]) for number in free}
        chosen = max(free, key=lambda number: (alike[number], not self._held[number]))
        self._forget(chosen, alike[chosen])
        return chosen

    def _forget(self, sequence: int, kept: int) -> None:
        """Forget the end of a sequence, or all of it where states cannot be gone back to."""
        if not self.lib.llama_memory_seq_rm(self.memory, sequence, kept, -1):
            self.lib.llama_memory_seq_rm(self.memory, sequence, -1, -1)
            kept = 0
        del self._held[sequence][kept:]

    def _decode(self, tokens: Sequence[tuple[int, int, int, bool]]) -> NDArray[np.float32]:
        found = [np.zeros((0, self.model.vocab_size), np.float32)]
        for begin in range(0, len(tokens), AT_A_TIME):
            part = tokens[begin : begin + AT_A_TIME]
            wanted = self._fill(part)
            if self.lib.llama_decode(self.context, self.batch):
                raise MemoryError(f"llama.cpp does not compute {len(part)} tokens: {self.model.said()}")
            if wanted:
                numbers = self.lib.llama_get_logits(self.context)
                found.append(np.ctypeslib.as_array(numbers, (wanted, self.model.vocab_size)).copy())
        return np.concatenate(found)

    def _fill(self, tokens: Sequence[tuple[int, int, int, bool]]) -> int:
        batch, size = self.batch, len(tokens)
        batch.n_tokens = size
        ids, places, sequences, wanted = zip(*tokens, strict=True)
        np.ctypeslib.as_array(batch.token, (size,))[:] = ids
        np.ctypeslib.as_array(batch.pos, (size,))[:] = places
        np.ctypeslib.as_array(batch.n_seq_id, (size,))[:] = 1
        np.ctypeslib.as_array(batch.logits, (size,))[:] = wanted
        for row, sequence in enumerate(sequences):
            batch.seq_id[row][0] = sequence
        return sum(wanted)


class PieceSpeller(Speller):
    """Text piece by piece, as llama.cpp's server writes it."""

    def __init__(self, model: LlamaModel) -> None:
        self.model = model
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: int) -> str:
        """Return what a token adds."""
        return self._bytes.decode(self.model.piece(token))

    def spelled(self, token: int) -> bytes:
        """Return the bytes of a token."""
        return self.model.piece(token)

    def rest(self) -> str:
        """Return what is still held back."""
        return self._bytes.decode(b"", final=True)
