"""Models from a directory: load one, fit its embedding to the tokenizer, check what a run needs of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.adapter import is_adapter
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.reading import damaged, reading
from llmkit.core.seal import changed_files, is_whole
from llmkit.modeling.architecture import SIZES, config_class, is_boundless, position_limit
from llmkit.modeling.directory import check_config, weight_files
from llmkit.modeling.finite import check_finite
from llmkit.modeling.gguf import weights_of
from llmkit.modeling.heads import Head, head_of
from llmkit.modeling.loaded import check_left_over, check_weights, loading, try_out, weightless
from llmkit.modeling.tokenizer import existing_directory, id_sections

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast


def load_model(
    path: str | Path,
    head: Head | None = None,
    *,
    dtype: torch.dtype | str = "float32",
    seed: int = 0,
    pad_token_id: int | None = None,
) -> PreTrainedModel:
    """Load a model from a directory or a GGUF file, in eval mode; the network is never asked.

    Attention is sdpa where the architecture has it, else eager; weights get `dtype`, whatever they have on disk.

    Args:
        path: The directory or the file.
        head: What must stand on its body; None for what its config.json says. Weights of a given head that are not
            there, or are for other labels, are new; any other must be there.
        dtype: Of the weights.
        seed: Seed of new weights; the global random state is left as it was.
        pad_token_id: What rows will be padded with, see `Head.configure`.

    Raises:
        DataError: Not a model directory, damaged or missing weights, weights that are no numbers, or no model that can
            have the head.
        ConfigError: The head's own fields make no sense.
    """
    import torch

    numbers: torch.dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    config = read_config(path, head)
    own, relabelled, merged = head_of(config), False, None
    folder = Path(path)
    if is_adapter(path):
        from llmkit.modeling.adapted import check_merges, load_adapted

        merged = load_adapted(folder, own, seed, pad_token_id)
        if head is None or (type(own) is type(head) and not head.relabels(config)):
            return merged.to(numbers)
        check_merges(path)
    else:
        folder = weights_of(existing_directory(path, "model"))
        weight_files(folder)
    if head is not None:
        relabelled = type(own) is not type(head) or head.relabels(config)
        head.configure(config, pad_token_id)
    model, info = _filled(path, folder if merged is None else merged, config, head or own, seed, numbers)
    model.config.name_or_path = str(path)  # what the user named, which a GGUF file's directory is not
    check_weights(model, info, head, path)
    check_finite(model, path)
    if type(own) is type(head or own):
        check_left_over(info, path)
    if head is not None and relabelled:
        _draw_outputs(model, info, head, seed)
    with loading(path), torch.random.fork_rng(devices=[]):
        try_out(model, head or own)
    model.config.architectures = [type(model).__name__]  # with the head that it has now, whatever it was saved with
    return model


def _filled(
    path: str | Path,
    weights: Path | PreTrainedModel,
    config: PreTrainedConfig,
    head: Head,
    seed: int,
    dtype: torch.dtype,
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Return a model with a head and what transformers says of its weights: those of a folder, or of another model."""
    import torch

    auto_model = head.auto_model()
    with loading(path), torch.random.fork_rng(devices=[]):
        apart = isinstance(weights, Path)
        kind = weightless(
            weights if isinstance(weights, Path) else Path(path), config, auto_model
        )  # before memory is taken
        torch.manual_seed(seed)
        found: tuple[PreTrainedModel, dict[str, Any]] = (auto_model if apart else type(kind)).from_pretrained(
            weights if apart else None,
            config=config,
            state_dict=None if isinstance(weights, Path) else weights.state_dict(),
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told apart by who calls, with names and shapes
        )
    return found


