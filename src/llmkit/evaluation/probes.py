"""What a model and its export are asked: rows of ids, texts to read, and conversations to render.

Random ids are text that no model knows by heart, and every row of its embedding is as likely as any other; what is left
of a language model by rounding shows on text alone. One row is long: positions that turn otherwise, or a window of
attention that is missing, change nothing in 32 tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmkit.runtimes import Embed, Generate, Ids, Logits, Request, Turns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Head

SHORT, LONG, TEXT = 32, 160, 128
"""Tokens of random rows, of the long one, and of text; fewer where a model has fewer positions."""
BEHIND_WINDOW = 64
"""Tokens of the long row behind the window of attention, of models that have one of 1,024 positions at most."""
WIDEST_WINDOW = 1024
MOST_NUMBERS = 2**26
"""Logits of all rows of text together, 256 MB in float32; a larger vocabulary makes them shorter."""
MOST_LONG = 2**28
KEPT = 192
"""Positions of a row whose logits are compared: of longer rows the last ones."""
POSITIONS = 2048
"""Of a model that does not say."""
TEXTS = (
    "The ferry leaves at 9:45, doesn't it?", "def half(x):\n\treturn x / 2  # x >= 0", "  Two  blanks, a line\r\n\n",
    "渡轮上午九点四十五分开。", "Zoë paid €1,234.50 – naïve… 👩‍🚀",
    "1234567890 3.14159 -17 1e-9 0xFF 2026-11-30", "👨‍👩‍👧‍👦🇩🇪🏳️‍🌈👍🏽 ok",
    "“全角”ＡＢＣ１２３，标点！《书》 mixed 中英文",
    "for (int i = 0; i < n; ++i) {\n    a[i] += b[i] >> 2; // ok\n}\n", "İstanbul ŒUVRE ﬁne e\u0301 한국어 ไทย עברית",
)  # fmt: skip
"""What both tokenizers read: words, numbers, code, blanks, scripts, signs of several bytes, and sequences of them."""
PROSE = (
    "The river rises in the hills north of the town and runs for forty miles before it meets the sea. Boats once"
    " carried grain and coal along it, and the old warehouses by the bridge are still there, most of them as flats.",
    "这条河发源于城北的山里，流了四十多公里才入海。从前船只沿河运送粮食和煤炭，桥边的旧仓库至今还在，"
    "如今大多改成了住宅。春天水位上涨的时候，两岸的小路常常被淹没。",
    "def mean(values):\n    total = 0.0\n    for value in values:\n        total += value\n    return total"
    " / len(values)\n\n\nif __name__ == '__main__':\n    print(mean([1, 2, 3.5]))\n",
    "Question: how many minutes are there in a day? A day has 24 hours and an hour has 60 minutes, so there are 24 * 60"
    " = 1440 minutes in a day. In a week there are 7 * 1440 = 10080 of them.",
)  # fmt: skip
"""Asked of a model of which no text is known that was held out from its training."""
CHATS: tuple[Turns, ...] = (
    ({"role": "user", "content": "What is 7 * 8?"},),
    (
        {"role": "system", "content": "Be brief.\n"}, {"role": "user", "content": "  渡轮几点开？🚢 "},
        {"role": "assistant", "content": "\n九点四十五分。\n\n"}, {"role": "user", "content": "<b>Thanks</b> & 'bye'"},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row of ids.

    Attributes:
        ids: The ids.
        num_bytes: UTF-8 bytes of the text that they are, without the first one; 0 for random ids.
    """

    ids: Ids
    num_bytes: int = 0


@dataclass(frozen=True)
class Probes:
    """What is asked.

    Attributes:
        rows: What logits are asked of.
        requests: All requests: logits of the rows, then what follows them, of models that write; vectors of texts.
        texts: What is read.
        chats: What is rendered, each with and without the beginning of an answer.
        kept: Positions of a row whose logits are compared, the last ones; None for all.
        timed: The runtime is timed as it writes behind this prompt; none for nothing.
    """

    rows: Sequence[Row]
    requests: Sequence[Request]
    texts: Sequence[str] = ()
    chats: Sequence[Turns] = ()
    kept: int | None = None
    timed: Ids = ()

    def without(self, leaves_out: Callable[[str], bool]) -> Probes:
        """Return the same without texts that an export is known to read otherwise."""
        asked = [each for each in self.requests if not (isinstance(each, Embed) and leaves_out(each.text))]
        return replace(self, requests=asked, texts=[text for text in self.texts if not leaves_out(text)])


