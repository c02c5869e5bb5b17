"""Family "adapter": what of a model is trained, one module each, and how that is saved, loaded and merged."""

# ruff: noqa: ARG002 - not every member reads all of what the family is given

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from llmkit.core.errors import ConfigError
from llmkit.core.registry import Family, Part

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head


@dataclass(frozen=True)
class Base:
    """The model that an adapter is trained on.

    Attributes:
        path: Its directory or file, as the user wrote it.
        digest: `llmkit.core.adapter.base_digest` of it.
    """

    path: str
    digest: str


@dataclass(frozen=True)
class Targets:
    """What of a model is trained.

    Attributes:
        what: In words: `LoRA of rank 16 on q_proj and v_proj`.
        trained: Parameters that are trained.
        total: Parameters of the model, tied ones once; what an adapter adds beside them is not among these.
    """

    what: str
    trained: int
    total: int

    @property
    def words(self) -> str:
        """A line for people."""
        share = 100 * self.trained / self.total
        return f"{self.trained:,} parameters are trained, {share:.3g}% of the model's {self.total:,}: {self.what}"


class Adapter(Part):
    """What of a model is trained.

    Attributes:
        is_apart: A run leaves the adapter alone, which is nothing without its base; else it leaves a whole model.
        merges: A model with the adapter can be made a plain one.
        packs: Rows may share a block; else each has one of its own.
        peft_type: What peft calls an adapter that is apart.
    """

    is_apart: ClassVar[bool] = False
    merges: ClassVar[bool] = True
    packs: ClassVar[bool] = True
    peft_type: ClassVar[str | None] = None

    def needs(self) -> tuple[str, str] | None:
        """Return an extra that it takes and which of its modules; None for none."""
        return None

    @property
    def num_virtual(self) -> int:
        """Virtual tokens before each row, which take positions."""
        return 0

    def wrap(self, model: PreTrainedModel, head: Head, *, seed: int = 0, grown: range = range(0)) -> None:
        """Freeze what is not trained, and add what is; in place.

        Args:
            model: A model on any device, the meta device included.
            head: What stands on its body.
            seed: Seed of new weights; the global random state is left as it was.
            grown: Rows of the embedding that are new, for tokens that the model was never trained with.

        Raises:
            ConfigError: The model has nothing of what is to be trained, or it cannot be trained so.
        """
        raise NotImplementedError

    def describe(self, model: PreTrainedModel) -> Targets:
        """Say what of a wrapped model is trained."""
        raise NotImplementedError

    def save(
        self, directory: Path, model: PreTrainedModel, base: Base | None, weights: dict[str, Any] | None = None
    ) -> None:
        """Write what was trained and the configs, so that the libraries of the field load them.

        Args:
            directory: Where to.
            model: The wrapped model; it is left as it is.
            base: What it was wrapped as; None for a model that is new.
            weights: To be written instead of the model's own; {} for none.
        """
        model.save_pretrained(directory, state_dict=weights)

    def load(self, model: PreTrainedModel, directory: Path) -> None:
        """Wrap a base as a saved adapter says, and fill in its weights.

        Raises:
            DataError: They are damaged, or of another base.
        """
        raise ConfigError(f"adapter: {self.type_name} leaves a whole model: `load_model` loads it")

    def merge(self, model: PreTrainedModel) -> None:
        """Turn a wrapped model into a plain one that answers the same, in place."""

    @contextmanager
    def off(self, model: PreTrainedModel) -> Iterator[None]:
        """Switch the adapter off for a while: the model answers as its base.

        Raises:
            ConfigError: The base's own weights are trained, and what they were is kept nowhere.
        """
        raise ConfigError(
            f"adapter: {self.type_name} trains the model's own weights: there is nothing to switch off",
            "adapter=lora leaves them as they are",
        )
        yield


def adapter_of(kind: str) -> Adapter | None:
    """Return the member that loads what peft calls a type, such as `LORA`; None where there is none."""
    family = Family("adapter")
    parts = (cast("type[Adapter]", family.load(name)) for name in family.members())
    return next((part() for part in parts if part.peft_type == kind), None)


def trained_parameters(model: Any) -> int:
    """Return the number of parameters that are trained, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
