"""Answers of a model's head to the rows of any files: read, batched, kept as they come, written in the rows' order."""
