"""Errors of an appliance: its archives, its tsadmin, its network."""

from dataclasses import field

from tscm_migrate.errors.base import Exit, MigrateError, Retry, as_clause


class ApplianceError(MigrateError):
    """A command on an appliance failed."""

    code = "appliance"
    advice = "on {host}, fix what this message names, then run the same command again"

    host: str
    detail: str = ""
    fix: str = field(default="", kw_only=True)  # replaces the usual remedy

    def summary(self) -> str:
        doc = as_clause(type(self).__doc__ or self.code)
        return f"{self.host}: {doc}" + (f": {self.detail}" if self.detail else "")


class ProcessesHidden(ApplianceError):
    """Its running processes are not visible to this login, so running updates would not be seen."""

    code = "appliance.cannot-look"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY
    advice = (
        "log in to it as this tool does, and check what it sees: sudo ps -ww -eo pid,ppid,args; "
        "then find the restriction: grep ' /proc ' /proc/mounts"
    )


class DrainTimeout(ApplianceError):
    """ts-update was still running after --drain-timeout."""

    code = "appliance.drain-timeout"
    retry = Retry.LATER
    advice = "wait until it ends (or end it), then run this again; to wait longer: --drain-timeout 2h"

    seconds: float = 0.0
    processes: tuple[str, ...] = field(default=())

    def message(self) -> str:
        running = "; ".join(self.processes) or "none seen at the last check"
        return f"{self.host}: ts-update was still running after {self.seconds:.0f} s: {running}"


class BackupFailed(ApplianceError):
    """tsadmin backup failed, or its archive could not be verified."""

    code = "appliance.backup"
    advice = "on the appliance, run `sudo tsadmin backup` yourself and read /var/log/threatstop/ts-backup.log"


class NoBackupYet(ApplianceError):
    """It has no backups yet; the first one asks whether to encrypt, which a scheduled backup cannot answer."""

    code = "appliance.no-backup-yet"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY
    text = (
        "{host}: it has no backups yet; the first one asks whether to encrypt, which a scheduled backup cannot answer"
    )
    advice = "create one: {detail} tsadmin backup; or use --passphrase-file-there FILE"

    detail: str = "ssh HOST"


class ArchiveMissing(ApplianceError):
    """There is no such archive."""

    code = "appliance.no-archive"
    advice = "list its archives: tscm-migrate archive list {host}; or create one: tscm-migrate archive create {host}"


class ListingFailed(ApplianceError):
    """The archives could not be listed."""

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
                f"create a backup: ssh -t {self.login} tsadmin backup; "
                f"or, if its backups are elsewhere, set paths.backup_dir of [hosts.{self.host}] in the inventory"
            )
        return f"give this login the right to read the folder; check it: ssh {self.login} ls -la {self.folder}"


class ArchiveEmpty(ApplianceError):
    """The archive has 0 bytes: its backup failed or is still running."""

    code = "appliance.empty-archive"
    advice = "use another archive (--archive NAME); list them: tscm-migrate archive list {host}"


class RestoreFailed(ApplianceError):
    """tsadmin restore failed."""

    code = "appliance.restore"
    advice = "read its output above; to see more, run `sudo tsadmin restore` yourself on the new appliance"


class RehearsalFailed(RestoreFailed):
    """The rehearsal of the restore failed; the old appliance still serves."""

    code = "rehearsal.failed"
    text = "{host}: {detail}; the old appliance still serves"
    retry = Retry.AFTER_REMEDY
    advice = (
        "fix what its output above reports, then run this again; or, if its restore always does this, migrate without "
        "a rehearsal: {command}"
    )

    command: str = "tscm-migrate migrate --no-rehearsal"


class UnknownPrompt(ApplianceError):
    """tsadmin asked a question that no dialect knows; it was not answered."""

    code = "appliance.unknown-prompt"
    foreign = ("prompt", "transcript")
    retry = Retry.AFTER_REMEDY
    text = "{host}: unknown question, not answered: {prompt!r}"
    advice = (
        "answer it once in a terminal, without --yes, and have the answer remembered; or before a migration: "
        "tscm-migrate prompts learn {host} --from OLD"
    )

    prompt: str = ""
    transcript: str = field(default="", repr=False)


class AnswersNotSaved(MigrateError):
    """Answers that were taught could not be saved in the dialect."""

    code = "prompts.not-saved"
    exit_code = Exit.ATTENTION
    retry = Retry.AFTER_REMEDY
    advice = (
        "answer them on a terminal during the migration: {command}; "
        "or write rows for them into {dialect} (docs: Teach it another wording)"
    )

    questions: tuple[tuple[str, str], ...]  # each with the reason
    command: str = "tscm-migrate migrate"  # with the options that were given
    dialect: str = "dialect.toml"

    def message(self) -> str:
        listed = "; ".join(f"{question!r}: {why}" for question, why in self.questions)
        count = len(self.questions)
        return f"{count} answer(s) could not be saved, so migrate --yes stops at these questions: {listed}"


class RehearsalUnknownPrompt(UnknownPrompt):
    """tsadmin asked an unknown question in the rehearsal; the migration was refused. The old appliance still serves."""

    code = "rehearsal.unknown-prompt"
    exit_code = Exit.REFUSED
    text = "{host}: unknown question, not answered: {prompt!r}; the old appliance still serves"
    advice = "teach the answer, then migrate again: {learn}"

    learn: str = ""  # the command that teaches it


class DialogueSilent(ApplianceError):
    """A program on the appliance stopped responding."""

    code = "appliance.silent"
    foreign = ("transcript",)
    advice = "run the same command on the appliance yourself, and find out what it waits for"
    retry = Retry.LATER

    transcript: str = field(default="", repr=False)


class StillOnline(ApplianceError):
    """The old appliance still answers at its address."""

    code = "appliance.still-online"
    advice = "power it off or disconnect its network, and check that nothing answers at its address"
    retry = Retry.AFTER_REMEDY


class AddressConflict(ApplianceError):
    """Two hosts would answer at one address."""

    code = "appliance.would-collide"
    retry = Retry.AFTER_REMEDY
    advice = "power off the host that uses {address} now, then run this again"

    address: str = ""


class NotReachableAgain(ApplianceError):
    """The appliance did not become reachable again."""

    code = "appliance.not-back"
    advice = "check on the appliance's console whether it is on, and which address it has"
    retry = Retry.LATER
