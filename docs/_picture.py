"""`invoke picture`: pictures of a run, taken from the terminal while the demo really runs (Linux and macOS)."""

from __future__ import annotations

import fcntl
import hashlib
import io
import itertools
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyte
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tscm_migrate.offsite import catalog, keys
from tscm_migrate.offsite.freshness import judge
from tscm_migrate.offsite.manifest import Manifest
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.ui.offsite_views import page_text as render

WIDTH, HEIGHT = 80, 50
FOLDER = Path(__file__).parent / "pictures"
LONGEST = 600.0  # seconds that the demo may take
TITLE = "tscm-migrate migrate --from tscm-old --to tscm-new"
# The fonts that rich names would be loaded from elsewhere: the reader's own monospace font will do.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, ", "")
# name of a picture → what the screen shows when it is taken
MOMENTS = {
    "cutover": r"▸ Update every device(?:[^\n]*\n){2,4} +[▸✓] ",
    "run": r"Next:[\s\S]*run discard\s+\d{8}-",
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
        self.quiet, self.heard = False, ""

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
        self.heard = (self.heard + data.decode("utf-8", "replace"))[-20_000:]
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
        cells = [screen.buffer[row][column] for column in range(WIDTH)]
        for (colour, bold), run in itertools.groupby(cells, key=lambda cell: (cell.fg, cell.bold)):
            line.append("".join(cell.data for cell in run), Style(color=_colour(colour), bold=bold))
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


def page(html: Path, name: str, height: int) -> None:
    """A picture of a page, in the light, where Debian's chromium is installed."""
    browser = shutil.which("chromium")
    if browser is None:
        sys.stdout.write(f"no chromium: {name}.png stays as it is\n")
        return
    argv = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size=1000,{height}"]
    argv += [f"--screenshot={FOLDER / name}.png", html.absolute().as_uri()]
    subprocess.run(argv, check=True, timeout=120, capture_output=True)
    sys.stdout.write(f"{FOLDER / name}.png\n")


def freshness(folder: Path) -> Path:
    """The page of `offsite status` for a store with copies of some days, one of them too small, and a host too late."""
    now = datetime.now(UTC).replace(microsecond=0)
    last = {"tscm-berlin": 0.2, "tscm-lyon": 0.4, "tscm-oslo": 3.1, "tscm-turin": 0.3}
    store = LocalStore(folder)
    for host, age in last.items():
        for number in range(14):
            taken = now - timedelta(days=age + number)
            size = (60 + 3 * ((number * 7) % 5)) * (400 if host == "tscm-turin" and not number else 1000)
            _copy(folder, host, taken, size)
    found = judge(catalog.load(store), [*last, "tscm-riga"], lambda _: timedelta(hours=36), now)
    made = folder / "freshness.html"
    made.write_text(render(found, "s3://backups/tscm", now), encoding="utf-8")
    return made


def _copy(folder: Path, host: str, taken: datetime, size: int) -> None:
    archive = f"threatstop_backup_{taken:%Y-%m-%d_%H_%M_%S}.tsbak.gpg"
    data, digest = keys.new_data(host, archive), hashlib.sha256(f"{host}{taken}".encode()).hexdigest()
    manifest = Manifest(
        id=keys.copy_id(archive, digest), host=host, archive=archive, data=data, size=size, sha256=digest,
        source_size=size, source_sha256=digest, encrypted="passphrase", taken_at=taken, pulled_at=taken,
        verified_at=taken,
    )  # fmt: skip
    (folder / data).parent.mkdir(parents=True, exist_ok=True)
    (folder / data).write_bytes(bytes(size))
    (folder / keys.manifest(host, manifest.id)).write_bytes(manifest.dump())


def main() -> None:
    """Take all pictures again."""
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
    report = re.search(r"demo: the report:\s+(\S+/report\.html)", terminal.heard.replace("\r\n", "\n"))
    if report:
        page(Path(report[1]), "report", 1000)
        shutil.rmtree(Path(re.match(r".*?/tscm-demo-[^/]+", report[1])[0]))  # type: ignore[index]
    with tempfile.TemporaryDirectory(prefix="tscm-picture-") as folder:
        page(freshness(Path(folder)), "freshness", 720)


if __name__ == "__main__":
    main()
