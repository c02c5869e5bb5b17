"""The command line: one module per command, from options to a config to a stage to a printed result."""
