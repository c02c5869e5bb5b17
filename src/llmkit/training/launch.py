"""How a training is launched: one process so far."""

from __future__ import annotations

import os

from llmkit.core.errors import ConfigError

SIZE_VARIABLES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where torchrun, accelerate and the MPI launchers say how many processes they started; accelerate reads these."""


def check_launch() -> None:
    """Refuse to be one of several processes, before any of them touches the output directory.

    Raises:
        ConfigError: A launcher started more than one process.
    """
    for name in SIZE_VARIABLES:
        size = os.environ.get(name, "")
        if size.isdecimal() and int(size) > 1:
            raise ConfigError(
                f"{name}={size}: launching a training as several processes is not available in this version",
                hint=f"start it as one process, without a launcher, or unset {name}",
            )
