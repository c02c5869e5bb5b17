"""What this machine and this installation can do."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from llmkit.core.cores import num_cores
from llmkit.core.extras import EXTRAS, brings, missing
from llmkit.core.manifest import versions

WITHOUT_BF16 = {
    "ATEN_CPU_CAPABILITY": ("DEFAULT", "AVX2"),
    "ONEDNN_MAX_CPU_ISA": ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"),
}
"""Environment variables of torch and of oneDNN that hold them to less, and the values with which bf16 is out."""
CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "sve", "bf16")


def examine() -> dict[str, dict[str, Any]]:
    """Return titles, each with named facts."""
    gone = missing()
    return {
        "versions": versions(),
        "machine": {
            "system": platform.platform(),
            "cores": num_cores(),
            "memory": f"{memory_limit() / 2**30:.1f} GiB",
            "free disk here": f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB",
            "CPU features": ", ".join(cpu_features()) or "none of interest",
            "training precision": "bf16" if has_bf16() else "float32",
        },
        "accelerators": _accelerators(),
        "extras": {name: _extra(name, gone.get(name)) for name in EXTRAS},
    }


def _extra(name: str, pip_line: str | None) -> str:
    """Say whether an extra is there, and what it brings; of one that is not, how it is installed."""
    return f"installed: {brings(name)}" if pip_line is None else f"missing: {brings(name)}; {pip_line}"


def memory_limit() -> int:
    """Bytes this process may use: the smaller of the machine's memory and the cgroup's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return min(total, int(Path(name).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return total


def cpu_features() -> list[str]:
    """The instruction sets that matter for training speed, from the kernel's list."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return [name for name in CPU_FEATURES if name in line.split()]


def has_bf16() -> bool:
    """Whether the CPU multiplies bf16 matrices in hardware; without it bf16 is slower than float32.

    Torch may be held to less than the CPU has, by the environment: then it does not.
    """
    held = (os.environ.get(name, "").upper() in lesser for name, lesser in WITHOUT_BF16.items())
    return not any(held) and any(name in ("avx512_bf16", "amx_bf16", "bf16") for name in cpu_features())


def _accelerators() -> dict[str, Any]:
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return {"torch": "not installed"}
    if not torch.cuda.is_available():
        return {"GPUs": "none"}
    return {f"GPU {i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
