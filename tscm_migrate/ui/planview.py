"""Collect the events of a plan or a check, and print them as one page."""

from collections.abc import Iterator

from tscm_migrate.events import ActionStarted, Checked, Estimated, Event, Message, RunFinished, RunStarted, StepStarted
from tscm_migrate.ui.console import say
from tscm_migrate.util.text import duration_text, range_text

_SEVERITIES = (("error", "Error"), ("warning", "Warning"), ("info", "Info"), ("ok", "ok"))


class PlanView:
    """Collects events; `print` shows them, also if the plan ended early."""

    def __init__(self) -> None:
        self._title = ""
        self._said: list[str] = []
        self._checks: list[Checked] = []
        self._steps: list[StepStarted] = []
        self._actions: dict[str, list[ActionStarted]] = {}
        self._estimates: dict[str, Estimated] = {}
        self._outcome = ""

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case RunStarted():
                self._title = f"{event.old} → {event.new}"
            case Checked():
                self._checks.append(event)
            case Message():
                self._said.append(event.text if event.level == "info" else f"{event.level}: {event.text}")
            case StepStarted() if event.step not in {"identify", "preflight"}:
                self._steps.append(event)
            case ActionStarted():
                self._actions.setdefault(event.step, []).append(event)
            case Estimated():
                self._estimates[event.step] = event
            case RunFinished():
                self._outcome = event.outcome

    def print(self) -> None:
        """Print the page."""
        say("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return the lines of the page: hosts, checks by severity, steps with actions and estimates."""
        if not self._title:
            return []
        head, end = [self._title, *(f"  {line}" for line in self._said)], ["Nothing was changed."]
        parts = (head, self._found(), self._plan(), end if self._outcome == "done" else [])
        return "\n\n".join("\n".join(part) for part in parts if part).splitlines()

    def _found(self) -> list[str]:
        if not self._checks:
            return []
        passed = sum(one.severity == "ok" for one in self._checks)
        all_of = "all " if passed == len(self._checks) else f"{passed} of "
        lines = [f"Checks: {all_of}{len(self._checks)} passed" if passed else "Checks"]
        advice = ""
        for word, one in self._by_severity():
            lines.append(f"  {word:<8} {one.name}{' (acknowledged)' if one.allowed else ''}: {one.text}")
            given = "" if one.allowed or one.remedy == advice else one.remedy
            lines += [f"           {given}"] if given else []
            advice = one.remedy
        return lines

    def _by_severity(self) -> Iterator[tuple[str, Checked]]:
        """Yield the checks with the word for their severity, the worst first; passed ones only of a complete plan."""
        for severity, word in _SEVERITIES:
            if severity != "ok" or self._outcome == "done":
                yield from ((word, one) for one in self._checks if one.severity == severity)

    def _plan(self) -> list[str]:
        if not self._steps:
            return []
        lines = ["Steps"]
        for number, step in enumerate(self._steps, start=1):
            estimate = self._estimates.get(step.step)
            time = f"  (about {duration_text(estimate.seconds)}: {estimate.basis})" if estimate else ""
            actions = self._actions.get(step.step, [])
            lines.append(f"{number:>3}. {step.title}{time if actions else '  (nothing to do)'}")
            lines += [f"       {action.host}: {action.describes}" for action in actions]
        return lines + self._downtime()

    def _downtime(self) -> list[str]:
        total, without = self._estimates.get(""), self._estimates.get("downtime")
        if not (total and without):
            return []
        outage = any(c.name == "dns-outage" and c.severity != "ok" for c in self._checks)
        dns = ", which is a DNS outage for its clients" if outage else ""
        figures = [range_text(one.seconds, one.least, one.most) for one in (total, without)]
        basis = [f"Downtime: {without.basis}."] if without.basis else []
        return ["", "Estimated: {} total, {} downtime{}.".format(*figures, dns), *basis]
