"""What is known of a tokenizer, a model and rows before they are made: from the settings of the run that makes them.

What is on the disk already is read as the stages read it; of a model no weight is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmkit.chain.runs import ABSENT, Chain, Read, Run
from llmkit.core.console import Console
from llmkit.core.manifest import read_manifest
from llmkit.data.rows import Row
from llmkit.evaluation.runs import is_run

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from llmkit.modeling.heads import Head
    from llmkit.modeling.vocabulary import Vocabulary

Place = Run | Path | None
T = TypeVar("T")


def _once(function: Callable[[Chain, Place], T | None]) -> Callable[[Chain, Place], T | None]:
    @wraps(function)
    def asked(chain: Chain, place: Place) -> T | None:
        if place is None or (isinstance(place, Run) and place.resolved is None) or _is_evaluation(place):
            return None
        key = (function.__name__, place if isinstance(place, Run) else str(place))
        if key not in chain.facts:
            chain.facts[key] = function(chain, place)
        found: T | None = chain.facts[key]
        return found

    return asked


def _is_evaluation(place: Run | Path) -> bool:
    """Tell whether what stands for a baseline is no model, but an evaluation of one."""
    return place.makes == "eval" if isinstance(place, Run) else is_run(place)


@dataclass(frozen=True)
class KnownTokenizer:
    """A tokenizer, there or to be made.

    Attributes:
        size: Embedding rows that it needs; at most so many where it is to be trained. None if unknown.
        trained: It is to be trained.
        vocabulary: Its special tokens by role and content; None if unknown.
        origin: Equal for what is one tokenizer.
        template: It has a chat template.
        where: What to call it.
    """

    size: int | None
    trained: bool
    vocabulary: Vocabulary | None
    origin: str
    template: bool
    where: str


@dataclass(frozen=True)
class KnownModel:
    """A model, there or to be made.

    Attributes:
        config: Its transformers config.
        spec: What builds it without weights: a new one's settings, or the directory.
        tokenizer: Its tokenizer.
        where: What to call it.
    """

    config: PreTrainedConfig
    spec: Any
    tokenizer: KnownTokenizer | None
    where: str


def first_place(reads: list[Read]) -> Place:
    """Return where the first of some reads comes from."""
    return reads[0].place if reads else None


@_once
def tokenizer_of(chain: Chain, place: Place) -> KnownTokenizer | None:
    """Return the tokenizer of tokens or a model; None where nothing is known of it.

    Raises:
        UserError: There is none on the path, or it is damaged.
    """
    if isinstance(place, Run):
        makes = {"tokenize": _tokenizer_to_make, "pretrain": _tokenizer_of_data, "finetune": _tokenizer_of_model}
        return makes[place.stage](chain, place) if place.stage in makes else None
    assert place is not None
    if not place.exists():
        return None
    from llmkit.modeling.tokenizer import load_tokenizer, tokenizer_digest, vocabulary_size
    from llmkit.modeling.vocabulary import vocabulary_of

    tokenizer = load_tokenizer(place)
    return KnownTokenizer(
        vocabulary_size(tokenizer),
        False,
        vocabulary_of(tokenizer),
        tokenizer_digest(place),
        bool(tokenizer.chat_template),
        str(place),
    )


def _tokenizer_to_make(chain: Chain, run: Run) -> KnownTokenizer | None:
    part, where = run.config.tokenizer, str(run.output or run.label)
    if part.needs_text():
        specials = part.specials()
        vocabulary = None if specials is None else _expected(specials, part.known_size() or 0, where)
        return KnownTokenizer(part.known_size(), True, vocabulary, run.label, False, where)
    read = next(iter(run.reading("tokenizer")), None)
    if read is not None and read.maker is not None:
        return _extended(tokenizer_of(chain, read.maker), part)
    from llmkit.modeling.tokenizer import vocabulary_size
    from llmkit.modeling.vocabulary import vocabulary_of

    made = part.make(lambda: iter(()), Console(quiet=True))
    vocabulary = replace(vocabulary_of(made), where=where)
    there = read.path if read is not None else run.label
    base = tokenizer_of(chain, Path(there)) if Path(there).is_dir() else None
    same = base is not None and base.size == vocabulary_size(made)
    origin = base.origin if base is not None and same else f"{run.label} of {there}"
    return KnownTokenizer(vocabulary_size(made), False, vocabulary, origin, bool(made.chat_template), where)


def _extended(base: KnownTokenizer | None, part: Any) -> KnownTokenizer | None:
    """Return what becomes of a tokenizer by adding tokens, where it is not there yet."""
    added = [*getattr(part, "add_tokens", ()), *getattr(part, "add_special_tokens", ())]
    if base is None or not added:
        return base
    size = None if base.size is None else base.size + len(added)
    vocabulary = base.vocabulary
    if vocabulary is not None:
        known = {**vocabulary.ids, **{token: vocabulary.size + i for i, token in enumerate(added)}}
        vocabulary = replace(vocabulary, ids=known, size=vocabulary.size + len(added))
    return replace(base, size=size, vocabulary=vocabulary, origin=f"{base.origin} with tokens added")


def _expected(specials: Any, size: int, where: str) -> Vocabulary:
    """Return the vocabulary of a tokenizer that is to be trained; the ids are no more than names."""
    from llmkit.modeling.vocabulary import CONTENTS, Vocabulary

    ids = {token: i for i, token in enumerate(specials.tokens)}
    roles: dict[str, int | None] = {role: ids[token] for role, token in specials.roles.items()}
    for role, contents in CONTENTS.items():
        if roles.get(role) is None:
            roles[role] = next((ids[content] for content in contents if content in ids), None)
    bos = next((i for role in ("bos", "cls", "eos") if (i := roles.get(role)) is not None), None)
    named: dict[str, Any] = {**roles, "bos": bos}
    return Vocabulary(size=size, ids=ids, where=where, **named)


def _tokenizer_of_data(chain: Chain, run: Run) -> KnownTokenizer | None:
    return tokenizer_of(chain, first_place(run.reading("data")))


def _tokenizer_of_model(chain: Chain, run: Run) -> KnownTokenizer | None:
    base, objective = tokenizer_of(chain, first_place(run.reading("model"))), run.config.objective
    if base is None:
        return None
    vocabulary = base.vocabulary
    added: Sequence[str] = objective.own_tokens() if hasattr(objective, "own_tokens") else ()
    if vocabulary is not None:  # what an objective brings along gets rows, and ids behind all others
        new = {token: vocabulary.size + i for i, token in enumerate(added) if token not in vocabulary.ids}
        vocabulary = replace(vocabulary, ids={**vocabulary.ids, **new})
    return replace(base, template=base.template or objective.chats, vocabulary=vocabulary)


@_once
def model_of(chain: Chain, place: Place) -> KnownModel | None:
    """Return a model; None where nothing is known of it.

    Raises:
        UserError: There is none on the path, or its settings cannot be.
    """
    if isinstance(place, Run):
        makes = {"pretrain": _model_to_make, "finetune": _model_to_tune}
        return makes[place.stage](chain, place) if place.stage in makes else None
    assert place is not None
    if not place.exists():
        return None
    from llmkit.modeling.build import ModelConfig
    from llmkit.modeling.load import read_config

    spec = ModelConfig(path=str(place))
    return KnownModel(read_config(place), spec, tokenizer_of(chain, place), str(place))


def _model_to_make(chain: Chain, run: Run) -> KnownModel | None:
    spec, where = run.config.model, str(run.output or run.label)
    tokenizer = _tokenizer_of_data(chain, run)
    if spec.path is not None:
        base = model_of(chain, first_place(run.reading("model")))
        return replace(base, tokenizer=tokenizer, where=where) if base is not None else None
    from llmkit.modeling.build import configure
    from llmkit.training.plan import likely_vocabulary

    size = tokenizer.size if tokenizer is not None and tokenizer.size else likely_vocabulary(spec)
    vocabulary = tokenizer.vocabulary if tokenizer is not None else None
    names = ("bos", "eos", "pad", "cls", "sep")
    ids = {"bos": 0, "eos": 1, "pad": 2} if vocabulary is None else {name: getattr(vocabulary, name) for name in names}
    ids = {name: i for name, i in ids.items() if i is not None or name in ("bos", "eos", "pad")}
    head = run.config.objective.model_head()
    config = configure(spec, head=head, max_positions=run.config.context_length, vocab_size=size, ids=ids)
    sized = spec.model_copy(update={"config": {**spec.config, "vocab_size": size}})
    return KnownModel(config, sized, tokenizer, where)


def _model_to_tune(chain: Chain, run: Run) -> KnownModel | None:
    base = model_of(chain, first_place(run.reading("model")))
    if base is None:
        return None
    return replace(base, tokenizer=_tokenizer_of_model(chain, run), where=str(run.output or run.label))


@_once
def head_of_place(chain: Chain, place: Place) -> Head | None:
    """Return what stands on a model's body; None where nothing is known of it.

    Raises:
        UserError: There is none on the path.
    """
    if isinstance(place, Run):
        objective = getattr(place.config, "objective", None)
        return objective.model_head() if objective is not None else None
    from llmkit.modeling.heads import head_of

    model = model_of(chain, place)
    return head_of(model.config) if model is not None else None


@_once
def rows_of(chain: Chain, place: Place) -> Row | None:
    """Return what kind of labelled rows some data hold; None for text, and where nothing is known.

    Raises:
        UserError: They are no rows of the kind that is asked for.
    """
    if isinstance(place, Run):
        source = place.config.inputs[0] if place.stage == "clean" else None
        if source is None or getattr(source, "path", "") == ABSENT:
            return None
        read = next((read for read in place.reads if read.source is source), None)
        if read is not None and read.maker is not None and getattr(source, "row", None) in (None, "auto"):
            return rows_of(chain, read.maker)
        kind: Row | None = source.row_kind()
        return kind.kept() if kind is not None else None
    from llmkit.data.corpus import examples_row

    assert place is not None
    manifest = read_manifest(place)
    return examples_row(place) if manifest is not None and manifest.kind == "examples" else None
