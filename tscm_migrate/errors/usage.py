"""Errors of the command line, of the files it names, and of this workstation."""

from __future__ import annotations

from dataclasses import dataclass

from tscm_migrate.errors.base import Exit, MigrateError, Retry


@dataclass(eq=False)
class UsageError(MigrateError):
    """The command line asks for something that cannot be."""

    code = "usage"
    exit_code = Exit.USAGE

    problem: str
    fix: str = ""

    def message(self) -> str:
        return self.problem

    def remedy(self) -> str:
        return self.fix


@dataclass(eq=False)
class InventoryError(UsageError):
    """The inventory file has something wrong in it."""

    code = "inventory"

    file: str = ""
    key: str = ""

    def message(self) -> str:
        place = ": ".join(part for part in (self.file, self.key) if part)
        return f"{place}: {self.problem}" if place else self.problem


@dataclass(eq=False)
class DialectError(UsageError):
    """A dialect file has something wrong in it."""

    code = "dialect"

    file: str = ""
    row: str = ""

    def message(self) -> str:
        return ": ".join(part for part in (self.file, self.row, self.problem) if part)


@dataclass(eq=False)
class PlanInvalid(InventoryError):
    """The plan of a campaign is not valid."""

    code = "campaign.plan"


@dataclass(eq=False)
class CampaignMissing(UsageError):
    """No campaign of this name was started on this workstation."""

    code = "campaign.missing"


@dataclass(eq=False)
class UnsafeFile(InventoryError):
    """A file whose text is obeyed may have been written by somebody else."""

    code = "inventory.unsafe"
    retry = Retry.AFTER_REMEDY


@dataclass(eq=False)
class NaiveTime(UsageError):
    """A time without a zone cannot be compared."""

    code = "usage.naive-time"


@dataclass(eq=False)
class Cancelled(MigrateError):
    """Cancelled. Nothing was changed."""

    code = "cancelled"
    advice = "to run without a question, add --yes"

    undone: bool = False

    def message(self) -> str:
        return "Cancelled. Everything was undone." if self.undone else "Cancelled. Nothing was changed."


@dataclass(eq=False)
class Unconfirmed(MigrateError):
    """It has to be confirmed, and there is nobody to ask; nothing was changed."""

    code = "unconfirmed"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    what: str
    command: str

    def message(self) -> str:
        return f"{self.what}: this has to be confirmed, and there is no terminal to ask on; nothing was changed"

    def remedy(self) -> str:
        return f"look at what is listed; to do it: {self.command}"


@dataclass(eq=False)
class OutputLost(MigrateError):
    """What was to be printed cannot be written where the output goes."""

    code = "output"
    advice = "make room where the output goes, or let it go elsewhere, and say it again"
    retry = Retry.AFTER_REMEDY

    detail: str = ""

    def message(self) -> str:
        return f"the output cannot be written: {self.detail}"


@dataclass(eq=False)
class OutOfMemory(MigrateError):
    """This workstation has too little memory for what was to be done."""

    code = "out-of-memory"
    advice = (
        "end other programs, or run it where there is more memory; what was begun can be resumed: tscm-migrate run list"
    )


@dataclass(eq=False)
class ClusterLost(MigrateError):
    """No worker of the cluster is connected to its scheduler, or the scheduler does not answer."""

    code = "cluster.lost"
    exit_code = Exit.FAILED
    retry = Retry.AFTER_REMEDY

    scheduler: str
    seconds: float = 120.0

    def message(self) -> str:
        return f"the cluster at {self.scheduler} had no worker for {self.seconds:.0f} s; no more work was started"

    def remedy(self) -> str:
        worker = f"tscm-migrate cluster start worker --address {self.scheduler}"
        return f"start a worker: {worker}; then run the command again"
