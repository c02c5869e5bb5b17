"""LoRA (Hu et al. 2021, "Low-rank adaptation of large language models"): small matrices beside frozen ones, by peft."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from llmkit.core.errors import ConfigError
from llmkit.modeling.adapters import Targets, trained_parameters
from llmkit.modeling.adapters._layered import Layered, counted_names, no_match, own_parameters
from llmkit.modeling.adapters._parts import chosen, head_modules, matrices, short_names, shortest
from llmkit.modeling.adapters._peft import attach, lean, peft_config, tuner_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head

ALL = ("auto", "all-linear")
QUANTIZERS = {"4bit": "bitsandbytes", "8bit": "torchao"}


class LoRA(Layered):
    """Train two matrices of a low rank beside each one of the model, which stays as it is.

    New heads are trained whole, and so are the rows of tokens that the model did not have. What a run leaves is an
    adapter as peft writes it, some percent of the model's size, which `PeftModel.from_pretrained(base, DIR)` loads.
    """

    r: int = Field(16, ge=1)
    """Rank: the numbers that are trained are proportional to it."""
    alpha: float = Field(32, gt=0)
    """What the product of the two matrices is scaled by, over `r`."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of a matrix's inputs that LoRA does not see; the experts of a mixture have none."""
    targets: Literal["auto", "all-linear"] | Annotated[list[str], Field(min_length=1)] = "auto"
    """Matrices by the end of their names, such as [q_proj, v_proj]. auto, or all-linear as peft says: all of the body,
    those of experts too, but no router. Never the head or the embedding."""
    rslora: bool = False
    """Scale by `alpha` over the root of `r` (Kalajdzievski 2023), for high ranks."""
    dora: bool = False
    """Train the length of each row apart from its direction (Liu et al. 2024); slower."""
    quantize: Literal["4bit", "8bit"] | None = None
    """Keep the frozen matrices of the body in 4 bits (NF4, by bitsandbytes) or 8 (by torchao): QLoRA. What a run leaves
    is the same adapter; it is merged with the base as it is in its directory."""

    peft_type: ClassVar[str | None] = "LORA"

    def needs(self) -> tuple[str, str] | None:
        """Return the extra and the module that rounding takes."""
        return None if self.quantize is None else ("quantized", QUANTIZERS[self.quantize])

    def wrap(self, model: PreTrainedModel, head: Head, *, seed: int = 0, grown: range = range(0)) -> None:
        """Put peft's layers around the matrices; the second of each pair is zero, so that nothing changes yet.

        Raises:
            ConfigError: A name matches no matrix, or peft cannot do what is asked for with the model's experts.
        """
        import torch

        linear, experts = self._chosen(model, head)
        if self.quantize is not None:
            from llmkit.modeling.quantized import quantize

            rounded = matrices(model, head).linear
            if not any(isinstance(model.get_submodule(name), torch.nn.Linear) for name in rounded):
                raise ConfigError(
                    f"adapter.quantize: none of the matrices of a {type(model).__name__} is a linear layer of PyTorch,"
                    f" and others are not kept in {self.quantize}",
                    "leave adapter.quantize out",
                )
            quantize(model, rounded, self.quantize)
        modules = [name for name, _ in model.named_modules() if name and name not in linear]
        parameters = [name for name, _ in model.named_parameters() if name not in experts]
        with lean():
            from peft import LoraConfig
        from transformers.pytorch_utils import Conv1D

        config = LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            target_modules=shortest(linear, modules),
            target_parameters=shortest(experts, parameters) or None,
            modules_to_save=head_modules(model, head) or None,
            trainable_token_indices=_token_rows(model, grown),
            use_rslora=self.rslora,
            use_dora=self.dora,
            fan_in_fan_out=bool(linear) and isinstance(model.get_submodule(linear[0]), Conv1D),
            task_type=head.peft_task,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            attach(model, config)
        from llmkit.modeling.adapters._fused import fuse

        fuse(model)

    def _chosen(self, model: PreTrainedModel, head: Head) -> tuple[list[str], list[str]]:
        found = matrices(model, head)
        if self.targets in ALL:
            linear, experts = found
        else:
            linear, experts = chosen(found.linear, self.targets), chosen(found.experts, self.targets)
            for name in self.targets:
                if not (chosen(linear, [name]) or chosen(experts, [name])):
                    raise no_match(model, "LoRA", name, [*found.linear, *found.experts])
        if not (linear or experts):
            raise ConfigError(f"adapter: a {type(model).__name__} has no matrix that LoRA could adapt", "adapter=full")
        if experts and (self.dropout or self.dora):
            field, value = ("dropout", 0) if self.dropout else ("dora", "false")
            raise ConfigError(
                f"adapter.{field}: the experts of this model are matrices in one tensor ({short_names(experts)}), and"
                f" peft has no {field} for those",
                f"-s adapter.{field}={value}, or name other targets: -s 'adapter.targets=[{short_names(linear)}]'",
            )
        return linear, experts

    def describe(self, model: PreTrainedModel) -> Targets:
        """Name the matrices, and what is trained whole."""
        names = [name for name, _ in model.named_parameters()]
        adapted = (name.partition(".lora_")[0].replace(".base_layer", "") for name in names if ".lora_A" in name)
        shown = [*(n for n in adapted if not n.endswith("experts")), *tuner_of(model).targeted_parameter_names]
        what = f"{'DoRA' if self.dora else 'LoRA'} of rank {self.r} on {counted_names(shown)}"
        if self.quantize:
            what += f", beside weights in {self.quantize.removesuffix('bit')} bits"
        config = peft_config(model)
        if config.modules_to_save:
            what += f"; {short_names(sorted(config.modules_to_save))} whole"
        if rows := config.trainable_token_indices:
            count = len(next(iter(rows.values())) if isinstance(rows, dict) else rows)
            what += f"; {count:,} new rows of the vocabulary"
        return Targets(what, trained_parameters(model), own_parameters(model))


def _token_rows(model: PreTrainedModel, grown: range) -> dict[str, list[int]] | None:
    """Return the rows that are trained, by the name of their matrix: a tied output layer follows the embedding."""
    if not grown:
        return None
    embedding, output = model.get_input_embeddings(), model.get_output_embeddings()
    if model.config.is_encoder_decoder or (output is not None and output.bias is not None):
        raise ConfigError(
            f"adapter: the tokenizer has {len(grown):,} tokens that the model has no rows for, and peft does not train"
            f" single rows of a {type(model).__name__}",
            "adapter=full",
        )
    wanted = [embedding, *([] if output is None or output.weight is embedding.weight else [output])]
    return {name: list(grown) for name, module in model.named_modules() if any(module is part for part in wanted)}
