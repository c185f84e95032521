"""Errors of an appliance: its archives, its tsadmin, its network."""

from __future__ import annotations

from dataclasses import dataclass, field

from tscm_migrate.errors.base import Exit, MigrateError, Retry, as_clause


@dataclass(eq=False)
class ApplianceError(MigrateError):
    """An appliance did not do what it was asked."""

    code = "appliance"

    host: str
    detail: str = ""

    def message(self) -> str:
        doc = as_clause(type(self).__doc__ or self.code)
        return f"{self.host}: {doc}" + (f": {self.detail}" if self.detail else "")


@dataclass(eq=False)
class CannotLook(ApplianceError):
    """What runs or is present there cannot be seen, so nothing can be concluded from seeing nothing."""

    code = "appliance.cannot-look"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    def remedy(self) -> str:
        return (
            "log in to it as the tool does and compare: sudo ps -ww -eo pid,ppid,args; "
            "then see what restricts it: grep ' /proc ' /proc/mounts"
        )


@dataclass(eq=False)
class DrainTimeout(ApplianceError):
    """ts-update was still running when the time for draining was over."""

    code = "appliance.drain-timeout"
    retry = Retry.LATER

    seconds: float = 0.0
    processes: tuple[str, ...] = field(default=())

    def message(self) -> str:
        running = "; ".join(self.processes) or "none seen at the last look"
        return f"{self.host}: ts-update was not done after {self.seconds:.0f} s; still there: {running}"

    def remedy(self) -> str:
        return "wait until they end (or end them), then run again; a longer wait: --drain-timeout SECONDS"


@dataclass(eq=False)
class BackupFailed(ApplianceError):
    """tsadmin backup made no archive that can be trusted."""

    code = "appliance.backup"
    advice = "run `tsadmin backup` by hand and read /var/log/threatstop/ts-backup.log on the appliance"


@dataclass(eq=False)
class NoBackupYet(ApplianceError):
    """It has made no backup yet, and the first one asks whether to encrypt, which a scheduled one cannot answer."""

    code = "appliance.no-backup-yet"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    def message(self) -> str:
        return f"{self.host}: {as_clause(type(self).__doc__ or self.code)}"

    def remedy(self) -> str:
        return f"make one: {self.detail or 'ssh HOST'} tsadmin backup; or give --passphrase-file-there FILE"


@dataclass(eq=False)
class ArchiveMissing(ApplianceError):
    """There is no such archive."""

    code = "appliance.no-archive"

    def remedy(self) -> str:
        return f"list its archives: tscm-migrate archive list {self.host}; migrate without --archive makes a new one"


@dataclass(eq=False)
class ListingFailed(ApplianceError):
    """The archives could not be listed; what is there is not known."""

    code = "appliance.listing"
    retry = Retry.AFTER_REMEDY

    folder: str = ""
    login: str = ""  # "user@address"
    missing: bool = False

    def message(self) -> str:
        if self.missing:
            return f"{self.host}: the backup folder {self.folder} does not exist"
        return f"{self.host}: the archives in {self.folder} could not be listed: {self.detail}"

    def remedy(self) -> str:
        if self.missing:
            return (
                f"make a backup there: ssh -t {self.login} tsadmin backup; "
                f"or, if it keeps them elsewhere, set paths.backup_dir of [hosts.{self.host}] in the inventory"
            )
        return f"see what the login may read, and give it the right to: ssh {self.login} ls -la {self.folder}"


@dataclass(eq=False)
class ArchiveEmpty(ApplianceError):
    """The archive has 0 bytes: its backup has failed, or is still being written."""

    code = "appliance.empty-archive"

    def remedy(self) -> str:
        return f"see what there is, and take another one with --archive NAME: tscm-migrate archive list {self.host}"


@dataclass(eq=False)
class RestoreFailed(ApplianceError):
    """tsadmin restore did not finish."""

    code = "appliance.restore"
    advice = "read what it said above, run `tsadmin restore` by hand on the new appliance"


@dataclass(eq=False)
class UnknownPrompt(ApplianceError):
    """A question came that no row of a dialect knows; it was not answered."""

    code = "appliance.unknown-prompt"
    foreign = ("prompt", "transcript")
    retry = Retry.AFTER_REMEDY

    prompt: str = ""
    transcript: str = field(default="", repr=False)

    def message(self) -> str:
        return f"{self.host}: unknown question, not answered: {self.prompt!r}"

    def remedy(self) -> str:
        return (
            "answer it once on a terminal, without --yes, and have it remembered; beforehand: "
            f"tscm-migrate prompts learn {self.host} --from OLD"
        )


@dataclass(eq=False)
class Untaught(UnknownPrompt):
    """tsadmin asked an unknown question while the old appliance still served; the migration was refused."""

    code = "rehearsal.unknown-prompt"
    exit_code = Exit.REFUSED

    learn: str = ""  # the command that teaches it

    def message(self) -> str:
        return f"{self.host}: unknown question, not answered: {self.prompt!r}; the old appliance still serves"

    def remedy(self) -> str:
        return f"teach the answer, then migrate again: {self.learn}"


@dataclass(eq=False)
class DialogueSilent(ApplianceError):
    """The dialogue said nothing more within its time."""

    code = "appliance.silent"
    foreign = ("transcript",)
    advice = "run the same dialogue by hand on the appliance, and see what it waits for"
    retry = Retry.LATER

    transcript: str = field(default="", repr=False)


@dataclass(eq=False)
class StillOnline(ApplianceError):
    """The old appliance still answers at its address."""

    code = "appliance.still-online"
    advice = "switch it off, or take its network away, and see that nothing answers at its address"
    retry = Retry.AFTER_REMEDY


@dataclass(eq=False)
class WouldCollide(ApplianceError):
    """Two hosts would answer at one address."""

    code = "appliance.would-collide"
    retry = Retry.AFTER_REMEDY

    address: str = ""

    def remedy(self) -> str:
        return f"take the one that is at {self.address} now off the network (power it off), then run this again"


@dataclass(eq=False)
class NotComeBack(ApplianceError):
    """The appliance did not come back."""

    code = "appliance.not-back"
    advice = "look at the appliance's console: is it on, and at which address"
    retry = Retry.LATER
