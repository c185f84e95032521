"""Errors of an off-site store and of the copies in it."""

from tscm_migrate.errors.base import Exit, MigrateError, Retry


class OffsiteError(MigrateError):
    """An off-site store, or a copy in it, has a problem."""

    code = "offsite"
    text = "{detail}"

    detail: str
    fix: str = ""


class StoreError(OffsiteError):
    """An operation on the off-site store failed."""

    code = "offsite.store"

    url: str = ""  # without secrets
    key: str = ""

    def message(self) -> str:
        place = "/".join(part for part in (self.url.rstrip("/"), self.key) if part)
        return f"{place}: {self.detail}" if place else self.detail


class StoreUnavailable(StoreError):
    """The store does not answer, or is temporarily unavailable."""

    code = "offsite.unavailable"
    retry = Retry.LATER


class StoreDenied(StoreError):
    """The store refuses these credentials, or they do not allow this operation."""

    code = "offsite.denied"
    retry = Retry.AFTER_REMEDY
    advice = "check the credentials: they need the rights to read, write, list and delete below this URL"


class ObjectMissing(StoreError):
    """There is no such object in the store."""

    code = "offsite.missing"


class ObjectExists(StoreError):
    """There is already an object with this key; nothing was overwritten."""

    code = "offsite.exists"


class CopyDamaged(OffsiteError):
    """A copy in the store is damaged: its content differs from what was uploaded."""

    code = "offsite.damaged"
    advice = "keep the archive on the appliance and pull it again; consider another store"


class CopyMissing(OffsiteError):
    """There is no off-site copy of that name."""

    code = "offsite.no-copy"
    advice = "list the copies: tscm-migrate offsite list"


class EncryptionFailed(OffsiteError):
    """Encrypting or decrypting with gpg failed."""

    code = "offsite.seal"
    retry = Retry.AFTER_REMEDY


class PlaintextRefused(OffsiteError):
    """The archive is not encrypted, and the inventory forbids plaintext off-site."""

    code = "offsite.plaintext"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY
    advice = 'encrypt it with gpg keys: recipients = ["FINGERPRINT"] in [offsite] of the inventory'


class PruneRefused(OffsiteError):
    """Deleting copies now would not be safe; nothing was deleted."""

    code = "offsite.prune-refused"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY


class ScheduleTestFailed(OffsiteError):
    """The command fails in the scheduler's environment; nothing was installed."""

    code = "offsite.schedule-untried"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    names: tuple[str, ...] = ()  # variables of this shell that are not there
    file: str = ""  # where they can be put
    places: tuple[str, ...] = ()  # what else helps with some of them

    def message(self) -> str:
        lacks = f"; variables of this shell that are missing there: {', '.join(self.names)}" if self.names else ""
        return f"in the scheduler's environment the command fails: {self.detail}{lacks}; nothing was installed"

    def remedy(self) -> str:
        put = f"write the needed variables to {self.file} (one NAME=value on each line; chmod 600), then run it again"
        return "; ".join([put, *self.places, "or install it without this test: --untested"])
