"""Whether a model can be saved, found out before it is trained, and what is said where saving fails in the end."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.core.console import Console
from llmkit.core.errors import DataError, UserError
from llmkit.core.machine import limit_of
from llmkit.data.artifacts import Model
from llmkit.modeling.architecture import one_line
from llmkit.modeling.generation import mend_generation
from llmkit.training.finish import save_configs, save_tokenizer, write_card
from llmkit.training.resume import checkpoints_in

if TYPE_CHECKING:
    from llmkit.training.session import Prepared

TRIAL = "trial"


def mend(prepared: Prepared, console: Console) -> None:
    """Take out of the model what could not be saved, and say so."""
    if left_out := mend_generation(prepared.job.models.main):
        console.warn(
            f"the model's generation config loses {', '.join(left_out)}: its other settings leave that unused, and"
            " transformers would not save it"
        )


def try_saving(prepared: Prepared, folder: Path) -> None:
    """Write everything that a training leaves but weights and figures, into a folder that is removed again.

    It costs about 10 ms, and more with a large tokenizer. The model is left as it is.

    Args:
        prepared: What is to be trained.
        folder: Where that folder is.

    Raises:
        DataError: Config, generation config, tied weights, tokenizer, chat template or card cannot be written.
    """
    from transformers.modeling_utils import remove_tied_weights_from_state_dict

    job, model, tokenizer = prepared.job, prepared.job.models.main, prepared.tokenizer
    length = prepared.config.context_length
    own = getattr(model, "generation_config", None)
    place = folder / TRIAL
    shutil.rmtree(place, ignore_errors=True)  # of a run that was killed in the midst of this
    try:
        model.generation_config = copy.deepcopy(own)
        adapter, base = prepared.adapter, prepared.base
        _try(
            "model", lambda: save_configs(place, model, tokenizer, end_ids=prepared.end_ids, adapter=adapter, base=base)
        )
        if not prepared.adapter.is_apart:
            _try("model", lambda: remove_tied_weights_from_state_dict(model.state_dict(), model))
        _try("tokenizer", lambda: save_tokenizer(place, tokenizer, model, context_length=length))
        head = job.objective.model_head()
        _try("model", lambda: head.save_beside(place, model.config, length))
        _try("model", lambda: write_card(place, head, title=job.title, facts=prepared.facts, chat=prepared.chat,
                                         base=prepared.base))  # fmt: skip
    finally:
        model.generation_config = own
        shutil.rmtree(place, ignore_errors=True)


def _try(what: str, write: Callable[[], object]) -> None:
    try:
        write()
    except UserError:
        raise
    except Exception as error:
        if limit_of(error) is not None:  # the machine's, which says nothing about the model
            raise
        raise DataError(
            f"model: the {what} could not be saved after training: {one_line(error)}",
            f"put that right in the directory of the {what}; nothing has been trained yet",
        ) from error


@contextmanager
def nothing_lost(directory: Path, console: Console) -> Iterator[None]:
    """Say, if what is done within fails, where the trained weights are and that the same command goes on."""
    try:
        yield
    except Exception:
        for checkpoint in checkpoints_in(directory / Model.CHECKPOINTS)[-1:]:
            console.warn(
                f"the training itself is done and nothing of it is lost: {checkpoint} holds the weights, and the same"
                " command goes on from there"
            )
        raise
