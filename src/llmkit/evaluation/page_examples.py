"""Samples on a page: what was asked, as it was sent, what each model said, and where they part."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llmkit.core.json import dumps
from llmkit.core.page import Page, score

Sample = Mapping[str, Any]
SHOWN = 4
"""Samples of a kind."""
LONGEST = 4000
"""Characters of a text: more is in the file."""
LINE, SHORT, WORD = 90, 24, 20
_MARKS = re.compile(r"<\|[^|<>]*\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>")
_ROLES = {"assistant", "user", "system", "model"}
"""What chat templates write: it says nothing of which sample it is."""
_ASKED = ("prompt", "question", "context", "text", "query")
_SAID = ("prediction", "output")
_EXPECTED = ("reference", "references", "target", "gold", "label", "answers")
_APART = {*_ASKED, *_SAID, *_EXPECTED, "id", "turns", "choices", "truncated", "thinking", "model", "cluster"}
Verdict = Literal["", "good", "bad"]


@dataclass(frozen=True)
class Judged:
    """The samples of one question, by model, each with its own score where there is one.

    Attributes:
        samples: By model; the first model's is there.
        scores: Likewise; None of a sample without one.
    """

    samples: Mapping[str, Sample]
    scores: Mapping[str, float | None]

    @property
    def first(self) -> float | None:
        """The first model's score."""
        return next(iter(self.scores.values()))

    def moved(self, reference: str) -> float:
        """How much better the first model did than another one."""
        before = self.scores.get(reference)
        return 0.0 if self.first is None or before is None else self.first - before


def judge(samples: Mapping[str, Sequence[Sample]], values: Mapping[str, Sequence[float | None]]) -> list[Judged]:
    """Return the first model's samples beside those of the others, by `id`."""
    by_id = {
        model: {sample.get("id"): (sample, value) for sample, value in zip(found, values[model], strict=True)}
        for model, found in samples.items()
    }
    return [
        Judged(
            {model: known[name][0] for model, known in by_id.items() if name in known},
            {model: known[name][1] for model, known in by_id.items() if name in known},
        )
        for name in next(iter(by_id.values()), {})
    ]


def show_examples(page: Page, judged: Sequence[Judged], *, reference: str = "", sign: int = 1) -> None:
    """Show which samples a model has lost and won beside another one, and which it has right and wrong.

    Args:
        page: Where.
        judged: Samples in their order.
        reference: The other model; "" for none.
        sign: 1 where a greater score is the better one, else -1.
    """
    able = [one for one in judged if can_be_shown(next(iter(one.samples.values())))]
    if not able:
        return
    known = [one for one in able if one.first is not None]
    used: set[int] = set()

    def part(title: str, found: Sequence[Judged], of: int) -> None:
        fresh = [one for one in found if id(one) not in used][:SHOWN]
        if not fresh:
            return
        is_first = not used
        used.update(id(one) for one in fresh)
        page.subheading(title + (f" ({len(fresh)} of {of:,})" if of > len(fresh) else ""))
        alike = len({headline(next(iter(one.samples.values()))) for one in fresh}) < len(fresh)
        for place, one in enumerate(fresh):
            show_sample(page, one, is_open=is_first and place == 0, named=alike)

    if reference:
        gain = {id(one): sign * one.moved(reference) for one in known}
        lost = sorted((one for one in known if gain[id(one)] < 0), key=lambda one: gain[id(one)])
        won = sorted((one for one in known if gain[id(one)] > 0), key=lambda one: -gain[id(one)])
        part(f"Worse than {reference}", lost, len(lost))
        part(f"Better than {reference}", won, len(won))
    if known and {one.first for one in known} <= {0.0, 1.0}:
        wrong, right = ([one for one in known if one.first == value] for value in (0.0, 1.0))
        part("Wrong", wrong, len(wrong))
        part("Right", right, len(right))
    elif known:
        ranked = sorted(known, key=lambda one: sign * (one.first or 0.0))
        part("Worst", ranked, len(ranked))
        part("Best", ranked[::-1], len(ranked))
    else:
        part("Samples", able, len(able))


def can_be_shown(sample: Sample) -> bool:
    """Tell whether a sample has texts to look at."""
    return bool(asked(sample)) or _first(sample, _SAID) is not None


def show_sample(page: Page, judged: Judged, *, is_open: bool = False, named: bool = False) -> None:
    """Show a question, folded unless it `is_open`: as it was sent, and beside each other what was expected and said.

    Args:
        page: Where.
        judged: The sample.
        is_open: It is not folded.
        named: Its id stands behind its line, as others have the same one.
    """
    sample = next(iter(judged.samples.values()))
    aside = " \u00b7 ".join(score_words(model, value, len(judged.scores)) for model, value in judged.scores.items())
    mark = {"good": "\u2713 ", "bad": "\u2717 ", "": ""}[verdict(judged.first)]
    name = headline(sample) + (f" ({sample['id']})" if named and "id" in sample else "")
    with page.folded(mark + name, aside.strip(" \u00b7"), is_open=is_open):
        if text := asked(sample):
            caption = "as sent" if "prompt" in sample else "asked"
            page.quote(caption, shortened(text), prose=True, from_end=_asks_last(sample))
        expected = expected_text(sample)
        texts: list[tuple[str, str, Verdict]] = [("expected", expected, "")] if expected else []
        for model, found in judged.samples.items():
            if said := said_text(found):
                cut = " (cut off: no room was left)" if found.get("truncated") else ""
                texts.append((model + cut, said, verdict(judged.scores[model])))
        if texts:
            page.columns(texts)
        for model, found in judged.samples.items():
            if line := rest(found):
                page.text(f"{model}: {line}" if len(judged.samples) > 1 else line)


