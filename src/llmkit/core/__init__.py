"""What every stage stands on: config, families of parts, artifacts, errors, console and progress.

Standard library, pydantic, yaml and rich only: importing it never loads torch.
"""
