"""Family "head": what stands on a model's body, and what the whole answers, one module each."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

from llmkit.core.registry import Family, Part

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Answer = Literal["tokens", "token_labels", "label", "number", "span", "vector"]
"""What a model answers. tokens: text that it writes. token_labels: one of a fixed set for every token. label: one of a
fixed set, or several, for the whole text. number: one or more for the whole text. span: where an answer begins and
ends. vector: the text as a point."""


class Head(Part):
    """What stands on a body: how the model is built and loaded, what it answers, and how it is used.

    Attributes:
        auto_class: The transformers auto class that builds and loads its models.
        table: Name of transformers' mapping of the architectures that have it.
        refusal: What to say of an architecture that has it not: `is not a causal language model`.
        examples: A few that have it.
        pipeline: The model card's `pipeline_tag`.
        peft_task: What peft calls the task, for an adapter's `task_type`; None where it has no name for it.
        chosen: What a model chooses by its numbers, in the plural; an export must choose the same.
        objective: The objective of pretraining that goes on with such a model, for hints; None if none does.
        new: Modules of the head: a model directory without them still loads, and theirs are new weights.
        takes_others: A model that was saved with another head may be loaded with this one.
        rank: The lowest is meant where a class of transformers serves several heads, or a config names no class.
    """

    auto_class: ClassVar[str]
    table: ClassVar[str]
    refusal: ClassVar[str]
    examples: ClassVar[str]
    pipeline: ClassVar[str]
    peft_task: ClassVar[str | None] = None
    chosen: ClassVar[str] = "answers"
    objective: ClassVar[str | None] = None
    new: ClassVar[frozenset[str]] = frozenset()
    takes_others: ClassVar[bool] = True
    rank: ClassVar[int] = 10

    @property
    def answer(self) -> Answer:
        """The kind of answer: all that parity and runtimes know of a head."""
        raise NotImplementedError

    def usage(self, *, chat: bool = False) -> str:
        """Return the card's code that uses `model` and `tokenizer`; `chat` if the model was trained on a template."""
        raise NotImplementedError

    @classmethod
    def of(cls, config: PreTrainedConfig) -> Self:  # noqa: ARG003 - heads with fields read them
        """Return the head of a saved model by its config."""
        return cls()

    @classmethod
    def architectures(cls) -> Mapping[str, frozenset[str]]:
        """Return the names of the classes of each architecture that has the head, by `model_type`."""
        return _architectures(cls.table)

    def auto_model(self) -> Any:
        """Return the auto class itself."""
        import transformers

        return getattr(transformers, self.auto_class)

    def token_ids(self, arch: str, ids: Mapping[str, int | None]) -> dict[str, int | None]:  # noqa: ARG002
        """Return what the config of a new model takes of the tokenizer's special ids, by its standard names.

        Args:
            arch: The architecture, for errors.
            ids: `bos`, `eos`, `pad` and, where the tokenizer has them, `cls` and `sep`.

        Raises:
            ConfigError: The tokenizer lacks one.
        """
        found = {f"{name}_token_id": i for name, i in ids.items()}
        if ids["pad"] in (ids["bos"], ids["eos"]):
            # The embedding of the padding id starts at zero and gets no gradient: EOS must never be it.
            found["pad_token_id"] = None
        return found

    def configure(self, config: PreTrainedConfig, pad_token_id: int | None = None) -> None:
        """Set what the head needs in a config, before weights are made or loaded.

        Args:
            config: Of a new model or of a model directory; changed in place.
            pad_token_id: What the tokenizer pads with.

        Raises:
            ConfigError: The head's own fields make no sense.
        """
        starts = getattr(config, "decoder_start_token_id", None) is not None
        if config.is_encoder_decoder and pad_token_id is not None and not starts:
            config.decoder_start_token_id = pad_token_id  # some config classes have no such field, all models read it

    def save_beside(self, directory: Path, config: PreTrainedConfig, max_tokens: int) -> None:
        """Write what other libraries need beside a model that was trained on texts of so many tokens at most."""

    def may_be_new(self, name: str) -> bool:
        """Tell whether a model directory may lack a weight, by its name: `classifier.bias`, `bert.pooler.dense.bias`.

        Anything else that is missing makes the model unusable.
        """
        return not self.new.isdisjoint(name.split(".")[:2])

    def relabels(self, config: PreTrainedConfig) -> bool:  # noqa: ARG002 - only outputs with names can have others
        """Tell whether the outputs of a saved model, by its config, stand for something else than this head's."""
        return False


@functools.cache
def _architectures(table: str) -> dict[str, frozenset[str]]:
    """Return what a mapping of transformers says: hundreds of names, which are asked for with every model."""
    from transformers.models.auto import modeling_auto

    names = getattr(modeling_auto, table)
    return {arch: frozenset([name] if isinstance(name, str) else name) for arch, name in names.items()}


def heads() -> list[type[Head]]:
    """Return all heads, by rank; those of the user's own that this process has imported are among them."""
    family = Family("head")
    known = [*(family.load(name) for name in family.members()), *family.own()]
    return sorted((cast("type[Head]", head) for head in known), key=lambda head: head.rank)


def head_of(config: PreTrainedConfig) -> Head:
    """Return the head of the class that a config's `architectures` names, else the first that its architecture has.

    Args:
        config: Of an architecture that has any; `architecture.config_class` refuses others.
    """
    saved = set(config.architectures or ())
    classes = {head: head.architectures().get(config.model_type, frozenset()) for head in heads()}
    named = [head for head in classes if saved & classes[head]]
    return next(head for head in (*named, *classes) if classes[head]).of(config)
