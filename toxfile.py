"""Let several tox environments share one folder.

tox recreates an environment when another name has used its folder. The environments of the runner `shared` all give
the same name there, so that the frameworks are installed once. They must not run in parallel.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from tox.plugin import impl
from tox.tox_env.info import Info
from tox.tox_env.python.virtual_env.runner import VirtualEnvRunner
from tox.tox_env.register import ToxEnvRegister


class SharedInfo(Info):
    """What tox remembers of an environment, with one name for all that share it."""

    @contextmanager
    def compare(
        self, value: Any, section: str, sub_section: str | None = None
    ) -> Generator[tuple[bool, Any | None], None, None]:
        if section == "ToxEnv":
            value = {**value, "name": "shared"}
        with super().compare(value, section, sub_section) as found:
            yield found


class SharedRunner(VirtualEnvRunner):
    """A virtual environment that other environments of this runner use too."""

    @property
    def cache(self) -> Info:
        return SharedInfo(self.env_dir)

    @staticmethod
    def id() -> str:
        return "shared"


@impl
def tox_register_tox_env(register: ToxEnvRegister) -> None:
    """Make `runner = shared` known to tox."""
    register.add_run_env(SharedRunner)
