"""The artifacts that stages hand on, one class for each kind: only these know the names of the files in one."""

from llmkit.data.artifacts.model import Model

__all__ = ["Model"]
