"""Utilization of a run: its FLOPs against the measured peak of the model's own matrix shapes; see `modeling.cost`."""

from llmkit.modeling.cost import flops_per_token, matrix_shapes, measure_peak

__all__ = ["flops_per_token", "matrix_shapes", "measure_peak"]
