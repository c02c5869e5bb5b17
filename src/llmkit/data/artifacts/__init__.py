"""The artifacts that stages hand on, one class for each kind: only these know the names of the files in one."""

from llmkit.data.artifacts.corpus import Corpus, Examples
from llmkit.data.artifacts.differences import Differences
from llmkit.data.artifacts.export import Export
from llmkit.data.artifacts.index import Index
from llmkit.data.artifacts.model import Model
from llmkit.data.artifacts.predictions import Predictions
from llmkit.data.artifacts.scores import Scores
from llmkit.data.artifacts.tokens import Tokens

__all__ = ["Corpus", "Differences", "Examples", "Export", "Index", "Model", "Predictions", "Scores", "Tokens"]
