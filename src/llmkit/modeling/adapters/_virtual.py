"""What adapters of virtual tokens share: trained vectors before each row, which the body sees and nothing behind it.

The body of the model is called with them and its outputs are cut to the row again, so that heads, losses, pooling and
generation know nothing of them. They cannot be computed into the model's weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from llmkit.core.adapter import ADAPTER, WEIGHTS
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.reading import damaged
from llmkit.modeling.adapters import Adapter, Base, Targets, trained_parameters
from llmkit.modeling.adapters._parts import head_modules, short_names
from llmkit.modeling.adapters._peft import read_adapter, read_weights, write_adapter

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head

MODULE = "virtual_tokens"
"""What the trained vectors are called in a model."""
SAVED = "prompt_embeddings"
"""The same in peft's file."""
PREFIX = "base_model."
"""What `PeftModel` puts before names of the model, which has no layers put in."""


class Virtual(Adapter):
    """Vectors before each row."""

    tokens: int = Field(20, ge=1)
    """Virtual tokens before each row; a model with a limit of positions has so many fewer for the row."""

    is_apart: ClassVar[bool] = True
    merges: ClassVar[bool] = False
    packs: ClassVar[bool] = False
    words: ClassVar[str] = ""
    """What is before the rows, for people."""

    @property
    def num_virtual(self) -> int:
        """Virtual tokens before each row."""
        return self.tokens

    def wrap(self, model: PreTrainedModel, head: Head, *, seed: int = 0, grown: range = range(0)) -> None:
        """Freeze the model but for new heads, and put the vectors before what its body reads.

        Raises:
            ConfigError: The model is an encoder-decoder, or has new rows for tokens.
        """
        import torch

        if model.config.is_encoder_decoder:
            raise ConfigError(
                f"adapter: {self.type_name} is for models of one stack, and a {type(model).__name__} has an encoder"
                " and a decoder",
                "adapter=lora",
            )
        if grown:
            raise ConfigError(
                f"adapter: the tokenizer has {len(grown):,} tokens that the model has no rows for, and {self.type_name}"
                " trains none",
                "adapter=lora does",
            )
        whole = head_modules(model, head)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(any(name.startswith(f"{module}.") for module in whole))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._put_in(model, self.start(model), whole, head.peft_task)

    def _put_in(self, model: PreTrainedModel, start: torch.Tensor, whole: list[str], task: str | None) -> None:
        from torch import nn

        holder = nn.Module()
        holder.register_parameter("weight", nn.Parameter(start))
        model.add_module(MODULE, holder)
        body = model.base_model
        vars(holder)["hooks"] = [
            body.register_forward_pre_hook(lambda _, args, kwargs: self._before(model, args, kwargs), with_kwargs=True),
            body.register_forward_hook(lambda _, __, ___, output: self._behind(model, output), with_kwargs=True),
        ]
        model.config.virtual_tokens = len(start)  # `position_limit` is so much less
        vars(holder).update(whole=whole, task=task, off=False, cut=0)

    def start(self, model: PreTrainedModel) -> torch.Tensor:
        """Return the vectors that training begins with, `[tokens, ...]`."""
        raise NotImplementedError

    def put_before(self, model: PreTrainedModel, vectors: torch.Tensor, inputs: dict[str, Any], past: int) -> int:
        """Change what the body is called with, and return how many of its positions are to be cut off again.

        Args:
            model: The model.
            vectors: Those that are trained.
            inputs: What its body is called with.
            past: Positions in the cache; virtual ones are among these where there are any.
        """
        raise NotImplementedError

    def peft_config(self, model: PreTrainedModel) -> Any:
        """Return peft's config."""
        raise NotImplementedError

    def _before(self, model: PreTrainedModel, args: Any, kwargs: dict[str, Any]) -> Any:
        holder = vars(model.get_submodule(MODULE))
        holder["cut"] = 0
        if holder["off"]:
            return None
        inputs = dict(kwargs)
        if args:
            inputs["input_ids"] = args[0]
        cache = inputs.get("cache", inputs.get("past_key_values"))
        past = 0 if cache is None else int(cache.get_seq_length())
        mask, positions = inputs.get("attention_mask"), inputs.get("position_ids")
        if mask is not None and mask.ndim == 2:
            inputs["attention_mask"] = _filled_before(mask, self.tokens, 1)
        if positions is not None:
            inputs["position_ids"] = positions + self.tokens
        holder["cut"] = self.put_before(model, model.get_submodule(MODULE).weight, inputs, past)
        return (), inputs

    def _behind(self, model: PreTrainedModel, output: Any) -> Any:
        cut = vars(model.get_submodule(MODULE))["cut"]
        if cut:
            output["last_hidden_state"] = output["last_hidden_state"][:, cut:]
            if output.get("hidden_states") is not None:
                output["hidden_states"] = tuple(states[:, cut:] for states in output["hidden_states"])
        return output

    def describe(self, model: PreTrainedModel) -> Targets:
        """Say how many vectors there are, and what is trained whole."""
        holder = model.get_submodule(MODULE)
        what = f"{self.tokens} {self.words} before each row"
        if whole := vars(holder)["whole"]:
            what += f"; {short_names(sorted(whole))} whole"
        own = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in holder.parameters())
        return Targets(what, trained_parameters(model), own)

    def save(
        self, directory: Path, model: PreTrainedModel, base: Base | None, weights: Mapping[str, Any] | None = None
    ) -> None:
        """Write adapter_config.json and adapter_model.safetensors, as peft does, and what llmkit knows of the base."""
        assert base is not None, "an adapter is of a model that was there"
        holder = model.get_submodule(MODULE)
        whole, task = vars(holder)["whole"], vars(holder)["task"]
        tensors: dict[str, Any] = {SAVED: holder.weight.detach()} if weights is None else dict(weights)
        for name, parameter in model.named_parameters() if weights is None else ():
            if any(name.startswith(f"{module}.") for module in whole):
                tensors[f"{PREFIX}{name}"] = parameter.detach()
        config = self.peft_config(model)
        config.task_type = task
        if whole:
            config.modules_to_save = whole
        write_adapter(directory, config, tensors, model, base)

    def load(self, model: PreTrainedModel, directory: Path) -> None:
        """Put saved vectors before what the body of a base reads, and saved heads in their place.

        Raises:
            DataError: They are damaged, or of another base.
        """
        config, tensors = read_adapter(directory), read_weights(directory)
        where = f"the adapter in '{directory}' is not of this base"
        hint = f"base_model_name_or_path in {directory / ADAPTER} names it"
        if SAVED not in tensors:
            raise damaged(directory / WEIGHTS, f"it lacks {SAVED}", hint)
        vectors = tensors.pop(SAVED)
        own = self.model_copy(update={"tokens": len(vectors)})
        if vectors.shape != own.start(model).shape or config.num_virtual_tokens != len(vectors):
            raise DataError(f"{where}: {SAVED} is {list(vectors.shape)}, not {list(own.start(model).shape)}", hint)
        parameters = dict(model.named_parameters())
        import torch

        with torch.no_grad():
            for name, tensor in tensors.items():
                found = parameters.get(name.removeprefix(PREFIX).replace(".modules_to_save.default", ""))
                if found is None or found.shape != tensor.shape:
                    raise DataError(f"{where}: it has no {name} of {list(tensor.shape)}", hint)
                found.copy_(tensor)
        model.requires_grad_(requires_grad=False)
        own._put_in(model, vectors.clone(), [], config.task_type)
        model.requires_grad_(requires_grad=False).eval()

    def merge(self, model: PreTrainedModel) -> None:
        """Leave the model as it is: no weight of it could do what the vectors do."""

    @contextmanager
    def off(self, model: PreTrainedModel) -> Iterator[None]:
        """Answer without the vectors; new heads stay."""
        holder = vars(model.get_submodule(MODULE))
        holder["off"] = True
        try:
            yield
        finally:
            holder["off"] = False


def has_virtual_tokens(model: Any) -> bool:
    """Tell whether a model has vectors before its rows, which no plain model has."""
    return hasattr(model, MODULE)


def _filled_before(tensor: torch.Tensor, count: int, value: int) -> torch.Tensor:
    import torch

    return torch.cat([tensor.new_full((len(tensor), count), value), tensor], 1)
