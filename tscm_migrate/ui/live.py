"""The live view on a terminal: the steps are redrawn in one place, and lines that have to stay are printed above it."""

import os
import sys
import threading
import time
from collections import deque
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import ControlType
from rich.table import Table
from rich.text import Text

from tscm_migrate import events
from tscm_migrate.ui import operator
from tscm_migrate.ui.console import folded
from tscm_migrate.ui.lines import Plain, line_of
from tscm_migrate.ui.view_model import Board, Row
from tscm_migrate.util import redact

_KEPT = 200  # lines above the drawing that are printed again after a change of the width
_LOWEST = 12  # rows; on a smaller terminal lines say more
_MARKS = {"done": ("✓", "green"), "failed": ("✗", "bold red"), "reverted": ("↺", "cyan"), "running": ("▸", "bold cyan"),
          "pending": ("·", "dim"), "skipped": ("–", "dim"), "planned": ("·", "")}  # fmt: skip
_PLAIN = str.maketrans("✓✗↺▸·–…→", "+x<>.-~>")


def fits() -> bool:
    """Whether this terminal can show the live view: it is large enough, and NO_COLOR is not set."""
    stream = sys.stdout
    if stream is None or not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    console = Console(file=stream)
    return console.is_terminal and not console.is_dumb_terminal and console.height >= _LOWEST and console.width >= 40


class LiveView:
    """Draws from the first step of a run to its end, and prints lines before and after."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stdout, highlight=False, markup=False)
        self._ascii = not (self.console.encoding or "").lower().startswith("utf")
        self._lock = threading.RLock()
        self._board: Board | None = None
        self._live: Live | None = None
        self._lines = Plain()  # what is printed before and after
        self._started: events.RunStarted | None = None
        self._estimates: list[events.Estimated] = []
        self._counting = False  # whether the last line is a planned wait
        self._width = self.console.width
        self._kept: deque[str] = deque(maxlen=_KEPT)

    def __call__(self, event: events.Event) -> None:
        """Take one event; may be called from several threads."""
        with self._lock:
            self._take(event)

    def _take(self, event: events.Event) -> None:
        now = time.monotonic()
        if isinstance(event, events.RunStarted):
            self._started, self._estimates = event, []
        if isinstance(event, events.Estimated):
            self._estimates.append(event)
        if self._board is None and self._begins_steps(event):
            self._board = self._new_board(now)
            operator.draw(self)
            self.show()
        if self._board is None:
            if self._counts_down(event):
                return
            if not (isinstance(event, events.Checked) and event.severity == "ok"):
                self._say(self._lines.text(event, now))
            return
        self._fit_again()
        self._board.take(event, now)
        if isinstance(event, events.RunFinished):
            self._finish(event)
        elif self._stays(event):
            self._say(line_of(event))

    def _counts_down(self, event: events.Event) -> bool:
        """Show a planned wait on one line that is drawn again each time; return whether the event was one."""
        if self._counting:
            self.console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
        self._counting = isinstance(event, events.Waiting) and event.planned
        if self._counting:
            shown = Text(line_of(event).strip(), style="dim", no_wrap=True)
            shown.truncate(self.console.width - 1)
            self.console.print(shown, end="", soft_wrap=True)
        return self._counting

    def _begins_steps(self, event: events.Event) -> bool:
        """Return whether the first of the run's announced steps begins."""
        steps = self._started.steps if self._started is not None else ()
        return isinstance(event, events.StepStarted) and any(event.step == step for step, _ in steps)

    def _stays(self, event: events.Event) -> bool:
        """Whether an event also gets a line: a message, or a failure."""
        if isinstance(event, events.StepFinished):
            return event.state == "failed"
        if isinstance(event, events.DeviceUpdated):
            return not event.ok
        if isinstance(event, events.Checked):
            return event.severity != "ok"
        return isinstance(event, events.Message | events.Prompted)

    def _new_board(self, now: float) -> Board:
        started = self._started
        assert started is not None  # noqa: S101 - a step of it has begun
        since = started.offline_since
        offline = now - max(time.time() - since, 0) if since is not None else None
        title = f"{started.verb} {started.old} → {started.new}  (run {started.run})"
        board = Board(title, started.steps, now, offline, frozenset(started.done), frozenset(started.skipped))
        for event in self._estimates:
            board.take(event, now)
        return board

    def _say(self, text: str) -> None:
        """Print lines above the view; a command or a path is not broken, so that it can be copied."""
        for line in redact.clean(text).splitlines():
            self._kept.append(line)
            for part in folded(self._plain(line), self.console.width, "  "):
                self.console.print(Text(part, style=_style(line)), soft_wrap=True)

    def _finish(self, event: events.RunFinished) -> None:
        operator.over(self)
        if self._live is not None:
            live, self._live = self._live, None
            live.refresh()
            live.stop()
        self._board, self._started = None, None
        self._say(self._lines.text(event, time.monotonic()))

    # ---- drawing

    def show(self) -> None:
        """Draw, four times a second."""
        if self._live is None and self._board is not None:
            self._live = Live(get_renderable=self._render, console=self.console, refresh_per_second=4,
                              redirect_stdout=False, redirect_stderr=False, vertical_overflow="crop")  # fmt: skip
            self._live.start()

    def _fit_again(self) -> None:
        """After a change of the terminal's width clear the screen, and print again what stood above the drawing.

        Terminals wrap the lines that they show differently, so the position of the view is not known.
        """
        if self.console.width == self._width or self._live is None:
            return
        self._width = self.console.width
        self.hide()
        self.console.control(Control.clear(), Control.home())
        above, self._kept = list(self._kept), deque(maxlen=_KEPT)
        self._say("\n".join(above))
        self.show()

    def hide(self) -> None:
        """Remove the view from the terminal while a question is asked."""
        if self._live is not None:
            live, self._live = self._live, None
            live.transient = True
            live.stop()

    def _render(self) -> RenderableType:
        board = self._board
        if board is None:
            return Text("")
        height = self.console.height - 1
        return Group(*(self._row(row) for row in board.rows(time.monotonic(), height, self.console.width)))

    def _row(self, row: Row) -> RenderableType:
        grid = Table.grid(expand=True, padding=(0, 1, 0, 0))
        grid.add_column(ratio=1, no_wrap=True, overflow="crop" if self._ascii else "ellipsis")
        grid.add_column(justify="right", no_wrap=True)
        mark, style = _MARKS.get(row.state, ("", ""))
        left = f"     {row.left}" if row.state == "detail" else f" {mark} {row.left}" if mark else f" {row.left}"
        style = {"head": "bold", "clock": "bold yellow", "detail": "dim"}.get(row.state, style)
        text = Text(self._plain(" ".join(redact.clean(left).splitlines())), style=style)
        right: Any = Text(self._plain(redact.clean(row.right)), style=style)
        if row.share is not None:
            right = ProgressBar(total=1.0, completed=row.share, width=16)
        grid.add_row(text, right)
        return grid

    def _plain(self, text: str) -> str:
        return text.translate(_PLAIN) if self._ascii else text


def _style(line: str) -> str:
    head = line.lstrip()
    if head.startswith(("error", "failed", "[error]")):
        return "red"
    return "yellow" if head.startswith(("warning", "[warning]")) else ""
