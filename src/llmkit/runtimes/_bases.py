"""Models of transformers that are loaded together: the weights that several of them have alike are in memory once.

An adapter's layers stay beside the weights of its base, which its own model has from the same memory: nothing is
switched between two requests, and nothing that one of them computes can be seen by another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.adapter import base_of, is_adapter

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head
    from llmkit.runtimes import Running
    from llmkit.runtimes._in_memory import InMemory


class Bases:
    """Loads models; a base that more than one of them stands on is kept.

    Args:
        models: Paths of all that will be loaded.

    Raises:
        DataError: An adapter's base is not there, or has changed.
    """

    def __init__(self, models: Iterable[str]) -> None:
        used = Counter(map(_base, models))
        self._shared = {base for base, times in used.items() if times > 1}
        self._loaded: dict[tuple[Path, Any], PreTrainedModel] = {}

    def load(self, where: str) -> InMemory | None:
        """Load a model onto its base, and the base first if it is not there; None if it shares no weights.

        Raises:
            As `Runtime.load` does.
        """
        from llmkit.modeling.adapted import keeps_vocabulary, stand_on, twin
        from llmkit.runtimes.transformers import opened

        base, folder = _base(where), Path(where)
        if base not in self._shared or (is_adapter(folder) and not keeps_vocabulary(folder)):
            return None
        model = self._model(base, folder)
        return opened(stand_on(model, folder) if is_adapter(folder) else twin(model), where)

    def own_bytes(self, running: Running) -> int | None:
        """Return the bytes of a model's weights that it has by itself; None if it shares nothing."""
        if not self._shared or _base(running.where) not in self._shared or not hasattr(running, "model"):
            return None
        kept = {each.data_ptr() for model in self._loaded.values() for each in model.parameters()}
        own: dict[int, int] = {each.data_ptr(): each.nbytes for each in running.model.parameters()}
        if kept.isdisjoint(own):
            return None
        return sum(size for place, size in own.items() if place not in kept)

    def _model(self, base: Path, folder: Path) -> PreTrainedModel:
        """Return the base with the head that a model of it has."""
        import torch

        from llmkit.modeling.heads import head_of
        from llmkit.modeling.load import load_model, read_config

        config = read_config(folder)
        head = _other_head(base, folder)
        key = base, None if head is None else (type(head), tuple((config.id2label or {}).values()))
        if key not in self._loaded:
            pads = config.pad_token_id if head_of(config).answer != "tokens" else None
            model = load_model(base, head, pad_token_id=pads) if head is not None else load_model(base)
            model = model.to("cuda" if torch.cuda.is_available() else "cpu").requires_grad_(requires_grad=False)
            for other in (one for (path, _), one in self._loaded.items() if path == base):
                _share(model, other)
            self._loaded[key] = model
        return self._loaded[key]


def _base(where: str) -> Path:
    return (base_of(where) if is_adapter(where) else Path(where)).resolve()


def _other_head(base: Path, folder: Path) -> Head | None:
    """Return the head of a model on a base, if the base was saved with another one or for other labels."""
    from llmkit.modeling.heads import head_of
    from llmkit.modeling.load import read_config

    if not is_adapter(folder):
        return None
    own, config = head_of(read_config(folder)), read_config(base)
    return own if type(head_of(config)) is not type(own) or own.relabels(config) else None


def _share(model: PreTrainedModel, other: PreTrainedModel) -> None:
    """Let a model have the weights that are equal in another one from there."""
    import torch

    there = dict(other.named_parameters())
    for name, weight in model.named_parameters():
        if (known := there.get(name)) is not None and torch.equal(weight, known):
            weight.data = known.data
