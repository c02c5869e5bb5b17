"""Sources of raw text, the corpus and token artifacts, splits, packing and chat templates."""
