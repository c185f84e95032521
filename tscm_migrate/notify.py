"""Send notifications about a run: commands around steps, apprise messages, healthcheck pings. It only handles events.

A failed notification is a warning; only a command with `on_failure = "stop"` can end a run, and never a rollback.
"""

import contextlib
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tscm_migrate.errors import NotifyStops
from tscm_migrate.events import Emit, Event, Message, RunFinished, RunStarted, StepFinished, StepStarted, state_text
from tscm_migrate.util import operator_command, redact, timeout
from tscm_migrate.util.text import duration_text

_PING_SECONDS = 10.0
_MESSAGE_SECONDS = 60.0  # seconds for all messages together
_GOOD = {"done", "attention", "rolled-back", "cancelled"}


@dataclass(frozen=True)
class Config:
    """`[notify]` of the inventory; "" and () switch a part off; `timeout` is in seconds."""

    before_step: str = ""
    after_step: str = ""
    failed: str = ""
    timeout: float = 60.0
    on_failure: Literal["warn", "stop"] = "warn"
    urls: tuple[str, ...] = field(default=(), repr=False)
    healthcheck: str = field(default="", repr=False)


def wrap(then: Emit, table: Mapping[str, Any]) -> Emit:
    """Return an event handler that also sends the notifications of `[notify]`; the same handler without `[notify]`."""
    return Notifier(then, Config(**{**table, "urls": tuple(table.get("urls", ()))})) if table else then


@contextlib.contextmanager
def telling(then: Emit, table: Mapping[str, Any]) -> Iterator[Emit]:
    """Wrap a run's event handler; a run that ends with an error before its first event is also reported as failed."""
    emit = wrap(then, table)
    try:
        yield emit
    except BaseException as error:
        if isinstance(emit, Notifier):
            emit.broken_off(error)
        raise


class Notifier:
    """Passes every event to `then`, and sends notifications."""

    def __init__(self, then: Emit, config: Config) -> None:
        self._then = then
        self._config = config
        self._started: RunStarted | None = None
        self._began = 0.0
        self._back = False
        for url in (*config.urls, config.healthcheck):
            redact.known.add(url)  # such addresses contain tokens

    def __call__(self, event: Event) -> None:
        """Handle one event.

        Raises:
            NotifyStops: a command with on_failure = "stop" failed.
        """
        if isinstance(event, RunStarted):
            self._started = event if event.verb not in {"dry run", "check"} else None
            self._began = time.monotonic()
            self._back = event.verb == "rollback"
        self._then(event)
        if self._started is None:
            return
        match event:
            case RunStarted():
                self._ping("/start", "")
            case StepStarted():
                self._back = self._back or event.title.startswith("put back")
                self._hook("before_step", event.step, "started")
            case StepFinished(state="failed"):
                self._hook("failed", event.step, event.state, event.detail)
            case StepFinished():
                self._hook("after_step", event.step, event.state)
            case RunFinished():
                self._finish(event)
                self._started = None

    def broken_off(self, error: BaseException) -> None:
        """Report the end of the run by an error, if the run has not already ended."""
        if self._started is not None:
            how: Literal["interrupted", "failed"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            why = (str(error) or type(error).__name__,)
            self._finish(RunFinished(self._started.run, how, round(time.monotonic() - self._began, 3), held=why))
            self._started = None

    def _finish(self, event: RunFinished) -> None:
        good = event.outcome in _GOOD
        assert self._started is not None  # noqa: S101 - see __call__
        title = f"{self._started.verb} {self._started.old} → {self._started.new}: {state_text(event.outcome)}"
        body = "\n".join(
            [title, f"run {event.run}, {duration_text(event.seconds)}", *event.left, *event.held, *event.next]
        )
        if not good:
            self._hook("failed", "", event.outcome, "; ".join(event.held))
        self._ping("" if good else "/fail", body)
        if self._config.urls:
            self._message(title, body)

    # ---- how notifications are sent

    def _hook(self, name: str, step: str, state: str, detail: str = "") -> None:
        command = str(getattr(self._config, name))
        if not command or self._started is None:
            return
        facts = {
            "TSCM_EVENT": name, "TSCM_STEP": step, "TSCM_STEP_STATE": state, "TSCM_DETAIL": redact.clean(detail)[:1000],
            "TSCM_RUN": self._started.run, "TSCM_VERB": self._started.verb,
            "TSCM_OLD": self._started.old, "TSCM_NEW": self._started.new,
        }  # fmt: skip
        problem = _run(command, facts, self._config.timeout)
        if not problem:
            return
        if self._config.on_failure == "stop" and name != "failed" and not self._back:
            raise NotifyStops(name, step, problem)
        self._warn(f"the {name} command {problem}")

    def _ping(self, end: str, body: str) -> None:
        if not self._config.healthcheck:
            return
        if problem := ping(self._config.healthcheck, end, body):
            self._warn(f"the healthcheck was not reached: {problem}")

    def _message(self, title: str, body: str) -> None:
        if problem := message(self._config.urls, title, body):
            self._warn(f"notify.urls: {problem}")

    def _warn(self, text: str) -> None:
        self._then(Message(text, "warning"))


def ping(url: str, end: str, body: str) -> str:
    """POST to a healthcheck address; return "" on success, else the problem (without the address, which is secret)."""

    def post() -> str:
        request = urllib.request.Request(url.rstrip("/") + end, data=_clean(body), method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=_PING_SECONDS):  # noqa: S310 - http or https: see the inventory
            return ""

    return _within(_PING_SECONDS, post)


def message(urls: Sequence[str], title: str, body: str) -> str:
    """Send a message by apprise; return "" if all were sent, else the problem."""
    try:
        import apprise
    except ImportError:
        return "apprise is wanted: pip install 'tscm-migrate[notify]'"

    def send() -> str:
        teller = apprise.Apprise()
        wrong = sum(1 for url in urls if not teller.add(url))
        sent = teller.notify(title=_clean(title).decode(), body=_clean(body).decode()) if len(teller) else False
        return "not every notification was sent" if wrong or not sent else ""

    return _within(_MESSAGE_SECONDS, send)


def _within(seconds: float, work: Callable[[], str]) -> str:
    """Return the result of `work`, or its error; wait no longer than the timeout.

    A socket's timeout restarts with each byte and does not include name resolution.
    """
    try:
        return timeout.within(seconds, work, "notify")
    except timeout.NoAnswerError:
        return f"no answer within {seconds:.0f} s"
    except Exception as error:  # noqa: BLE001 - no answer of a service may end a run
        return type(error).__name__


def _clean(text: str) -> bytes:
    return redact.clean(text).encode()


def _run(command: str, facts: Mapping[str, str], timeout: float) -> str:
    """Run a command of the operator; return "" on success, else the problem."""
    try:
        done = operator_command.run(command, facts, timeout)
    except OSError as error:
        return f"could not be started: {error.strerror}"
    if why := done.cut_short(timeout):
        return why
    if done.status == 0:
        return ""
    return f"ended with exit status {done.status}" + (f": {done.ending[-200:]}" if done.ending else "")
