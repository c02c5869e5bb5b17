"""export: write a model for a runtime and prove, in a fresh process, that it answers the same."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.errors import CheckFailedError, SetupError
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact
from llmkit.core.registry import Family
from llmkit.core.stage import Facts, Stage
from llmkit.data import artifacts
from llmkit.exporters import Exporter
from llmkit.exporters._probe import answer
from llmkit.exporters.safetensors import Safetensors
from llmkit.work.child import run_child

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Head

PROBE_TOKENS = 32


class Config(BaseConfig):
    """Config of `llmkit export`."""

    model: Annotated[str, NotIdentity]
    """Directory of the model to export, or its file in GGUF."""
    exporter: Annotated[Exporter, Family("exporter")] = Safetensors()
    """What to write."""
    parity_prompts: int = Field(4, ge=1)
    """Random prompts of 32 tokens on which the export is compared with the model, by logits and by chosen tokens."""
    parity_new_tokens: int = Field(16, ge=1)
    """Greedy tokens compared per prompt; of a model that writes none, what it chooses is: tokens, labels or a span."""
    seed: int = Field(0, ge=0)
    """Seed of the prompts."""


class Export(Stage[Config]):
    """A model for a runtime."""

    name, version, config = "export", 1, Config

    def make(self, config: Config, context: Context) -> Result:
        """Export a model."""
        inputs = Inputs()
        path = inputs.add_directory(config.model, "model", role="model")
        with self.build(config, inputs, context) as build:
            if build.finished:
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            return _export(config, context, build, path)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return label and value pairs: the format, the files and their parity with the model."""
        metrics = artifact.manifest.metrics
        files = ", ".join(output.path for output in artifact.manifest.outputs if output.payload)
        return [
            ("format", f"{metrics['parity']['exporter']['type']}, {metrics['bytes'] / 1e6:.1f} MB"),
            ("files", files),
            ("parity", parity_line(metrics["parity"])),
        ]


STAGE = Export()


def _export(config: Config, context: Context, build: Build, path: Path) -> Result:
    from llmkit.modeling.heads import head_of
    from llmkit.modeling.load import check_vocabulary, count_parameters, load_model
    from llmkit.modeling.tokenizer import load_tokenizer, vocabulary_size

    model, tokenizer = load_model(path), load_tokenizer(path)
    check_vocabulary(model, vocabulary_size(tokenizer), path)
    config.exporter.write(model, tokenizer, build.dir)
    export = artifacts.Export(build.dir)
    written = export.files()
    context.console.info("reloading the export in a fresh process")
    head = head_of(model.config)
    parity = _compare(config, model, head, build, path)
    export.write_parity(parity)
    if not parity["passed"]:
        raise CheckFailedError(
            f"the export does not answer like {path}: {_compared(parity)} differ by"
            f" {parity['max_logit_difference']:.3g} (at most {parity['tolerance']:.3g} allowed){_chosen(parity)}",
            hint="nothing was exported; use a wider dtype, or raise exporter.max_logit_difference knowingly",
        )
    size = sum(file.stat().st_size for file in written)
    _write_card(build.dir, config.exporter, model, tokenizer, parity, head)
    metrics = {"parameters": count_parameters(model), "bytes": size, "parity": parity}
    artifact = build.finish(
        export.KIND, payload=[file.relative_to(build.dir).as_posix() for file in written], metrics=metrics
    )
    return Result(artifact)


def parity_line(parity: dict[str, Any]) -> str:
    """Return the outcome of the comparison in a line."""
    return (
        f"{_compared(parity)} within {parity['max_logit_difference']:.2g} (limit {parity['tolerance']:.2g})"
        f"{_chosen(parity)}, in a fresh process"
    )


def _compared(parity: dict[str, Any]) -> str:
    return "numbers" if parity.get("answer") in ("number", "vector") else "logits"


def _chosen(parity: dict[str, Any]) -> str:
    if not parity["tokens"]:
        return ""
    chosen = parity.get("chosen", "tokens")  # an older export does not say
    return f", {parity['equal_tokens']} of {parity['tokens']} {chosen} equal"


