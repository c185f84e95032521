"""Run a command on a pseudo terminal: wait for texts, and type lines."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """A command on a pty; `shown` is its output since the start, without colours."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True, close_fds=True
        )
        os.close(slave)
        self.raw = b""
        self._seen = 0

    @property
    def shown(self) -> str:
        return ANSI.sub("", self.raw.decode("utf-8", "replace"))

    def read(self, seconds: float) -> bool:
        """Read more output; return False at its end."""
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.raw += data
        return bool(data)

    def wait_for(self, *texts: str, limit: float = 90) -> str:
        """Return the first of `texts` that appears after the text of the last call."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            rest = self.shown[self._seen :]
            matches = [(rest.index(text), text) for text in texts if text in rest]
            if matches:
                at, text = min(matches)
                self._seen += at + len(text)
                return text
            if not self.read(0.1):
                break
        raise AssertionError(f"none of {texts} in {self.shown[self._seen :]!r}")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode() + b"\n")

    def finish(self, limit: float = 90) -> int:
        """Read to the end, and return the exit status."""
        end = time.monotonic() + limit
        while time.monotonic() < end and self.read(0.1):
            if self.process.poll() is not None and not select.select([self.master], [], [], 0)[0]:
                break
        try:
            return self.process.wait(max(0.1, end - time.monotonic()))
        finally:
            self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
