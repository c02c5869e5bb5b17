"""What becomes of a trained adapter: rounded weights are put back whole, and it is merged where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmkit.core.console import Console

if TYPE_CHECKING:
    from llmkit.training.loop import Trainer
    from llmkit.training.session import Prepared
    from llmkit.training.validation import Scored


def make_plain(prepared: Prepared, trainer: Trainer, console: Console) -> dict[str, Any]:
    """Put the base's own weights in the place of rounded ones, say what that changes, and merge if asked to.

    An adapter that was trained beside weights in 4 bits is used with those that the base has: they are read again, so
    that nothing rounded is ever merged or saved. All processes call it.

    Returns:
        What the manifest says of it.
    """
    from llmkit.modeling.load import load_model
    from llmkit.modeling.quantized import is_quantized, restore

    model = prepared.job.models.main
    found: dict[str, Any] = {}
    if is_quantized(model):
        assert prepared.base is not None, "only adapters leave weights rounded"
        head = prepared.job.objective.model_head()
        restore(model, load_model(prepared.base.path, head).state_dict())
        if trainer.scored is not None:
            before, after = _loss(trainer, trainer.scored), _loss(trainer, _scored(trainer))
            found = {"validation_loss_restored": after}
            console.info(
                f"validation loss: {before:.4f} beside the rounded weights, {after:.4f} ({after - before:+.4f}) beside"
                f" those of {prepared.base.path}, which the adapter is used and merged with"
            )
    if prepared.merge:
        prepared.adapter.merge(model)
    return found


def _scored(trainer: Trainer) -> Scored:
    from llmkit.training.auto import eager
    from llmkit.training.validation import validate

    assert trainer.held_out is not None, "it was validated on before"
    with eager(trainer.state.resolved):
        found = validate(
            trainer.held_out, trainer.gradients, batch_blocks=trainer.job.batch_blocks, stopped=lambda: False
        )
    assert found is not None, "nothing stops it"
    return found


def _loss(trainer: Trainer, scored: Scored) -> float:
    assert trainer.held_out is not None, "it was validated on before"
    return float(scored.row(trainer.job.objective, trainer.held_out)["validation_loss"])
