"""Errors of a run: refused before it starts, its hooks and journal, its lock, its end."""

from shlex import quote

from tscm_migrate.errors.base import Exit, MigrateError, Retry


class Refused(MigrateError):
    """Preflight found reasons not to start; nothing was changed."""

    code = "preflight.refused"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    names: tuple[str, ...] = ()
    firm: bool = False  # whether one of them cannot be acknowledged

    def summary(self) -> str:
        return f"preflight refused: {', '.join(self.names)}; nothing was changed"

    def remedy(self) -> str:
        if self.firm:
            return "fix the errors listed above and run it again"
        acknowledged = " ".join(f"--allow {name}" for name in self.names)
        return f"fix the problems above, or override them: {acknowledged or '--allow NAME'}"


class RehearsalRefused(Refused):
    """The rehearsal of the restore found a problem; the old appliance was not taken offline."""

    code = "rehearsal.refused"
    text = "refused after the rehearsal of the restore: {details}; the old appliance still serves"

    details: str = ""

    def remedy(self) -> str:
        acknowledged = " ".join(f"--allow {name}" for name in self.names)
        return f"fix the problems above, or override them: {acknowledged}"


class NetconfContradiction(Refused):
    """--bypass-netconf and --force-apply-netconf were both given; the vendor's two options exclude each other."""

    code = "preflight.netconf"
    text = "--bypass-netconf and --force-apply-netconf contradict each other; nothing was changed"
    advice = (
        "use only one: --bypass-netconf keeps the new appliance's own address, "
        "--force-apply-netconf gives it the old appliance's"
    )

    def remedy(self) -> str:
        return self.advice


class WindowClosed(MigrateError):
    """The cutover does not fit into the change window any more; everything was undone."""

    code = "window.closed"
    exit_code = Exit.REFUSED
    text = "the cutover was not begun: {detail}"
    advice = "run it again in the next window; --not-after sets when the window closes"

    detail: str


class HookFailed(MigrateError):
    """A hook on the workstation failed."""

    code = "hook"
    retry = Retry.AFTER_REMEDY
    text = "{detail}"
    advice = "run the command of hooks.{name} yourself, fix what it reports, then run this again"

    detail: str
    name: str = ""


class NotifyStops(MigrateError):
    """A command of [notify] failed, and the inventory has on_failure = "stop"."""

    code = "notify.stops"
    retry = Retry.AFTER_REMEDY
    text = "the {name} command at {step} {problem}"
    advice = 'fix the command, then run this again; or let it only warn: on_failure = "warn" in [notify]'

    name: str
    step: str
    problem: str


class JournalDamaged(MigrateError):
    """A run's journal is damaged: a line before its end cannot be read."""

    code = "journal.damaged"
    text = "{file}: line {line} is damaged; the run cannot be continued from it"
    advice = (
        "see what it did until then: tscm-migrate run show {run}; repair both appliances yourself, move the "
        "run's folder away, then run for each: tscm-migrate run unlock HOST, which shows what is still paused there"
    )

    file: str
    line: int
    run: str = ""


class JournalNewer(MigrateError):
    """A run's journal was written by a later version of this tool; this version cannot read all of it."""

    code = "journal.newer"
    advice = "upgrade, then run the command again: pipx upgrade tscm-migrate"
    retry = Retry.AFTER_REMEDY
    text = "{file} was written by a later version: {detail}; nothing was changed"

    file: str
    detail: str = ""


class StateUnreadable(MigrateError):
    """A file of this workstation's run records cannot be read; nothing was changed."""

    code = "journal.unreadable"
    retry = Retry.AFTER_REMEDY
    text = "{file} cannot be read: {detail}; nothing was changed"

    file: str
    detail: str = ""

    def remedy(self) -> str:
        return f"run it as the user who owns these runs, or take over the file: sudo chown $USER {quote(self.file)}"


class StateUnwritable(MigrateError):
    """The run's journal cannot be written on this workstation; the change that it would record was not made."""

    code = "journal.unwritable"
    retry = Retry.AFTER_REMEDY
    text = "{file} cannot be written: {detail}"
    advice = (
        "free disk space, or make it writable for this user, or move the state folder and set TSCM_STATE to it; "
        "then run it again, or resume the run"
    )

    file: str
    detail: str = ""


class Locked(MigrateError):
    """Another run holds this appliance's lock; nothing was changed."""

    code = "locked"
    exit_code = Exit.REFUSED
    retry = Retry.LATER

    host: str
    owner: str = ""  # "user@workstation pid 123"
    since: str = ""
    run: str = ""
    alive: bool = True  # whether that run may still be working

    def message(self) -> str:
        if self.alive:
            return f"{self.host} is in use by run {self.run} ({self.owner}), since {self.since}; nothing was changed"
        held = f"locked by unfinished run {self.run} ({self.owner}, since {self.since})"
        return f"{self.host} is {held}; nothing was changed"

    def remedy(self) -> str:
        if self.alive:
            return (
                f"wait for that run; if its process has ended, continue it where it was started: tscm-migrate resume "
                f"{self.run}; only if its journal is lost: tscm-migrate run unlock {self.host} --force"
            )
        return (
            f"continue it: tscm-migrate resume {self.run}; or undo it: tscm-migrate rollback {self.run}; or, after "
            f"repairing both appliances yourself, delete the run folder shown by: tscm-migrate run show {self.run}"
        )


class AddressUnclear(MigrateError):
    """It is not clear which appliance answers at an address; nothing was changed."""

    code = "resume.lost-track"
    retry = Retry.AFTER_REMEDY
    text = "cannot tell whether the host at {address} is the old or the new appliance: {detail}"
    advice = "check both consoles: exactly one appliance may be on at that address; then run resume or rollback again"

    address: str
    detail: str = ""


class RollbackIncomplete(MigrateError):
    """Some changes of a run could not be undone; the others were."""

    code = "rollback.incomplete"
    exit_code = Exit.ATTENTION
    retry = Retry.AFTER_REMEDY
    advice = "fix the items above, then run: tscm-migrate rollback {run}"

    items: tuple[str, ...] = ()
    run: str = ""

    def message(self) -> str:
        return "not everything could be undone: " + "; ".join(self.items)


class ManualStepsLeft(MigrateError):
    """The migration is complete, but something is left for a person to do."""

    code = "needs-person"
    exit_code = Exit.ATTENTION
    advice = "do each of them; the report has them as a checklist"

    items: tuple[str, ...] = ()

    def message(self) -> str:
        return "migrated; left for you to do: " + "; ".join(self.items)


class Interrupted(MigrateError):
    """The run was interrupted and can be resumed."""

    code = "interrupted"
    exit_code = Exit.INTERRUPTED
    retry = Retry.LATER

    state: str = ""
    next_command: str = ""

    def message(self) -> str:
        between = " " if self.state.startswith("by ") else "; "
        return f"interrupted{between}{self.state}" if self.state else "interrupted"

    def remedy(self) -> str:
        return self.next_command


class BundleDamaged(MigrateError):
    """A bundle was changed or damaged: a file, the chain of the journal or the signature does not match."""

    code = "bundle.damaged"
    exit_code = Exit.ATTENTION
    text = "{file}: {detail}"
    advice = "do not rely on it; have the bundle made again where the run is: tscm-migrate report bundle RUN"

    file: str
    detail: str


class BundleUnwritable(MigrateError):
    """A bundle cannot be written."""

    code = "bundle.unwritable"
    text = "{file} cannot be written: {detail}"
    advice = "name another file or folder with --to"

    file: str
    detail: str
