"""llmkit: one command line from raw text to an exported language model."""

__version__ = "0.1.0"
