"""A chain of stages before its first one runs: which recipe reads what another will write, and whether they agree."""
