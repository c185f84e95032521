"""Errors of the command line, of the files it names, and of this workstation."""

from tscm_migrate.errors.base import Exit, MigrateError, Retry


class UsageError(MigrateError):
    """The command line is not valid."""

    code = "usage"
    exit_code = Exit.USAGE
    text = "{problem}"

    problem: str
    fix: str = ""


class InventoryError(UsageError):
    """The inventory file is not valid."""

    code = "inventory"

    file: str = ""
    key: str = ""

    def message(self) -> str:
        return ": ".join(part for part in (self.file, self.key, self.problem) if part)


class DialectError(UsageError):
    """A dialect file is not valid."""

    code = "dialect"

    file: str = ""
    row: str = ""

    def message(self) -> str:
        return ": ".join(part for part in (self.file, self.row, self.problem) if part)


class PlanInvalid(InventoryError):
    """The plan of a campaign is not valid."""

    code = "campaign.plan"
    advice = "correct the plan; docs/how-to/campaign.md has an example"


class CampaignMissing(UsageError):
    """No campaign of this name was started on this workstation."""

    code = "campaign.missing"


class CampaignRunning(MigrateError):
    """Another process of this workstation runs or resumes this campaign."""

    code = "campaign.running"
    exit_code = Exit.REFUSED
    retry = Retry.LATER
    text = "another process of this workstation runs the campaign {name!r}; nothing was changed"
    advice = "wait until it has ended, and see what it does: tscm-migrate campaign status {name}"

    name: str


class UnsafeFile(InventoryError):
    """Other users can change a file whose content this tool trusts."""

    code = "inventory.unsafe"
    retry = Retry.AFTER_REMEDY


class TimeZoneMissing(UsageError):
    """A time has no time zone, so it cannot be compared."""

    code = "usage.naive-time"


class Cancelled(MigrateError):
    """Cancelled. Nothing was changed."""

    code = "cancelled"
    advice = "to run without confirmation, add --yes"

    undone: bool = False

    def message(self) -> str:
        return "Cancelled. Everything was undone." if self.undone else "Cancelled. Nothing was changed."


class Unconfirmed(MigrateError):
    """A confirmation is needed, and there is no terminal to ask on; nothing was changed."""

    code = "unconfirmed"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY
    text = "{what}: this needs a confirmation, and there is no terminal to ask on; nothing was changed"
    advice = "check what is listed above, then run: {command}"

    what: str
    command: str


class OutputLost(MigrateError):
    """The output cannot be written."""

    code = "output"
    advice = "free space where the output is written, or redirect it elsewhere, and run the command again"
    retry = Retry.AFTER_REMEDY
    text = "the output cannot be written: {detail}"

    detail: str = ""


class OutOfMemory(MigrateError):
    """This workstation has too little free memory for this command."""

    code = "out-of-memory"
    advice = (
        "close other programs, or use a workstation with more memory; to find runs to resume: tscm-migrate run list"
    )


class ClusterLost(MigrateError):
    """No worker of the cluster is connected to its scheduler, or the scheduler does not answer."""

    code = "cluster.lost"
    retry = Retry.AFTER_REMEDY
    text = "the cluster at {scheduler} had no worker for {seconds:.0f} s; no more work was started"

    advice = "start a worker: tscm-migrate cluster start worker --address {scheduler}; then run the command again"

    scheduler: str
    seconds: float = 120.0
