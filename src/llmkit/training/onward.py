"""Make a model ready to go on with documents: its tokenizer with what the objective brings along, adapter, blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.artifact import Build
from llmkit.core.console import Console
from llmkit.core.context import Context
from llmkit.core.errors import DataError
from llmkit.core.move import SCRATCH
from llmkit.data.artifacts import Tokens
from llmkit.modeling.load import check_extension, read_config
from llmkit.modeling.tokenizer import load_tokenizer, tokenizer_digest, vocabulary_size
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.documents import DocumentObjective
from llmkit.objectives.documents._plans import PackingChoice, packing_of, plan_of
from llmkit.training.base_model import fit_lengths, load, wrap
from llmkit.training.config import RowTrainingConfig
from llmkit.training.documents import check_apart, document_feed, document_prompts
from llmkit.training.finish import check_templates
from llmkit.training.job import Job
from llmkit.training.session import Prepared

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Encode = Callable[[Path, "PreTrainedTokenizerFast"], list[Path]]
"""Encodes what is no tokens yet, in a folder and by a tokenizer; returns all folders of tokens of a run."""


def fit_documents(
    config: RowTrainingConfig, objective: DocumentObjective, model: Path, tokens: Sequence[Path], console: Console
) -> tuple[RowTrainingConfig, PreTrainedTokenizerFast, range]:
    """Return the config with what the model decides, the run's tokenizer, and the ids that the model has not learned.

    Tokens that are given have a tokenizer that is the model's, but for tokens added at its end. What the objective
    brings along and the tokenizer lacks is added behind those.

    Raises:
        DataError: The tokens are of another tokenizer, or the ids have gaps where tokens are to be added.
    """
    own = load_tokenizer(model)
    tokenizer, known = own, vocabulary_size(own)
    if tokens and tokenizer_digest(tokens[0]) != tokenizer_digest(model):
        tokenizer = load_tokenizer(tokens[0])
        check_extension(own, tokenizer, tokens[0])
    add_own_tokens(objective, tokenizer, console)
    check_templates(tokenizer)
    return fit_lengths(config, read_config(model)), tokenizer, range(known, vocabulary_size(tokenizer))


def add_own_tokens(objective: DocumentObjective, tokenizer: PreTrainedTokenizerFast, console: Console) -> None:
    """Add the special tokens that an objective brings along, where they are not there."""
    from tokenizers import AddedToken

    known = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    missing = [token for token in objective.own_tokens() if token not in known]
    if not missing:
        return
    taken = set(tokenizer.get_vocab().values())
    added = [AddedToken(token, normalized=False, special=True) for token in missing]
    tokenizer.add_special_tokens({"extra_special_tokens": added}, replace_extra_special_tokens=False)
    if taken & {int(tokenizer.convert_tokens_to_ids(token)) for token in missing}:
        raise DataError(
            f"the ids of the tokenizer have gaps, or {', '.join(missing)} are tokens of text in it",
            f"name others: the tokens of {objective.type_name} are fields of its",
        )
    console.info(f"the tokenizer gets {', '.join(missing)}, which {objective.type_name} needs")


def ready_documents(
    config: RowTrainingConfig,
    objective: DocumentObjective,
    packing: PackingChoice,
    context: Context,
    build: Build,
    encode: Encode,
    path: Path,
    named: str,
    tokens: Sequence[Path],
) -> Prepared:
    """Make everything ready; the first process encodes the documents, and the others wait for it.

    Args:
        config: The run's.
        objective: Its objective.
        packing: How documents become blocks.
        context: Its surroundings.
        build: Its build, in whose scratch folder the tokens are kept.
        encode: Encodes the documents.
        path: The directory that the model is read from.
        named: The model, as the user named it: what an adapter is trained on.
        tokens: Tokens that are there already.
    """
    console = context.console
    config, tokenizer, new = fit_documents(config, objective, path, tokens, console)
    vocabulary = vocabulary_of(tokenizer)
    objective.check(vocabulary)
    how = packing_of(objective, packing)
    plan = plan_of(objective, vocabulary, context_length=config.context_length, packing=packing)
    models, _ = load(config, objective, vocabulary, path, tokenizer, console)
    objective.check_blocks(models.main, vocabulary, context_length=config.context_length, packing=how)
    check_apart(models.main, objective, vocabulary, how)
    ends = _ends(models.main, vocabulary.eos)
    targets, base = wrap(config, objective, models, new, named, console)
    place = build.dir / SCRATCH
    place.mkdir(exist_ok=True)
    made = context.shared("tokens", lambda: {"tokens": [str(folder) for folder in encode(place, tokenizer)]})
    folders = [Path(folder) for folder in made["tokens"]]
    feed = document_feed(folders, plan, config)
    counts = _counts(folders)
    console.info(f"{counts['documents']:,} documents, {feed.blocks_in(1):,} blocks an epoch")
    job = Job(
        models,
        objective,
        vocabulary,
        feed,
        config.batch_blocks,
        resume_from=context.checkpoint,
        title="Fine-tuning report",
        facts={"documents": f"{counts['documents']:,}"},
        tokenizer=tokenizer,
        prompts=document_prompts(config, objective, tokenizer, vocabulary, folders),
    )
    return Prepared(
        job, config, tokenizer, end_ids=ends, suffix=", fine-tuned", metrics=counts, adapter=config.adapter,
        targets=targets, base=base, merge=config.merge,
    )  # fmt: skip


def _ends(model: PreTrainedModel, eos: int | None) -> list[int]:
    """Return the tokens at which generation stops: EOS, which ends documents, and those at which the model did."""
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = own if isinstance(own, list) else [own]
    return list(dict.fromkeys(number for number in (eos, *listed) if number is not None))


def _counts(folders: Sequence[Path]) -> dict[str, Any]:
    """Return what the manifest says of the documents."""
    facts = [Tokens(folder).facts["splits"] for folder in folders]

    def total(split: str, of: str) -> int:
        return sum(splits[split][of] for splits in facts if split in splits)

    return {
        "documents": total("train", "documents"),
        "document_tokens": total("train", "tokens"),
        "validation_documents": total("validation", "documents"),
    }