def verdict(value: float | None) -> Verdict:
    """Return whether a sample is right or wrong; "" between the two."""
    return "good" if value == 1 else "bad" if value == 0 else ""


def score_words(model: str, value: float | None, num_models: int) -> str:
    """Return a sample's score in a word or a number."""
    word = {"good": "right", "bad": "wrong", "": "" if value is None else score(value)}[verdict(value)]
    return f"{model} {word}" if num_models > 1 and word else word


def headline(sample: Sample) -> str:
    """Return one line that says which sample it is: the end of a prompt, where the question stands, else the beginning.

    A line that is too long is cut between words, where it has any.
    """
    text = sample["turns"][-1]["content"] if sample.get("turns") else asked(sample)
    for key in ("question", "query", "text"):
        if isinstance(sample.get(key), str):
            text = sample[key]
            break
    lines = [line for line in (_MARKS.sub("", line).strip() for line in str(text).splitlines()) if line]
    while len(lines) > 1 and (lines[-1].endswith(":") or lines[-1] in _ROLES) and len(lines[-1]) < SHORT:  # "Answer:"
        lines.pop()
    from_end = _asks_last(sample)
    line = lines[-1 if from_end else 0] if lines else str(sample.get("id", ""))
    if len(line) <= LINE:
        return line
    if from_end:
        part = line[1 - LINE :]
        return "\u2026" + (part.partition(" ")[2] if " " in part[:WORD] else part)
    part = line[: LINE - 1]
    return (part.rpartition(" ")[0] if " " in part[-WORD:] else part) + "\u2026"


def _asks_last(sample: Sample) -> bool:
    """Tell whether a sample's text is a prompt, which ends with the question; not a text that is scored itself."""
    return "prompt" in sample and any(sample.get(name) is not None for name in (*_SAID, *_EXPECTED))


def asked(sample: Sample) -> str:
    """Return what a model was asked, as it was sent where the sample says that."""
    if "prompt" not in sample and sample.get("turns"):
        return "\n".join(f"{turn.get('role', '')}: {turn.get('content', '')}" for turn in sample["turns"])
    text, pair = _text(_first(sample, _ASKED)), sample.get("pair")
    return f"{text}\n\n{pair}" if isinstance(pair, str) else text


def expected_text(sample: Sample) -> str:
    """Return what was expected; of choices, their texts."""
    found = _first(sample, _EXPECTED)
    if isinstance(found, list):
        found = [_choice(sample, one) for one in found]
        return "\nor ".join(map(_text, dict.fromkeys(map(_text, found)))) if found else "(no answer)"
    return shortened(_choice(sample, found).strip())


def said_text(sample: Sample) -> str:
    """Return what a model said, with what it thought before; of choices, all of them with the one it took."""
    found = _first(sample, _SAID)
    choices = sample.get("choices")
    if isinstance(choices, list):
        golds = _first(sample, _EXPECTED)
        right = [_choice(sample, gold) for gold in (golds if isinstance(golds, list) else [golds])]
        taken = _choice(sample, found)
        texts = [_text(one) for one in choices]
        rows = [("\u2192" * (one == taken), "\u2713" * (one in right), one.strip()) for one in texts]
        return "\n".join(map("\t".join, rows))
    if found is None:
        return ""
    parts = ["(nothing)" if found == "" else _text(found)]
    parts += [f"thought: {sample['thinking']}"] if sample.get("thinking") else []
    raw = _text(sample.get("output"))
    parts += [f"as written: {raw}"] if raw.strip() not in ("", parts[0].strip()) and not sample.get("thinking") else []
    return shortened("\n\n".join(parts))


def rest(sample: Sample) -> str:
    """Return the numbers of a sample in one line."""
    numbers = {
        key: value for key, value in sample.items()
        if key not in _APART and isinstance(value, int | float | str) and value != "" and len(str(value)) <= 40
    }  # fmt: skip
    return " \u00b7 ".join(f"{key} {round(v, 4) if isinstance(v, float) else v}" for key, v in numbers.items())


def shortened(text: str) -> str:
    """Return a text, or its beginning and its end with how much is between."""
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n\n[\u2026 {len(text) - LONGEST:,} characters \u2026]\n\n{text[-half:]}"


def _first(sample: Sample, names: Sequence[str]) -> Any:
    return next((sample[name] for name in names if sample.get(name) is not None), None)


def _choice(sample: Sample, found: Any) -> str:
    choices = sample.get("choices")
    if (
        isinstance(choices, list)
        and isinstance(found, int)
        and not isinstance(found, bool)
        and 0 <= found < len(choices)
    ):
        return _text(choices[found])
    return _text(found)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value)
