"""Train tokenizers and encode corpora into the token artifact."""
