"""The stages: each one a `Config` and a `run(config, context)`; the only place a stage is defined."""