def _compare(config: Config, model: PreTrainedModel, head: Head, build: Build, path: Path) -> dict[str, Any]:
    """Ask model and export the same and compare."""
    import numpy as np

    from llmkit.modeling.architecture import position_limit
    from llmkit.modeling.finite import NotFiniteError

    limit = position_limit(model.config) or 2048
    length = max(1, min(PROBE_TOKENS, limit // 2))
    ids = _prompts(config, model, head, length)
    new = max(1, min(config.parity_new_tokens, limit - length))
    probe, answers = build.scratch / "probe.npz", build.scratch / "answers.npz"
    np.savez(probe, input_ids=ids, answer=head.answer, num_new_tokens=np.int64(new), auto_class=head.auto_class)
    logits, tokens = answer(model, head.answer, ids, new)
    _run_fresh(config.exporter.reload_command(build.dir, probe, answers))
    theirs = np.load(answers)
    if not np.isfinite(logits).all():
        raise NotFiniteError(f"what the model in '{path}' answers to random tokens is NaN or infinite")
    if not np.isfinite(theirs["logits"]).all():
        raise CheckFailedError(
            f"what the export answers is NaN or infinite, and what {path} answers is not",
            hint="nothing was exported; use a wider dtype: float16 holds no number above 65,504",
        )
    difference = float(np.abs(theirs["logits"] - logits).max())
    equal = int((theirs["tokens"] == tokens).sum())
    # One number a text may be the same for all: its size is what its error is measured by.
    spread = float(np.sqrt(np.square(logits).mean()) if head.answer == "number" else logits.std())
    tolerance = config.exporter.tolerance(spread)
    # Rounded weights may turn a near tie, and everything after it: only an exact format must match in every token.
    exact = getattr(config.exporter, "dtype", "float32") == "float32"
    return {
        "passed": bool(difference <= tolerance and (equal == tokens.size or not exact)),
        "max_logit_difference": difference,
        "tolerance": tolerance,
        "logit_spread": spread,
        "equal_tokens": equal,
        "tokens": int(tokens.size),
        "prompts": config.parity_prompts,
        "answer": head.answer,
        "chosen": head.chosen,
        "auto_class": head.auto_class,
        "exporter": config.exporter.spec(mode="json"),
    }


def _prompts(config: Config, model: PreTrainedModel, head: Head, length: int) -> NDArray[np.int64]:
    """Return random prompts `[prompts, time]`."""
    import numpy as np

    size, end = model.config.vocab_size, model.config.eos_token_id
    generator = np.random.Generator(np.random.PCG64(config.seed))
    ids = generator.integers(0, size, (config.parity_prompts, length))
    if model.config.is_encoder_decoder and head.answer != "tokens" and isinstance(end, int):
        # Such a class reads the answer where the text ends, and refuses texts of different numbers of ends.
        ids[ids == end] = (end + 1) % size
        ids[:, -1] = end
    return ids


def _run_fresh(command: list[str]) -> None:
    """Run the reload command; the network is switched off for it."""
    done = run_child(command, {**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode == 0:
        return
    if done.returncode < 0:
        raise SetupError(
            f"the process that reloads the export was killed by signal {-done.returncode} (out of memory?)"
        )
    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
    if os.strerror(errno.ENOSPC) in last:  # its answers did not fit: that says nothing about the export
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    raise CheckFailedError(f"the export does not load: {last}")


def _write_card(
    directory: Path,
    exporter: Exporter,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    parity: dict[str, Any],
    head: Head,
) -> None:
    from llmkit.modeling.load import count_parameters
    from llmkit.training.finish import write_card

    size = count_parameters(model)
    facts = {"parameters": f"{size:,}", "format": exporter.type_name, "parity": parity_line(parity)}
    title = f"{model.config.model_type} {size / 1e6:.1f}M"
    write_card(directory, head, title=title, facts=facts, chat=bool(tokenizer.chat_template))
