"""A folder that is served: a model, the server with the versions it was proven with, and what starts it where.

DIR/model/  requirements.txt  llmkit-VERSION-py3-none-any.whl  serve  Dockerfile  compose.yaml  NAME.service
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from llmkit.core.extras import check
from llmkit.core.inputs import Inputs
from llmkit.core.registry import Family
from llmkit.exporters import Exporter, Limits, Served, Usage
from llmkit.exporters import _deployment_files as files
from llmkit.runtimes import Runtime

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.evaluation.fresh import Answers
    from llmkit.evaluation.probes import Probes
    from llmkit.modeling.heads import Answer, Head

SERVED = {
    "gguf": ("llama_cpp", ("gguf", "llama-cpp")), "onnx": ("onnxruntime", ("onnx",)),
    "openvino": ("openvino", ("openvino",)), "safetensors": ("transformers", ()),
}  # fmt: skip
"""By format what runs it in the server, and the extras that this needs."""
WRITTEN = ("gguf", "safetensors")
"""Formats whose runtimes write texts side by side; the server has the others for vectors and labels."""
ANSWERS = ("tokens", "label", "number", "vector")
"""What the server has routes for."""


class Deployment(Exporter):
    """Write a model with all that serves it: one image for docker, SageMaker and Vertex AI, a unit for systemd."""

    root: ClassVar[str] = files.MODEL

    format: Annotated[Exporter, Family("exporter", without=("deployment",))] = Field(
        "safetensors", validate_default=True
    )
    """What the model is written as, with that exporter's own fields, `{type: gguf, dtype: q4_k}`: safetensors; gguf,
    with which a CPU writes fastest; onnx or openvino, for vectors and labels."""
    name: str = Field("model", pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=63)
    """Name of the image, the service and the unit: small letters, digits and hyphens."""
    port: int = Field(8080, ge=1024, le=65535)
    """Port on 127.0.0.1 at which compose and systemd listen; inside of the container it is 8080."""
    memory: int | None = Field(None, ge=256)
    """Most memory in MB that compose and systemd let the server have; null for 2,048 and 5 bytes a parameter."""

    def check_installed(self) -> None:
        """Ask for what writes the model, and for the server, whose versions are pinned as they are here.

        Raises:
            SetupError: Something is missing.
        """
        check("serve")
        self.format.check_installed()

    def add_inputs(self, inputs: Inputs) -> None:
        """Add what the format reads."""
        self.format.add_inputs(inputs)

    def supports(self, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> str | None:
        """Refuse what the server does not run, and what the format refuses."""
        from llmkit.modeling.heads import head_of

        if self.format.type_name not in SERVED:
            return f"`llmkit serve` does not run {self.format.type_name}; exporter.format is one of {', '.join(SERVED)}"
        answer = head_of(config).answer
        if answer not in ANSWERS:
            return f"`llmkit serve` has no route for its answers, {answer.replace('_', ' ')}"
        if answer == "tokens" and self.format.type_name not in WRITTEN:
            names = " or ".join(f"exporter.format={name}" for name in WRITTEN)
            return f"`llmkit serve` writes no texts with {self.format.type_name}, but with {names}"
        return self.format.supports(config, tokenizer)

    def write(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path
    ) -> Sequence[str] | None:
        """Write the model into its folder, and around it what serves it.

        Raises:
            SetupError: Something that the server needs is not installed: its version is to be pinned.
        """
        from llmkit.exporters._installed import pinned, write_wheel

        kind, size = model.config.model_type, model.num_parameters()
        notes = self.format.write(model, tokenizer, directory)
        around = directory.parent
        wheel = write_wheel(around)
        runtime, extras = SERVED[self.format.type_name]
        lines = pinned(("serve", *extras))
        (around / files.REQUIREMENTS).write_text("\n".join([*lines, ""]), encoding="utf-8")
        memory = self.memory or 2048 + 5 * size // 10**6
        title = f"{kind} {size / 1e6:.1f}M"
        files.Deployment(self.name, runtime, title, wheel.name, self.port, memory).write(around)
        return notes

    @property
    def stops_early(self) -> bool:  # type: ignore[override]
        """Whether what runs the format does."""
        return self.format.stops_early

    def runtime(self) -> Runtime:
        """Return what proves the format."""
        return self.format.runtime()

    def readers(self) -> Sequence[Runtime]:
        """Return what else reads the format."""
        return self.format.readers()

    def leaves_out(self, text: str, tokenizer: PreTrainedTokenizerFast) -> bool:
        """Ask the format."""
        return self.format.leaves_out(text, tokenizer)

    def limits(self, answer: Answer, spread: float, config: PreTrainedConfig) -> Limits:
        """Return what is asked of the format."""
        return self.format.limits(answer, spread, config)

    def usage(self, head: Head) -> Usage:
        """Return the line that starts it."""
        own = self.format.usage(head)
        build = f"docker build -t {self.name} DIR\ndocker run --rm -p 127.0.0.1:{self.port}:{files.PORT} {self.name}"
        return Usage(own.library if own else "transformers", "sh", build)

    def rehearse(self, directory: Path, asked: Probes, answers: Answers) -> Served:
        """Start the server as its platforms do, and ask it by their routes what the model was asked.

        Raises:
            CheckFailedError: It does not start, or does not answer.
        """
        from llmkit.exporters._rehearsal import rehearse

        exact = getattr(self.format, "dtype", "float32") == "float32"
        return rehearse(directory / files.SERVE, asked, answers, exact=exact)
