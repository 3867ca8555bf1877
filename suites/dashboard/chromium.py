"""A headless Chromium, told over a pipe what to open, press and evaluate; it notes every request and complaint."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

INSTALL = "chromium is not installed: run `apt-get install -y chromium`"
SECONDS = 60.0
"""For which an answer is waited for: a start takes two on an idle machine, and twenty on a busy one."""


def installed() -> str | None:
    """The program, None where there is none."""
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


class Page:
    """A page of a browser while open. requests: every address asked for. complaints: errors of scripts and policies."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._number, self._left = 0, b""
        reads, self._to = os.pipe()
        self._from, writes = os.pipe()
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--disable-extensions"]
        flags += ["--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage"]
        command = [str(installed()), *flags, f"--user-data-dir={folder}"]
        # The browser reads from descriptor 3 and writes to 4.
        shell = f'exec "$@" 3<&{reads} 4>&{writes}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(reads, writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(reads)
        os.close(writes)
        target = self._tell("Target.createTarget", {"url": "about:blank"}, session=None)["targetId"]
        self._session: str | None = self._tell(
            "Target.attachToTarget", {"targetId": target, "flatten": True}, session=None
        )["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.tell(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def open(self, file: Path, *, address: str = "", width: int = 1200, dark: bool = False) -> None:
        """Open a file of a site, and wait until it is loaded."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.tell("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.tell("Page.navigate", {"url": f"file://{file.resolve()}{address}"})
        self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    def evaluate(self, script: str) -> Any:
        """The value of an expression, promises awaited."""
        told = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self.tell("Runtime.evaluate", told)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until the expression is true."""
        ends = time.monotonic() + SECONDS
        while not self.evaluate(script):
            assert time.monotonic() < ends, f"never became true: {script}"
            time.sleep(0.05)

    def press(self, key: str, *, code: int, text: str = "") -> None:
        """Press and release a key."""
        told = {"key": key, "code": key, "windowsVirtualKeyCode": code, **({"text": text} if text else {})}
        self.tell("Input.dispatchKeyEvent", {"type": "keyDown", **told})
        self.tell("Input.dispatchKeyEvent", {"type": "keyUp", **told})

    def screenshot(self, file: Path, *, whole: bool = False) -> Path:
        """A picture of what is shown, or of the whole page."""
        told = self.tell("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        file.write_bytes(base64.b64decode(told["data"]))
        return file

    def tell(self, method: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        return self._tell(method, values or {}, session=self._session)

    def _tell(self, method: str, values: dict[str, Any], *, session: str | None) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        os.write(self._to, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            assert select.select([self._from], [], [], SECONDS)[0], "the browser does not answer"
            part = os.read(self._from, 1 << 20)
            assert part, "the browser ended"
            self._left += part
        line, _, self._left = self._left.partition(b"\0")
        told = json.loads(line)
        self._note(told.get("method", ""), told.get("params", {}))
        return told

    def _note(self, method: str, values: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(values["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(values["args"]))
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.complaints.append(values["entry"]["text"])
