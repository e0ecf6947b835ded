"""A Chromium without a window, driven over pipes: what the tests of the viewer click and read with."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser() -> str | None:
    """The command of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Page:
    """A page in a headless browser.

    >>> with Page(Path("page.html")) as page:
    ...     page.run("document.title")
    """

    def __init__(self, file: Path, width: int = 1700, height: int = 950) -> None:
        command = browser()
        assert command
        self.profile = tempfile.mkdtemp(prefix="phalanx-browser-")
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()
        words = [command, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 f"--user-data-dir={self.profile}", f"--window-size={width},{height}", "--remote-debugging-pipe"]

        def descriptors() -> None:  # the browser reads commands from 3 and writes answers to 4
            os.dup2(os.dup(to_read), 100)
            os.dup2(os.dup(to_write), 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        self.process = subprocess.Popen(words, preexec_fn=descriptors, close_fds=False,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.waiting = b""
        self.number = 0
        self.errors: list[str] = []
        self.session = ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.send("Runtime.enable")
        self.send("Page.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Page.navigate", url=file.resolve().as_uri())

    def __enter__(self) -> Page:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.session = ""
            os.write(self.to, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.back)
        shutil.rmtree(self.profile, ignore_errors=True)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer; errors of scripts on the page are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._receive())
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]["exceptionDetails"])[:500])
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self) -> bytes:
        while b"\0" not in self.waiting:
            read = os.read(self.back, 1 << 16)
            assert read, "the browser went away"
            self.waiting += read
        line, _, self.waiting = self.waiting.partition(b"\0")
        return line

    def run(self, script: str) -> Any:
        """The value of an expression on the page."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 60.0) -> None:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.05)

    def click(self, script: str) -> None:
        """A real click of the mouse in the middle of an element."""
        box = self.run(f"(e => {{ e.scrollIntoView({{block: 'nearest'}}); const b = e.getBoundingClientRect();"
                       f" return [b.x + Math.min(b.width, 200) / 2, b.y + b.height / 2]; }})({script})")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Into what has the focus; a newline is the Enter key."""
        for part in text.partition("\n"):
            if part == "\n":
                for kind in ("keyDown", "keyUp"):
                    self.send("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13)
            elif part:
                self.send("Input.insertText", text=part)

    def screenshot(self, file: Path) -> None:
        """What one would see, as PNG."""
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))
