"""`invoke picture`: pictures of a run, taken from the terminal while the demo really runs (Linux and macOS)."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pyte
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.text import Text

WIDTH, HEIGHT = 100, 50
FOLDER = Path(__file__).parent / "pictures"
LONGEST = 600.0  # seconds that the demo may take
TITLE = "tscm-migrate migrate --from tscm-old --to tscm-new"
# The fonts that rich names would be loaded from elsewhere: the reader's own monospace font will do.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, ", "")
# name of a picture → what the screen shows when it is taken
MOMENTS = {
    "cutover": r"▸ Update every device[^\n]*\n[^\n]*\n +[▸✓] ",
    "run": r"should it ever come back[^.]*rollback \d{8}-",
}


class Terminal:
    """The demo on a terminal of `WIDTH` × `HEIGHT`; `screen` is what a person would see now."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(WIDTH, HEIGHT)
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        env = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS", "LINES"}}
        argv = [sys.executable, "-m", "tscm_migrate", "demo"]
        self._process = subprocess.Popen(
            argv, env={**env, "TERM": "xterm-256color"}, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        self.quiet = False

    def more(self) -> bool:
        """Read a little; False at the end. `quiet` afterwards: what is drawn is drawn to its end."""
        self.quiet = not select.select([self._master], [], [], 0.05)[0]
        if self.quiet:
            return self._process.poll() is None
        try:
            data = os.read(self._master, 4096)
        except OSError:
            return False
        self._stream.feed(data)
        return bool(data)

    def close(self) -> int:
        """The demo's exit status; it is ended if it has not."""
        os.close(self._master)
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(20)


def look(screen: pyte.Screen) -> list[Text]:
    """The screen as styled lines, without the demo's own words around the run."""
    lines = []
    for row in range(HEIGHT):
        line = Text()
        for column in range(WIDTH):
            cell = screen.buffer[row][column]
            line.append(cell.data, Style(color=_colour(cell.fg), bold=cell.bold))
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return [line for line in lines if not line.plain.startswith("demo:")]


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    return {"brown": "yellow"}.get(name, f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else name)


def draw(lines: list[Text]) -> str:
    """The SVG; no font, no script and no image from elsewhere."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line, no_wrap=True, overflow="crop")
    return console.export_svg(title=TITLE, code_format=FORMAT, unique_id="run")


def main() -> None:
    """Take them anew."""
    terminal, end = Terminal(), time.monotonic() + LONGEST
    taken: dict[str, list[Text]] = {}
    try:
        while terminal.more() and time.monotonic() < end:
            text = "\n".join(terminal.screen.display)
            for name, moment in MOMENTS.items():
                if terminal.quiet and name not in taken and re.search(moment, text):
                    taken[name] = look(terminal.screen)
    finally:
        status = terminal.close()
    if status or set(taken) != set(MOMENTS):
        sys.exit(f"the demo ended with {status}; pictures: {', '.join(taken)}")
    FOLDER.mkdir(exist_ok=True)
    for name, lines in taken.items():
        (FOLDER / f"{name}.svg").write_text(draw(lines), encoding="utf-8")
        sys.stdout.write(f"{FOLDER / name}.svg\n")


if __name__ == "__main__":
    main()
