"""Models: built from a config, loaded from a directory, and losses that never hold all logits."""