def probes(
    config: PreTrainedConfig, head: Head, tokenizer: PreTrainedTokenizerFast | None, *,
    positions: int | None, prompts: int, new_tokens: int, seed: int, held_out: Sequence[str] = (),
    start: int | None = None,
) -> Probes:  # fmt: skip
    """Draw what is asked of a model.

    Args:
        config: The model's.
        head: The model's.
        tokenizer: The model's; None asks of random ids alone.
        positions: Longest row that it takes; None for 2048.
        prompts: Random rows, and as many rows of text at most.
        new_tokens: Tokens to write after each, at most; one if there is no room.
        seed: Of the random rows.
        held_out: Text that the model was not trained on; none for `PROSE`.
        start: The id that a text is scored from.
    """
    limit = positions or POSITIONS
    rows = _random_rows(config, head, prompts, limit, seed)
    if tokenizer is not None:
        length = min(TEXT, limit, max(8, MOST_NUMBERS // (config.get_text_config().vocab_size * prompts)))
        texts = (list(held_out) or list(PROSE))[:prompts]
        found = [_text_row(text, tokenizer, config, head, length, start) for text in texts]
        rows += [row for row in found if len(row.ids) > 1]
    asked: list[Request] = [Logits(row.ids) for row in rows]
    if head.answer == "tokens":
        asked += [_continued(row, limit, new_tokens) for row in rows]
    if head.answer == "vector" and tokenizer is not None:
        asked += [Embed(text) for text in (*TEXTS, *PROSE)]
    return Probes(
        rows, asked,
        texts=(*TEXTS, *_special_texts(tokenizer)) if tokenizer is not None else (),
        chats=CHATS if tokenizer is not None and tokenizer.chat_template and head.answer == "tokens" else (),
        kept=KEPT if head.answer == "tokens" else None,
    )  # fmt: skip


def _random_rows(config: PreTrainedConfig, head: Head, prompts: int, limit: int, seed: int) -> list[Row]:
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(seed))
    text = config.get_text_config()
    length = max(1, min(SHORT, limit // 2))
    ids = [generator.integers(0, text.vocab_size, (prompts, length))]
    window = getattr(text, "sliding_window", None) or 0
    longest = min(limit, max(LONG, window + BEHIND_WINDOW if window <= WIDEST_WINDOW else 0))
    longest = min(longest, MOST_LONG // text.vocab_size)
    if longest > length:
        ids.append(generator.integers(0, text.vocab_size, (1, longest)))
    return [Row(tuple(row)) for each in ids for row in _with_one_end(each, config, head).tolist()]


def _with_one_end(ids: NDArray[np.int64], config: PreTrainedConfig, head: Head) -> NDArray[np.int64]:
    end = config.eos_token_id
    if config.is_encoder_decoder and head.answer != "tokens" and isinstance(end, int):
        # Such a class reads the answer where the text ends, and refuses texts of different numbers of ends.
        ids[ids == end] = (end + 1) % config.get_text_config().vocab_size
        ids[:, -1] = end
    return ids


def _text_row(
    text: str, tokenizer: PreTrainedTokenizerFast, config: PreTrainedConfig, head: Head, length: int, start: int | None
) -> Row:
    import numpy as np

    writes = head.answer == "tokens" and not config.is_encoder_decoder
    first = [start] if writes and start is not None else []
    encoded = tokenizer(
        text, add_special_tokens=not writes, truncation=True, max_length=max(1, length - len(first)),
        return_offsets_mapping=True,
    )  # fmt: skip
    ids = [*first, *encoded["input_ids"]]
    known = [i for i in ids if i < config.get_text_config().vocab_size]
    ends = [end for _, end in encoded["offset_mapping"]]
    begins = 0 if first or not ends else ends[0]  # the first id is scored only behind a start
    num_bytes = len(text[begins : max(ends, default=0)].encode("utf-8", "surrogatepass"))
    if not known:
        return Row(())
    return Row(tuple(_with_one_end(np.array([known]), config, head)[0].tolist()), num_bytes)


def _continued(row: Row, limit: int, new_tokens: int) -> Generate:
    """Ask what follows a row; of text, and where there is no room, what follows its first half."""
    half = bool(row.num_bytes) or len(row.ids) >= limit
    prompt = row.ids[: max(1, len(row.ids) // 2)] if half else row.ids
    return Generate(prompt, budget=max(1, min(new_tokens, limit - len(prompt))), exact=True)


def _special_texts(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return texts with the tokenizer's own tokens in them, which are no text to it; of many the first and last."""
    added = [str(token) for _, token in sorted(tokenizer.added_tokens_decoder.items())]
    shown = added if len(added) <= 16 else added[:8] + added[-8:]
    return [f"a{token}b {token} 中" for token in shown]
