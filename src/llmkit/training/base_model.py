"""The model that a training on rows or documents begins with: tokenizer, lengths, head, new rows, what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.adapter import base_digest
from llmkit.core.console import Console
from llmkit.core.errors import ConfigError
from llmkit.core.hub import located
from llmkit.data.clock import date_of, has_clock, set_date, today
from llmkit.data.rendering import chosen_template, give_template
from llmkit.data.templates.shipped import SHIPPED
from llmkit.modeling.adapters import Adapter, Base, Targets
from llmkit.modeling.heads import head_of
from llmkit.modeling.load import check_positions, check_vocabulary, grow_embeddings, load_model, read_config
from llmkit.modeling.tokenizer import load_tokenizer
from llmkit.modeling.vocabulary import Vocabulary, vocabulary_of
from llmkit.objectives.documents import DocumentObjective
from llmkit.objectives.rows import RowObjective
from llmkit.training.config import RowTrainingConfig
from llmkit.training.finish import check_templates

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.companions import Models


def fit(
    config: RowTrainingConfig, objective: RowObjective, path: Path, console: Console
) -> tuple[RowTrainingConfig, PreTrainedTokenizerFast]:
    """Return the config with what the model decides, and the tokenizer as the model is served with it.

    A tokenizer gets a chat template where the objective needs one; else one to pad with, and it gives the types of
    tokens only to models that have several.
    """
    from llmkit.data.borders import mend_template

    # Of chats the head comes first: an encoder needs no template.
    shape = read_config(path, objective.model_head() if objective.chats else None)
    tokenizer = load_tokenizer(path)
    check_templates(tokenizer)  # rows are encoded by a copy of it, which is saved first
    objective.suit(tokenizer, shape)
    if objective.chats:
        give_template(tokenizer, config.template, console.info)
        template = tokenizer.chat_template = chosen_template(tokenizer.chat_template)
        set_date(tokenizer, (config.date or today()) if has_clock(template) else None)
        if (date := date_of(tokenizer)) is not None:
            console.info(f"the chat template asks for the date: it is {date} in this run, whenever it goes on")
        mend_template(tokenizer, console.info)
    else:
        if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
            tokenizer.pad_token = tokenizer.eos_token
        if getattr(shape, "type_vocab_size", 0) < 2:
            tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    return fit_lengths(config, shape), tokenizer


def fit_lengths(config: RowTrainingConfig, shape: PreTrainedConfig) -> RowTrainingConfig:
    """Return the config with the limits that are not given: the default epochs, and the model's own positions."""
    from llmkit.modeling.architecture import position_limit

    updates: dict[str, Any] = {} if config.limited else {"max_epochs": config.default_epochs}
    virtual = config.adapter.num_virtual
    limit = None if (positions := position_limit(shape)) is None else max(1, positions - virtual)
    if virtual and limit is not None and limit < config.context_length and "context_length" in config.model_fields_set:
        raise ConfigError(
            f"context_length: {config.context_length} and {virtual} virtual tokens are over the model's"
            f" {positions} positions",
            f"-s context_length={limit}",
        )
    if limit is not None and limit < config.context_length and "context_length" not in config.model_fields_set:
        updates |= {"context_length": limit, "batch_tokens": max(1, config.batch_tokens // limit) * limit}
    return config.model_copy(update=updates)


def load(
    config: RowTrainingConfig,
    objective: RowObjective | DocumentObjective,
    vocabulary: Vocabulary,
    path: Path,
    tokenizer: PreTrainedTokenizerFast,
    console: Console,
) -> tuple[Models, range]:
    """Load the model with the objective's head and those beside it, and check that it suits; return its new rows."""
    from llmkit.modeling.companions import have_companions
    from llmkit.modeling.isolation import check_isolation

    head = objective.model_head()
    pads = None if head.answer == "tokens" else vocabulary.padding
    model = load_model(path, head, seed=config.seed, pad_token_id=pads)
    if type(head_of(read_config(path))) is not type(head):
        console.info(f"the model gets a new head: {head.type_name}")
    if objective.layout == "pack" and config.adapter.packs:
        check_isolation(model)
    grown = _grow(model, vocabulary, path, tokenizer, known_size(config, path), console)
    check_positions(model.config, config.context_length, path)
    return have_companions(model, objective.companions()), grown


def known_size(config: RowTrainingConfig, path: Path) -> int | None:
    """Return how many ids a model was trained with, where a shipped template adds tokens to its own; else None."""
    return vocabulary_of(load_tokenizer(path)).size if config.template in SHIPPED else None


def _grow(
    model: PreTrainedModel,
    vocabulary: Vocabulary,
    path: Path,
    tokenizer: PreTrainedTokenizerFast,
    known: int | None,
    console: Console,
) -> range:
    """Give tokens that were added to a tokenizer rows of the embedding, and return which; all others must have one.

    Where the tokenizer's size as the model knows it is given, rows behind it that are there already are new as well.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    if not set(range(rows, vocabulary.size)) <= tokenizer.added_tokens_decoder.keys():
        check_vocabulary(model, vocabulary.size, path)
    if count := grow_embeddings(model, vocabulary.size, known):
        console.info(f"the tokenizer has {count:,} added tokens that the model has no rows for: it gets them")
    return range(vocabulary.size - count, vocabulary.size)


def wrap(
    config: RowTrainingConfig,
    objective: RowObjective | DocumentObjective,
    models: Models,
    grown: range,
    named: str,
    console: Console,
) -> tuple[Targets | None, Base | None]:
    """Freeze what is not trained, after copies were made of the model, and say what is; None for all of it."""
    adapter = config.adapter
    adapter.wrap(models.main, objective.model_head(), seed=config.seed, grown=grown)
    if adapter.type_name == "full":
        return None, None
    targets = adapter.describe(models.main)
    console.info(targets.words)
    if lies_apart(objective, adapter):
        console.info(
            f"rows with virtual tokens before them share no block: {config.batch_rows} rows a step (batch_rows)"
        )
    if grown and not (adapter.is_apart or models.main.get_input_embeddings().weight.requires_grad):
        console.warn(f"adapter: {adapter.type_name} leaves the {len(grown):,} new rows of the embedding as they are")
    return targets, Base(named, base_digest(Path(located(named)))) if adapter.is_apart else None


def lies_apart(objective: RowObjective | DocumentObjective, adapter: Adapter) -> bool:
    """Tell whether rows that the objective would have share blocks must not, for what the adapter puts before each."""
    return objective.layout == "pack" and not adapter.packs
