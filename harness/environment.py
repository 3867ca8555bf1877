"""What a run stands on: versions, machine, threads; and the settings that frameworks read when they load."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "parity-harness",
    "numpy",
    "torch",
    "transformers",
    "jax",
    "jaxlib",
    "flax",
    "diffusers",
    "huggingface-hub",
    "safetensors",
    "tokenizers",
    "gguf",
    "accelerate",
    "pytest",
)


def prepare(compiled: Path) -> None:
    """Set what frameworks read once, before they are imported; what the user has set stays.

    JAX may not take all accelerator memory, and idle OpenMP threads sleep instead of spinning, which costs ten times
    on a busy machine.

    compiled: the folder where JAX keeps what it has compiled, from one run to the next. It notes on every use that
    the kept program names processor features it does not know, which is of no use to anyone: its log is for errors.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(compiled)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def threads(count: int | str) -> dict[str, str]:
    """The variables by which frameworks learn, when they start, how many threads they may have: OpenMP, MKL, XLA."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), str(count))


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The installed version of each package; one that is not installed is left out. Imports none of them."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def engine() -> str:
    """The code of the harness itself, as a hash: what was found with other code is found again."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def capture() -> dict[str, Any]:
    """The record's `environment`: Python, platform, processor, cores, memory in bytes, versions, settings."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "packages": versions(),
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def revision(folder: Path) -> dict[str, Any]:
    """The commit of the repository in `folder`, how many there are up to it, and whether files differ from it.

    The number is left out where only the newest commits are there; all of it where there is no git.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()

    try:
        found: dict[str, Any] = {"commit": git("rev-parse", "HEAD")}
        if git("rev-parse", "--is-shallow-repository") == "false":
            found["number"] = int(git("rev-list", "--count", "HEAD"))
        found["changed_files"] = bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
    return found


def peak_bytes() -> int | None:
    """The most memory that this program has held so far, in bytes; None where the system does not tell.

    What `getrusage` says may be its parent's, from before it began; so Linux is asked for its own.
    """
    found = _of_a_process("VmHWM")
    if found is not None:
        return found
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def held_bytes(pid: int | None = None) -> int | None:
    """The memory that this program, or the one of that number, holds now, in bytes; None where nobody tells."""
    return _of_a_process("VmRSS", pid)


def _of_a_process(name: str, pid: int | None = None) -> int | None:
    """What Linux says of a process, in bytes; None elsewhere, and of one that is gone."""
    try:
        told = Path("/proc", str(pid or "self"), "status").read_text(encoding="ascii")
        return int(told.partition(f"{name}:")[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return None


def release_memory() -> None:
    """Give freed memory back to the system: models hold cycles, and glibc keeps what was freed in small pieces.

    After one case of SmolLM2-135M that was 1.8 GiB of 2.8.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library has no such call
        ctypes.CDLL("libc.so.6").malloc_trim(0)


_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "HF_HUB_OFFLINE",
    "JAX_ENABLE_X64",
    "JAX_PLATFORMS",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "RUN_SLOW",
    "XLA_FLAGS",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
)


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
