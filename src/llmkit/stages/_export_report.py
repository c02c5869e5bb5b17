"""One model in several formats, side by side: what each takes on disk and in time, and what it costs in bits."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_origin

from llmkit.core.console import Console
from llmkit.core.errors import DataError, SetupError, UserError
from llmkit.core.manifest import Manifest, open_artifact
from llmkit.core.page_numbers import size
from llmkit.core.registry import Family
from llmkit.data.artifacts import Export
from llmkit.data.sources import Source
from llmkit.exporters import Exporter
from llmkit.stages._export_text import given_text, held_out

TEXTS = 8
"""Texts that bits per byte are measured on, of 128 tokens each at most."""
HEADERS = ("export", "format", "size", "loads in", "tokens/s", "bits per byte", "parity")


@dataclass(frozen=True)
class FormatFound:
    """An export as it was found here and now.

    Attributes:
        name: Its folder.
        format: The exporter, with the fields that are not as they are by default.
        bytes: Of what its runtime loads.
        load_s: Seconds in which that is loaded, in a fresh process.
        tokens_per_s: Tokens that it writes in a second, for one who asks; None where it writes none.
        bits_per_byte: Of the text; None where it gives no text's tokens one after the other.
        passed: Its receipt says that it answers like its model.
        why: Why it was not measured; "" of one that was.
    """

    name: str
    format: str
    bytes: int
    load_s: float | None
    tokens_per_s: float | None
    bits_per_byte: float | None
    passed: bool
    why: str = ""

    def row(self) -> list[str]:
        """Return the cells of the table."""
        found = "" if self.load_s is None else f"{self.load_s:.2f} s"
        speed, bits = self.tokens_per_s, self.bits_per_byte
        cells = [self.name, self.format, size(self.bytes), found, "" if speed is None else f"{speed:.1f}"]
        return [*cells, "" if bits is None else f"{bits:.4f}", self.why or ("passed" if self.passed else "unproven")]


def report(directories: Sequence[Path], data: Source | None, console: Console) -> list[FormatFound]:
    """Load exports of one model one after the other, each in a fresh process, and measure them on the same text.

    Args:
        directories: Finished exports.
        data: The text; None for what the model's training held out, else texts that come with llmkit.
        console: Where progress goes.

    Raises:
        DataError: One is no export, they are of several models, or the model that they were made of is gone.
    """
    opened = [(folder, open_artifact(folder, Export.KIND, role="--report").manifest) for folder in directories]
    models = {(item.digest, item.path) for _, manifest in opened for item in manifest.inputs if item.role == "model"}
    if len({digest for digest, _ in models}) > 1:
        paths = " and ".join(sorted(path for _, path in models))
        raise DataError(f"--report: the exports are of several models: {paths}", "name exports of one model")
    model = next(Path(path) for _, path in models)
    if not model.exists():
        raise DataError(
            f"--report: the model that they were made of is gone: {model}", f"llmkit lineage {directories[0]}"
        )
    asked = _asked(model, data)
    found = []
    for folder, manifest in opened:
        console.info(f"loading {folder} in a fresh process")
        found.append(_measured(folder, manifest, asked))
    return found


def _asked(model: Path, data: Source | None) -> Any:
    """Return what every export is asked: logits of rows of text, and to write behind the first."""
    from dataclasses import replace

    from llmkit.evaluation.probes import Probes, probes
    from llmkit.modeling.architecture import position_limit
    from llmkit.modeling.heads import head_of
    from llmkit.modeling.load import read_config
    from llmkit.modeling.tokenizer import load_tokenizer

    config, tokenizer = read_config(model), load_tokenizer(model)
    text = held_out(model, TEXTS) if data is None else given_text(data, TEXTS)
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    drawn = probes(
        config, head_of(config), tokenizer, positions=position_limit(config), prompts=TEXTS, new_tokens=1, seed=0,
        held_out=text.texts, start=start,
    )  # fmt: skip
    rows = [row for row in drawn.rows if row.num_bytes]
    requests = [one for one in drawn.requests if one.kind == "logits"][-len(rows) :]
    writes = head_of(config).answer == "tokens"
    return replace(Probes(rows, requests, kept=drawn.kept), timed=drawn.rows[0].ids if writes else ())


def _measured(folder: Path, manifest: Manifest, asked: Any) -> FormatFound:
    """Return one export; one whose runtime is missing, or that fails, has no figures."""
    from llmkit.evaluation.fresh import ask_afresh

    spec = manifest.config["written"]["exporter"]
    metrics = manifest.metrics
    facts: dict[str, Any] = {"name": str(folder), "bytes": metrics["bytes"], "passed": metrics["parity"]["passed"]}
    try:
        exporter: Any = Family("exporter").parse(spec)
        facts["format"] = _described(exporter)
        with tempfile.TemporaryDirectory() as scratch:
            answers = ask_afresh(exporter.runtime(), folder / exporter.root, asked, Path(scratch))
    except (UserError, ValueError) as error:
        why = error.message if isinstance(error, UserError) else str(error)
        if isinstance(error, SetupError) and error.hint:
            why += f": {error.hint}"
        none = {"load_s": None, "tokens_per_s": None, "bits_per_byte": None}
        return FormatFound(**{"format": str(spec.get("type")), **facts, **none}, why=why)
    measured: dict[str, Any] = {"load_s": answers.load_s, "tokens_per_s": answers.tokens_per_s}
    return FormatFound(**facts, **measured, bits_per_byte=_bits(asked, answers.given))


def _described(exporter: Exporter) -> str:
    """Return the exporter, what it was chosen from, `w8a8`, and what else is not as it is by default."""
    words = [exporter.type_name]
    for name, field in type(exporter).model_fields.items():
        value = getattr(exporter, name)
        if get_origin(field.annotation) is Literal and isinstance(value, str):
            words.append(value)
        elif value != field.default and isinstance(value, str | int | float):
            words.append(f"{name}={value}")
    return " ".join(words)


def _bits(asked: Any, given: Sequence[Any]) -> float | None:
    from llmkit.evaluation.differences import Differences

    if not asked.timed:
        return None
    found = Differences("tokens")
    for row, answer in zip(asked.rows, given, strict=True):
        found.add(row, answer, answer, scored=True)
    return found.bits[0] / found.num_bytes if found.num_bytes else None


def write_page(found: Sequence[FormatFound], path: Path) -> None:
    """Write the table, and bars of what was measured."""
    from llmkit.core.page import Page

    page = Page("Formats of a model", "What each takes on disk and in time here, and what it costs in bits per byte.")
    page.table(HEADERS, [one.row() for one in found])
    shown: dict[str, list[tuple[str, float | None]]] = {
        "Size, in MB": [(one.name, one.bytes / 1e6) for one in found],
        "Bits per byte": [(one.name, one.bits_per_byte) for one in found],
        "Tokens per second, for one who asks": [(one.name, one.tokens_per_s) for one in found],
        "Seconds to load": [(one.name, one.load_s) for one in found],
    }
    for title, values in shown.items():
        page.heading(title)
        page.bars([(name, round(value, 4)) for name, value in values if value is not None])
    page.write(path)


def facts(found: Sequence[FormatFound]) -> list[dict[str, Any]]:
    """Return what was found, for `--json`."""
    return [asdict(one) for one in found]
