"""Errors of copying an archive between hosts."""

from __future__ import annotations

from dataclasses import dataclass

from tscm_migrate.errors.base import MigrateError


@dataclass(eq=False)
class TransferError(MigrateError):
    """An archive could not be copied, or the copy is not what it should be."""

    code = "transfer"

    detail: str
    fix: str = ""

    def message(self) -> str:
        return self.detail

    def remedy(self) -> str:
        return self.fix


@dataclass(eq=False)
class ArchiveChanged(TransferError):
    """An archive is not what it was when its transfer began: it is being written, or its host does not tell the truth.

    Nothing of it is kept.
    """

    code = "transfer.archive-changed"
    advice = (
        "wait until nothing writes it any more, and run again; if it happens twice, look at the disk of the appliance"
    )

    def remedy(self) -> str:
        return self.fix or self.advice


@dataclass(eq=False)
class ArchiveRefused(TransferError):
    """An archive is made to fill memory, disk or time, as no backup does; it was not read to its end."""

    code = "transfer.archive-refused"
    advice = "look at the appliance that made it; take another archive, and restore this one nowhere"

    def remedy(self) -> str:
        return self.fix or self.advice


@dataclass(eq=False)
class KeyAbused(MigrateError):
    """The key that the old appliance was lent for one transfer was used on the new one for something else."""

    code = "transfer.key-abused"

    host: str
    detail: str

    def message(self) -> str:
        return (
            f"ATTACK? While the old appliance had a key for one transfer to {self.host}, this changed there: "
            f"{self.detail}. The key was removed; what was changed stays as it is"
        )

    def remedy(self) -> str:
        return (
            f"do not use {self.host} before somebody has looked at these files and removed what is not yours there; "
            "where an administrator changed them meanwhile, run again; "
            "else treat the old appliance as compromised, and copy without a key: --route relay --method tar"
        )
