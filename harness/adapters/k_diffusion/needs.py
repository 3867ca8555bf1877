"""What the samplers of k-diffusion need to be installed; asked without loading a framework."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

NEEDED = ("k-diffusion", "scipy", "torchdiffeq", "torchsde")

INSTALL = (
    "Install it without its dependencies, and the three it uses: "
    "pip install --no-deps k-diffusion==0.1.1.post1; pip install scipy torchdiffeq torchsde."
)


def missing() -> str:
    """Why a test of the samplers is skipped here, with the command that mends it; "" where all is installed."""
    absent = [name for name in NEEDED if not _is_installed(name)]
    return f"needs k-diffusion: {', '.join(absent)} not installed. {INSTALL}" if absent else ""


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