def _draw_outputs(model: PreTrainedModel, info: dict[str, Any], head: Head, seed: int) -> None:
    """Draw a last layer that was loaded, but is for other labels, anew: as transformers draws linear layers."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    new = {*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name not in new and head.may_be_new(name) and len(weight) == model.config.num_labels:
                if weight.ndim == 1:
                    weight.zero_()
                else:
                    weight.normal_(0, getattr(model.config, "initializer_range", 0.02), generator=generator)


def read_config(path: str | Path, head: Head | None = None) -> PreTrainedConfig:
    """Read a model directory's config.json.

    Raises:
        DataError: No model directory, or an architecture that cannot have the head.
    """
    folder = existing_directory(path, "model")
    if is_adapter(folder):
        from llmkit.modeling.adapted import adapted_config

        return check_head(adapted_config(folder), path, head)
    if not (folder / "config.json").is_file():
        inside = sorted(str(file.parent) for file in folder.glob("*/config.json"))
        hint = f"name one of the models in it: {', '.join(inside[:5])}" if inside else f"ls {path}"
        raise DataError(f"'{path}' is not a model directory: it holds no config.json", hint)
    from transformers import AutoConfig

    where = f"the model in '{path}'"
    config_class(check_config(folder)["model_type"], where, DataError, None)
    with reading(folder / "config.json"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    for name in SIZES:  # by their standard names, which the file need not have
        size = getattr(config, name, None)
        if isinstance(size, int) and size < 1 and not (name == "max_position_embeddings" and is_boundless(config)):
            raise damaged(folder / "config.json", f"{name}: expected at least 1, got {size}")
    return check_head(config, path, head)


def check_head(config: PreTrainedConfig, path: str | Path, head: Head | None) -> PreTrainedConfig:
    """Return a config that a model with the head may be made by.

    Raises:
        DataError: The architecture cannot have it.
    """
    if head is None:
        return config
    where = f"the model in '{path}'"
    own = head_of(config)
    if not head.takes_others and type(own) is not type(head) and config.architectures:
        saved = next(iter(sorted(head.architectures().get(config.model_type, ()))), None)
        hint = f"name one that was saved as {saved}" if saved else f"name another, for example of {head.examples}"
        if own.objective:
            hint += f"; `llmkit pretrain --model {path} -s objective={own.objective}` goes on with this one"
        raise DataError(f"{where} {head.refusal}: it was saved as {', '.join(config.architectures)}", hint)
    config_class(config.model_type, where, DataError, head)
    return config


def load_weights(model: PreTrainedModel, path: str | Path) -> None:
    """Fill a new model with the weights in a model directory or a checkpoint.

    Raises:
        DataError: There are none, they are damaged or of another model, or they are no numbers.
    """
    from safetensors.torch import load_file

    folder = weights_of(existing_directory(path, "init_from"))
    if is_whole(folder) and (changed := changed_files(folder)):
        raise DataError(f"init_from: {path} is damaged: {changed[0]} is not what was written", f"ls {folder.parent}")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise DataError(f"'{path}' holds no *.safetensors", f"ls {path}")
    weights: dict[str, torch.Tensor] = {}
    for file in files:
        with reading(file):
            weights |= load_file(file)
    fill_weights(model, weights, path)
    check_finite(model, path)


def fill_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor], where: str | Path) -> None:
    """Copy weights into a model; of tied ones, which are one tensor under several names, one name is enough.

    Those that are not trained may be missing: a checkpoint has them no more, since they are as they were.

    Raises:
        DataError: Names or shapes differ; the message has the first that does.
    """
    import torch

    own = model.state_dict()
    names: dict[int, list[str]] = {}
    for name, tensor in own.items():
        part = getattr(tensor, "_local_tensor", tensor)  # of a sharded one, which has no memory of its own
        names.setdefault(part.data_ptr() if part.numel() else id(tensor), []).append(name)
    frozen = frozen_names(model)
    missing = sorted(alike[0] for alike in names.values() if not (weights.keys() | frozen) & set(alike))
    unknown = sorted(weights.keys() - own.keys())
    hint = "use the recipe that it was made with"
    if missing or unknown:
        lacks = f"it has no {missing[0]}" if missing else f"the model has no {unknown[0]}"
        raise DataError(f"{where} is of another model: {lacks}", hint)
    for name, tensor in sorted(weights.items()):
        if tensor.shape != own[name].shape:
            shapes = f"{list(tensor.shape)} there, {list(own[name].shape)} in the recipe's model"
            raise DataError(f"{where} is of another model: {name} is {shapes}", hint)
    for alike in names.values():
        given = [name for name in alike if name in weights]
        if any(not torch.equal(weights[given[0]], weights[name]) for name in given[1:]):
            what = f"{' and '.join(given)} differ there, and are one tensor in the recipe's model"
            raise DataError(f"{where} is of another model: {what}", hint)
    model.load_state_dict(weights, strict=False)


def frozen_names(model: torch.nn.Module) -> set[str]:
    """Return the names of the parameters that are not trained, tied ones by each of theirs."""
    named = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in named if not parameter.requires_grad}


def grow_embeddings(model: PreTrainedModel, size: int, known: int | None = None) -> int:
    """Append embedding rows up to `size` and return how many: the mean of the rows there were.

    Rows from `known` on are new though they are there: models have more rows than tokens, to fill up a multiple.

    The rows of the output layer, tied or not, and its bias grow alike. A model with enough rows stays as it is. The
    mean is what Hewitt 2021 ("Initializing new word embeddings for pretrained language models") shows to be safe: new
    tokens start near the average probability, while zeros or small random rows can take it all. Nothing is random.
    """
    import torch

    rows = int(model.get_input_embeddings().weight.shape[0])
    old = rows if known is None else min(rows, known)
    if size <= old:
        return 0
    if size > rows:
        with torch.random.fork_rng(devices=[]):  # the rows are drawn first, then overwritten
            model.resize_token_embeddings(size, mean_resizing=False)
    head = model.get_output_embeddings()
    weights = [model.get_input_embeddings().weight, *([] if head is None else [head.weight])]
    with torch.no_grad():
        for tensor in weights:  # tied ones are set twice, to the same mean
            tensor[old:size] = tensor[:old].mean(dim=0, keepdim=True)
        if head is not None and head.bias is not None:  # what is there is no adapter's to change
            head.bias[rows:size] = head.bias[:rows].mean()
    return size - old


def check_extension(old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast, where: str | Path) -> None:
    """Make sure that a tokenizer gives every text the ids the model knows, but for tokens added at the end.

    Raises:
        DataError: The tokenizers differ in anything else.
    """
    sections = [id_sections(tokenizer.backend_tokenizer) for tokenizer in (old, new)]
    same = all({**s, "added_tokens": None} == {**sections[0], "added_tokens": None} for s in sections)
    before, after = ({i: str(t) for i, t in tokenizer.added_tokens_decoder.items()} for tokenizer in (old, new))
    added = after.keys() - before.keys()
    if not same or any(after.get(i) != token for i, token in before.items()) or any(i < len(old) for i in added):
        raise DataError(
            f"model.path: the model was trained with another tokenizer than the one in {where}",
            "only tokens added at its end may differ; tokenize with `--tokenizer` naming the model's directory",
        )


def count_parameters(model: torch.nn.Module) -> int:
    """Return the number of parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def check_vocabulary(model: PreTrainedModel | PreTrainedConfig, tokenizer_size: int, where: str | Path) -> None:
    """Make sure that every id of the tokenizer in `where` has a row in the embedding.

    Raises:
        DataError: The embedding is too small; the message has both numbers and both paths.
    """
    config = getattr(model, "config", model)
    has_rows = hasattr(model, "get_input_embeddings")
    rows = model.get_input_embeddings().weight.shape[0] if has_rows else config.get_text_config().vocab_size
    if tokenizer_size > rows:
        named = f"model in '{config.name_or_path}'" if config.name_or_path else "model"
        raise DataError(
            f"the tokenizer in '{where}' has {tokenizer_size} ids, but the {named} has only {rows} embedding rows",
            "use the tokenizer the model was trained with",
        )


def check_positions(config: PreTrainedConfig, context_length: int, where: str | Path) -> None:
    """Make sure that a model has a position for every token of a block.

    Raises:
        ConfigError: The context is longer than the model's positions.
    """
    limit = position_limit(config)
    if limit is not None and context_length > limit:
        raise ConfigError(
            f"context_length: {context_length} is over the {limit} positions of the model in {where}",
            hint=f"--set context_length={limit}",
        )
