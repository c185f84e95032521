"""Errors of copying an archive between hosts."""

from tscm_migrate.errors.base import MigrateError


class TransferError(MigrateError):
    """An archive could not be copied, or the copy could not be verified."""

    code = "transfer"
    text = "{detail}"

    detail: str
    fix: str = ""


class ArchiveChanged(TransferError):
    """An archive changed during its transfer: it is still being written, or its host reported wrong values.

    No part of the copy is kept.
    """

    code = "transfer.archive-changed"
    advice = "wait until the backup has ended, and run this again; if it happens twice, check the disk of the appliance"


class ArchiveRefused(TransferError):
    """An archive exceeds the limits for its size or its number of files; it was not read to its end."""

    code = "transfer.archive-refused"
    advice = "do not restore this archive; use another one, and check the appliance that made it"


class TransferKeyMisused(MigrateError):
    """The temporary key of a transfer was used on the new appliance for something else."""

    code = "transfer.key-abused"
    text = (
        "possible attack: while the old appliance had a temporary key for {host}, this changed there: "
        "{detail}. The key was removed; the changes were left as they are"
    )
    advice = (
        "do not use {host} before you have checked these files; if an administrator changed them, run this "
        "again; if not, treat the old appliance as compromised, remove the changes, and copy without a key: "
        "--route relay --method tar"
    )

    host: str
    detail: str
