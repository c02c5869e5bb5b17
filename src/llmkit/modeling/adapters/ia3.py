"""(IA)^3 (Liu et al. 2022, "Few-shot parameter-efficient fine-tuning"): a factor for each key, value and inner unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from llmkit.core.errors import ConfigError
from llmkit.modeling.adapters import Targets, trained_parameters
from llmkit.modeling.adapters._layered import Layered, counted_names, no_match, own_parameters
from llmkit.modeling.adapters._parts import chosen, head_modules, matrices, short_names, shortest
from llmkit.modeling.adapters._peft import attach, lean, peft_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head

AUTO = "auto"
KEYS_VALUES = (
    "k_proj", "v_proj", "key", "value", "k", "v", "k_lin", "v_lin", "key_proj", "value_proj", "c_attn", "qkv_proj",
    "query_key_value", "Wqkv",
)  # fmt: skip
"""What the matrices of keys and values are called; some architectures have one matrix for queries as well."""
INNER = (
    "down_proj", "fc2", "mlp.c_proj", "mlp.dense_4h_to_h", "fc_out", "wo", "lin2", "w2", "ffn_output", "mlp.Wo",
    "mlp.fc_out", "intermediate_to_output",
)  # fmt: skip
"""What the second matrix of a feed-forward layer is called, whose inputs are scaled."""
BESIDE_ATTENTION = "output.dense"
"""The same in BERT and its kin, where attention has an `attention.output.dense` as well."""


class IA3(Layered):
    """Train one factor for each key, each value and each inner unit of the feed-forward layers.

    A hundredth of LoRA's numbers, for tasks of a few hundred rows; learning rates are higher (3e-3). New heads are
    trained whole. What a run leaves is an adapter as peft writes it.
    """

    targets: Literal["auto"] | Annotated[list[str], Field(min_length=1)] = AUTO  # type: ignore[assignment]
    """Matrices whose outputs are scaled, by the end of their names, such as [k_proj, v_proj]. auto: keys and values."""
    feedforward: Literal["auto"] | list[str] = AUTO  # type: ignore[assignment]
    """Matrices whose inputs are scaled. auto: the second of each feed-forward layer, where `targets` is auto as well;
    [] for none."""

    peft_type: ClassVar[str | None] = "IA3"

    def wrap(self, model: PreTrainedModel, head: Head, *, seed: int = 0, grown: range = range(0)) -> None:  # noqa: ARG002 - nothing is drawn
        """Put peft's layers around the matrices; all factors are one, so that nothing changes yet.

        Raises:
            ConfigError: A name matches no matrix, or the model has none that `auto` knows.
        """
        if grown:
            raise ConfigError(
                f"adapter: the tokenizer has {len(grown):,} tokens that the model has no rows for, and ia3 trains none",
                "adapter=lora does",
            )
        outputs, inputs = self._chosen(model, head)
        with lean():
            from peft import IA3Config
        from transformers.pytorch_utils import Conv1D

        others = [name for name, _ in model.named_modules() if name and name not in {*outputs, *inputs}]
        first = model.get_submodule([*outputs, *inputs][0])
        scaled_inputs = shortest(inputs, [*others, *outputs])
        config = IA3Config(
            target_modules=[*shortest(outputs, [*others, *inputs]), *scaled_inputs],
            feedforward_modules=scaled_inputs,
            modules_to_save=head_modules(model, head) or None,
            fan_in_fan_out=isinstance(first, Conv1D),
            task_type=head.peft_task,
        )
        attach(model, config)

    def _chosen(self, model: PreTrainedModel, head: Head) -> tuple[list[str], list[str]]:
        """Return the names of the matrices whose outputs, and of those whose inputs are scaled."""
        linear = matrices(model, head).linear
        outputs = chosen(linear, KEYS_VALUES if self.targets == AUTO else self.targets)
        if self.feedforward == AUTO:
            inputs = _inner(linear) if self.targets == AUTO else []
        else:
            inputs = chosen(linear, self.feedforward)
        for field, wanted in (("targets", self.targets), ("feedforward", self.feedforward)):
            for name in [] if wanted == AUTO else wanted:
                if not chosen(linear, [name]):
                    raise no_match(model, "(IA)^3", name, linear, field)
        if self.targets == AUTO and not (outputs and inputs):
            raise ConfigError(
                f"adapter.targets: which matrices of a {type(model).__name__} are keys, values and the feed-forward"
                " layers' second is not known",
                f"name them, of {short_names(linear)}: -s 'adapter.targets=[...]' -s 'adapter.feedforward=[...]'",
            )
        if both := sorted({*outputs} & {*inputs}):
            raise ConfigError(f"adapter.feedforward: {both[0]} is among the targets as well", "name it once")
        return outputs, inputs

    def describe(self, model: PreTrainedModel) -> Targets:
        """Name the matrices, and what is trained whole."""
        from peft.tuners.ia3.layer import IA3Layer

        layers = [(name, module) for name, module in model.named_modules() if isinstance(module, IA3Layer)]
        what = f"(IA)^3 on {counted_names([name for name, _ in layers])}"
        if whole := peft_config(model).modules_to_save:
            what += f"; {short_names(sorted(whole))} whole"
        return Targets(what, trained_parameters(model), own_parameters(model))


def _inner(linear: list[str]) -> list[str]:
    found = chosen(linear, INNER)
    return found or [name for name in chosen(linear, [BESIDE_ATTENTION]) if "attention" not in name]
