"""How the vectors of a text's tokens become one: as the files of sentence-transformers say, else their mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.adapter import CONFIG
from llmkit.core.errors import DataError
from llmkit.core.inputs import Inputs, RawFile
from llmkit.core.json import dumps
from llmkit.core.reading import damaged, read_json, reading
from llmkit.data.artifacts import Model

if TYPE_CHECKING:
    import torch

MODULES, SETTINGS, TEXTS = Model.MODULES, Model.MODULE_SETTINGS, Model.MODULE_TEXTS
POOLING, NORMALIZE = "1_Pooling", "2_Normalize"
_TYPES = {"": "Transformer", POOLING: "Pooling", NORMALIZE: "Normalize"}
MODES = {
    "cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens", "mean_sqrt_len": "mean_sqrt_len_tokens",
    "weightedmean": "weightedmean_tokens", "lasttoken": "lasttoken",
}  # fmt: skip
"""Names of ways, and what follows `pooling_mode_` where each has a switch; several are joined in this order."""
SIDES = {"query": ("query",), "document": ("document", "passage", "corpus")}
"""What is searched with and what is searched, each with the names of its prompts in files of sentence-transformers."""


@dataclass(frozen=True)
class Pooling:
    """How a text's vector is made.

    Attributes:
        modes: Ways of `MODES`; the vectors of several are joined.
        normalized: It is made one long, so that a product of two is their cosine.
        max_tokens: Tokens that the model was trained to read at most; None where nothing is said of that.
        prompt: What is put before every text.
        files: Files below the model's directory that say so, relative to it.
        prompts: What is put before texts of some kind, by the kind's name, such as `query`.
    """

    modes: tuple[str, ...] = ("mean",)
    normalized: bool = False
    max_tokens: int | None = None
    prompt: str = ""
    files: tuple[str, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return `[rows, dimensions]` of the tokens' vectors `[rows, time, hidden]` and a mask `[rows, time]`."""
        import torch

        vector = self.pool(hidden, mask)
        return torch.nn.functional.normalize(vector, dim=1) if self.normalized else vector

    def pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the same before its length is made one."""
        import torch

        parts = [_pool(mode, hidden, mask) for mode in self.modes]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def sides(self) -> dict[str, str]:
        """Return what is put before a text of either side of a search, else that of every text, which is named ``."""
        found = {side: [self.prompts[name] for name in names if name in self.prompts] for side, names in SIDES.items()}
        return {"": self.prompt, **{side: own[0] if own else self.prompt for side, own in found.items()}}

    def describe(self) -> str:
        """Return it in words."""
        how = f"{' and '.join(self.modes)} of the tokens' vectors{', normalized' if self.normalized else ''}"
        return how + (f", {self.prompt!r} before every text" if self.prompt else "")


def pooling_of(folder: Path) -> Pooling:
    """Return how the model in a directory makes vectors.

    Raises:
        DataError: Its files are damaged, or ask for what is not done here: a layer behind the pooling, for example.
    """
    if not (folder / MODULES).is_file():
        return Pooling()
    with reading(folder / MODULES):
        modules = json.loads((folder / MODULES).read_bytes())
    if not isinstance(modules, list) or not all(
        isinstance(module, dict) and isinstance(module.get("type"), str) for module in modules
    ):
        raise damaged(folder / MODULES, "it is no list of modules with a type each")
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        raise DataError(
            f"the model in '{folder}' makes vectors by {', '.join(kinds)}, and here it is a Transformer, a Pooling and"
            " perhaps a Normalize",
            "sentence-transformers runs such a model",
        )
    place = f"{modules[1].get('path', '')}/{CONFIG}"
    if not (folder / place).is_file():
        raise DataError(f"the model in '{folder}' lacks {place}, which {MODULES} names", "is it copied whole?")
    settings, values = _settings(folder, SETTINGS), read_json(folder / place)
    longest, prompts = settings.get("max_seq_length"), _prompts(folder)
    if values.get("include_prompt") is False and any(prompts.values()):
        raise DataError(
            f"the model in '{folder}' leaves the tokens of its prompts out of its vectors, which is not done here",
            "sentence-transformers runs such a model",
        )
    return Pooling(
        modes=_modes(folder / place, values),
        normalized="Normalize" in kinds,
        max_tokens=longest if type(longest) is int and longest > 0 else None,
        prompt=prompts.get(str(_settings(folder, TEXTS).get("default_prompt_name")), ""),
        files=(place,),
        prompts=prompts,
    )


def add_pooling(folder: Path, inputs: Inputs) -> None:
    """Add the files in folders of a model's directory that say how it makes vectors: without them it has another."""
    if names := pooling_of(folder).files:
        found = [RawFile(str((folder / name).resolve()), name, (folder / name).stat().st_size) for name in names]
        inputs.add_files(str(folder.resolve()), found, role="pooling")


def write_pooling(folder: Path, pooling: Pooling, dimension: int) -> None:
    """Write beside a model what sentence-transformers, from 2 on, needs to make the same vectors.

    Args:
        folder: The model's directory.
        pooling: How its vectors are made.
        dimension: Numbers of a token's vector.
    """
    places = ["", POOLING, *([NORMALIZE] if pooling.normalized else [])]
    modules = [
        {"idx": i, "name": str(i), "path": place, "type": f"sentence_transformers.models.{_TYPES[place]}"}
        for i, place in enumerate(places)
    ]
    switches = {f"pooling_mode_{switch}": mode in pooling.modes for mode, switch in MODES.items()}
    named = [name for name, prompt in pooling.prompts.items() if pooling.prompt and prompt == pooling.prompt]
    files = {
        MODULES: modules,
        SETTINGS: {"max_seq_length": pooling.max_tokens, "do_lower_case": False},
        TEXTS: {
            "model_type": "SentenceTransformer",
            "prompts": dict(pooling.prompts),
            "default_prompt_name": named[0] if named else None,
            "similarity_fn_name": "cosine",
        },
        f"{POOLING}/{CONFIG}": {"word_embedding_dimension": dimension, **switches, "include_prompt": True},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dumps(content, indent=2) + "\n", encoding="utf-8")


def _settings(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder / name) if (folder / name).is_file() else {}


def _modes(path: Path, values: Mapping[str, Any]) -> tuple[str, ...]:
    named = values.get("pooling_mode", [])
    names = [str(name).removesuffix("_tokens") for name in ([named] if isinstance(named, str) else named)]
    modes = tuple(
        mode for mode, switch in MODES.items() if values.get(f"pooling_mode_{switch}") is True or mode in names
    )
    if not modes:
        raise damaged(path, f"it names no way of pooling; there are {', '.join(MODES)}")
    return modes


def _prompts(folder: Path) -> dict[str, str]:
    prompts = _settings(folder, TEXTS).get("prompts")
    found = prompts if isinstance(prompts, dict) else {}
    return {name: prompt for name, prompt in found.items() if isinstance(prompt, str)}


def _pool(mode: str, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    import torch

    lengths = mask.sum(1)
    if mode == "cls":
        return hidden[:, 0]
    if mode == "lasttoken":
        return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]
    if mode == "max":
        return hidden.masked_fill(~mask.bool()[..., None], -torch.inf).amax(1)
    weights = mask.to(hidden.dtype)
    if mode == "weightedmean":  # later tokens of a decoder have seen more
        weights = weights * torch.arange(1, mask.shape[1] + 1, device=mask.device, dtype=hidden.dtype)
    total = torch.einsum("rtd,rt->rd", hidden, weights)
    return total / (lengths.to(hidden.dtype).sqrt() if mode == "mean_sqrt_len" else weights.sum(1))[:, None]
