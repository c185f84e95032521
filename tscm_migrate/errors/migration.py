"""Errors of a run: refused before it starts, its hooks and journal, its lock, its end."""

from __future__ import annotations

from dataclasses import dataclass

from tscm_migrate.errors.base import Exit, MigrateError, Retry


@dataclass(eq=False)
class Refused(MigrateError):
    """Preflight found reasons not to start; nothing was changed."""

    code = "preflight.refused"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    names: tuple[str, ...] = ()
    firm: bool = False  # whether one of them cannot be acknowledged

    def message(self) -> str:
        return f"preflight refused: {', '.join(self.names)}; nothing was changed"

    def remedy(self) -> str:
        if self.firm:
            return "do what the checks say, then run it again"
        acknowledged = " ".join(f"--allow {name}" for name in self.names)
        return f"mend what the checks name, or go on all the same: {acknowledged or '--allow NAME'}"


@dataclass(eq=False)
class RehearsalRefused(Refused):
    """The rehearsal of the restore found a reason not to take the old appliance offline."""

    code = "rehearsal.refused"

    details: str = ""

    def message(self) -> str:
        return f"refused after the rehearsal of the restore: {self.details}; the old appliance still serves"

    def remedy(self) -> str:
        acknowledged = " ".join(f"--allow {name}" for name in self.names)
        return f"fix what the checks name, or continue all the same: {acknowledged}"


@dataclass(eq=False)
class NetconfContradiction(Refused):
    """Both ways of treating the network settings were asked for; the vendor's two options exclude each other."""

    code = "preflight.netconf"

    def message(self) -> str:
        return "--bypass-netconf and --force-apply-netconf contradict each other; nothing was changed"

    def remedy(self) -> str:
        return "give one: bypass keeps the new one's own address, force-apply takes over the old one's settings"


@dataclass(eq=False)
class WindowClosed(MigrateError):
    """The cutover does not fit into the change window any more; everything was undone."""

    code = "window.closed"
    exit_code = Exit.REFUSED
    advice = "run it again in the next window; --not-after sets when the window closes"

    detail: str = ""

    def message(self) -> str:
        return f"the cutover was not begun: {self.detail}" if self.detail else super().message()


@dataclass(eq=False)
class HookFailed(MigrateError):
    """A hook on the workstation failed."""

    code = "hook"
    retry = Retry.AFTER_REMEDY

    detail: str
    name: str = ""

    def message(self) -> str:
        return self.detail

    def remedy(self) -> str:
        return f"run hooks.{self.name} of the inventory by hand to see what it says, mend it, then run this again"


@dataclass(eq=False)
class NotifyStops(MigrateError):
    """A command of [notify] failed, and its inventory says that this stops the run."""

    code = "notify.stops"
    retry = Retry.AFTER_REMEDY

    name: str
    step: str
    problem: str

    def message(self) -> str:
        return f"the {self.name} command at {self.step} {self.problem}"

    def remedy(self) -> str:
        return 'run the command by hand, mend it, then go on; or let it only warn: on_failure = "warn" in [notify]'


@dataclass(eq=False)
class JournalDamaged(MigrateError):
    """A line in the middle of a run's journal is not what was written."""

    code = "journal.damaged"

    file: str
    line: int
    run: str = ""

    def message(self) -> str:
        return f"{self.file}: line {self.line} is damaged; the run cannot be continued from it"

    def remedy(self) -> str:
        return (
            f"see what it did until then: tscm-migrate run show {self.run}; repair both appliances yourself, move the "
            "run's folder away, then run for each: tscm-migrate run unlock HOST, which shows what is still paused there"
        )


@dataclass(eq=False)
class JournalNewer(MigrateError):
    """A run's journal was written by a later version of this tool, which this one does not understand to its end."""

    code = "journal.newer"
    advice = "say the same with that version, or a later one: pipx upgrade tscm-migrate"
    retry = Retry.AFTER_REMEDY

    file: str
    detail: str = ""

    def message(self) -> str:
        return f"{self.file} was written by a later version: {self.detail}; nothing was changed"


