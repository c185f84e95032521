"""Show a page in a real browser: Debian's chromium, headless, with a new profile and without a network.

The browser is driven over two pipes by the DevTools protocol, so a test can click, type and print.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

if os.name != "nt":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-sync", "--disable-component-update", "--disable-quic", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
LONGEST = 60.0  # timeout in seconds for one answer of the browser, which takes milliseconds on an idle machine
PHONE = 390  # CSS pixels


def missing() -> bool:
    return os.name == "nt" or shutil.which("chromium") is None


class Tab:
    """A tab of a running browser; see `running`."""

    def __init__(self, to: int, answers: int) -> None:
        self._to, self._answers = to, answers
        self._rest, self._number, self._session = b"", 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Network.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; AssertionError if the browser refuses it."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        answer = self._until(lambda one: one.get("id") == self._number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _until(self, wanted: Any) -> dict[str, Any]:
        """Return the first message for which `wanted` returns true; earlier messages are dropped."""
        end = time.monotonic() + LONGEST
        while True:
            line, found, rest = self._rest.partition(b"\0")
            if found:
                self._rest = rest
                message: dict[str, Any] = json.loads(line)
                if wanted(message):
                    return message
                continue
            ready, _, _ = select.select([self._answers], [], [], max(end - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            more = os.read(self._answers, 1 << 16)
            assert more, "the browser has ended"
            self._rest += more

    def open(self, page: Path, *, scripts: bool = True, width: int = 1100, dark: bool = False) -> None:
        """Load a page.

        Args:
            page: the file.
            scripts: False disables the page's scripts.
            width: of the window in CSS pixels; up to 500 it is a phone.
            dark: the reader prefers dark colours.
        """
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width <= 500}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._number += 1
        self.call("Page.navigate", url=page.absolute().as_uri())
        self._until(lambda one: one.get("method") == "Page.loadEventFired")

    def js(self, expression: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        done = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in done, f"{expression}: {done['exceptionDetails']}"
        return done["result"].get("value")

    def click(self, selector: str) -> None:
        """Scroll to the first matching element, and click its centre; AssertionError if another element covers it."""
        place = f"document.querySelector({json.dumps(selector)})"
        x, y, hit = self.js(
            f"(() => {{ const e = {place}; e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
            " const x = b.x + b.width / 2, y = b.y + b.height / 2, h = document.elementFromPoint(x, y);"
            " return [x, y, h !== null && (e.contains(h) || h.contains(e))]; })()"
        )
        assert hit, f"{selector} cannot be clicked"
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Click a field, and replace its content."""
        self.click(selector)
        self.js("document.activeElement.select()")
        self.call("Input.insertText", text=text)

    def text(self, selector: str = "body") -> str:
        """Return the visible text of an element."""
        return str(self.js(f"document.querySelector({json.dumps(selector)}).innerText"))

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all visible elements that match."""
        found = f"Array.from(document.querySelectorAll({json.dumps(selector)}))"
        return list(self.js(f"{found}.filter((e) => e.checkVisibility()).map((e) => e.innerText)"))

    def let_pass(self, seconds: float) -> None:
        """Advance the page's clock and timers."""
        self.call("Emulation.setVirtualTimePolicy", policy="advance", budget=1000 * seconds)
        self._until(lambda one: one.get("method") == "Emulation.virtualTimeBudgetExpired")

    def picture(self, height: int = 900) -> bytes:
        """Return the top of the page as a PNG; `height` 0: the complete page."""
        whole = height == 0
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole, **(
            {"clip": {"x": 0, "y": 0, "scale": 1, "width": self.js("innerWidth"),
                      "height": self.js("document.documentElement.scrollHeight")}} if whole else {}
        ))["data"])  # fmt: skip

    def pdf(self) -> bytes:
        """Return the page as a PDF with the style sheet's paper size and margins."""
        done = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        return base64.b64decode(done["data"])


@contextlib.contextmanager
def running(profile: Path) -> Iterator[Tab]:
    """Start a browser with a new profile, and end it afterwards."""
    pipes = [*os.pipe(), *os.pipe()]
    its_in, ours_out, ours_in, its_out = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pipes)
    for end in pipes:
        os.close(end)
    # the browser reads the protocol from file descriptor 3 and writes it to 4
    command = ["bash", "-c", f'exec "$@" 3<&{its_in} 4>&{its_out}', "bash", "chromium", *FLAGS]
    process = subprocess.Popen(
        [*command, f"--user-data-dir={profile}"], pass_fds=(its_in, its_out), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(its_in)
    os.close(its_out)
    try:
        yield Tab(ours_out, ours_in)
    finally:
        os.close(ours_out)  # at the end of its input the browser ends
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(ours_in)


def dom(page: Path, profile: Path) -> str:
    """Return a page's document as it is after its scripts, if it has any, have run."""
    with running(profile) as tab:
        tab.open(page)
        return str(tab.js("document.documentElement.outerHTML"))