@dataclass(eq=False)
class StateUnreadable(MigrateError):
    """What was written down of the runs cannot be read on this workstation; nothing was changed."""

    code = "journal.unreadable"
    retry = Retry.AFTER_REMEDY

    file: str
    detail: str = ""

    def message(self) -> str:
        return f"{self.file} cannot be read: {self.detail}; nothing was changed"

    def remedy(self) -> str:
        return "say it as the user whose runs these are, or give their folder to the one you are: chown -R"


@dataclass(eq=False)
class StateUnwritable(MigrateError):
    """The run's journal cannot be written on this workstation, so nothing that it would announce was done."""

    code = "journal.unwritable"
    retry = Retry.AFTER_REMEDY

    file: str
    detail: str = ""

    def message(self) -> str:
        return f"{self.file} cannot be written: {self.detail}"

    def remedy(self) -> str:
        return "make room, or set TSCM_STATE to a folder on another disk and move the runs there; then resume"


@dataclass(eq=False)
class Locked(MigrateError):
    """Another run has this appliance."""

    code = "locked"
    exit_code = Exit.REFUSED
    retry = Retry.LATER

    host: str
    owner: str = ""  # "user@workstation pid 123"
    since: str = ""
    run: str = ""
    alive: bool = True  # whether that run may still be working

    def message(self) -> str:
        doing = "is at work on it" if self.alive else "has not ended it"
        return f"{self.host} is locked, nothing was changed: run {self.run} of {self.owner} {doing} since {self.since}"

    def remedy(self) -> str:
        if self.alive:
            return f"wait for that run; if it is dead for certain: tscm-migrate run unlock {self.host} --force"
        return (
            f"go on with it: tscm-migrate resume {self.run}; or take it back: tscm-migrate rollback {self.run}; "
            f"or, once all is mended by hand, move its folder away (tscm-migrate run show {self.run} tells where)"
        )


@dataclass(eq=False)
class LostTrack(MigrateError):
    """It cannot be told which appliance answers at an address; nothing was changed."""

    code = "resume.lost-track"
    retry = Retry.AFTER_REMEDY

    address: str
    detail: str = ""

    def message(self) -> str:
        return f"it cannot be told which appliance answers at {self.address}: {self.detail}"

    def remedy(self) -> str:
        return "look at both consoles: exactly one may be on at that address; then say resume or rollback again"


@dataclass(eq=False)
class RollbackIncomplete(MigrateError):
    """Some of a run's changes could not be taken back; the others were."""

    code = "rollback.incomplete"
    exit_code = Exit.ATTENTION
    retry = Retry.AFTER_REMEDY

    items: tuple[str, ...] = ()
    run: str = ""

    def message(self) -> str:
        return "not everything could be taken back: " + "; ".join(self.items)

    def remedy(self) -> str:
        return f"mend what is named, then say it again: tscm-migrate rollback {self.run}"


@dataclass(eq=False)
class NeedsPerson(MigrateError):
    """Migrated, but something is left for a person to do."""

    code = "needs-person"
    exit_code = Exit.ATTENTION

    items: tuple[str, ...] = ()

    def remedy(self) -> str:
        return "see to each of them; the report has them as a checklist"

    def message(self) -> str:
        return "migrated, but a person is needed: " + "; ".join(self.items)


@dataclass(eq=False)
class Interrupted(MigrateError):
    """The run was interrupted and can be resumed."""

    code = "interrupted"
    exit_code = Exit.INTERRUPTED
    retry = Retry.LATER

    state: str = ""
    next_command: str = ""

    def message(self) -> str:
        return "interrupted" + (f"; {self.state}" if self.state else "")

    def remedy(self) -> str:
        return self.next_command
