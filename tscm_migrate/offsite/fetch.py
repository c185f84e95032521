"""Fetch a copy: the archive as the appliance made it, verified, and named only when it is complete."""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tscm_migrate.archive import gpg, names
from tscm_migrate.errors import CopyDamaged, ObjectExists, StoreError, UsageError
from tscm_migrate.model import Secret
from tscm_migrate.offsite.catalog import Copy
from tscm_migrate.offsite.manifest import Manifest
from tscm_migrate.offsite.stores.base import Store
from tscm_migrate.offsite.upload import Hashed, no_more
from tscm_migrate.util import private


@contextmanager
def archive(store: Store, copy: Copy) -> Iterator[Iterator[bytes]]:
    """Yield the bytes of the archive as they were on the appliance; decrypt what this tool encrypted.

    The stream is compared with the manifest at its end, before and after decryption. Do not use the bytes before that.

    Raises:
        CopyDamaged: at the end of the stream, the bytes are not the ones that were stored.
        EncryptionFailed: no secret key decrypts it.
    """
    manifest = copy.manifest
    with closing(store.read(manifest.data)) as raw:
        stored = _checked(raw, manifest, store, manifest.sha256, manifest.size)
        if not manifest.sealed_to:
            yield stored
            return
        with gpg.opened(stored) as plain:
            yield _checked(plain, manifest, store, manifest.source_sha256, manifest.source_size)


@contextmanager
def opened(store: Store, copy: Copy, passphrase: Secret | None) -> Iterator[Iterator[bytes]]:
    """Yield the decrypted archive: without the encryption of this tool and that of the appliance.

    Raises:
        See `archive`. EncryptionFailed: also if the passphrase is wrong.
    """
    with ExitStack() as stack:
        chunks = stack.enter_context(archive(store, copy))
        if copy.manifest.encrypted == "passphrase":
            chunks = stack.enter_context(gpg.opened(chunks, passphrase))
        elif copy.manifest.encrypted == "public-key" and not copy.manifest.sealed_to:
            chunks = stack.enter_context(gpg.opened(chunks))
        yield chunks


def _checked(chunks: Iterator[bytes], manifest: Manifest, store: Store, sha256: str, size: int) -> Iterator[bytes]:
    passed = Hashed(no_more(chunks, size, f"{store.url}: {manifest.host}: {manifest.id}"))
    yield from passed
    if (passed.size, passed.sha256) != (size, sha256):
        raise CopyDamaged(
            detail=f"{store.url}: {manifest.host}: {manifest.id}: other bytes come back than went in "
            f"({passed.size} of {size})",
            fix=f"take another copy: tscm-migrate offsite list {manifest.host}",
        )


def fetch(store: Store, copy: Copy, folder: Path) -> Path:
    """Write a copy's archive into a folder, under its documented name; never replace a file.

    Raises:
        UsageError: the folder cannot be created, or the archive's name in the manifest is not valid.
        ObjectExists: a file with that name exists.
        CopyDamaged, StoreError, EncryptionFailed: nothing was written.
    """
    name = copy.manifest.archive
    if not names.acceptable(name):
        raise UsageError(f"{name[:80]!r} is not the name of an archive")
    try:
        private.folder(folder)
    except OSError as error:
        raise UsageError(
            f"{folder} is not a folder that can be written: {error.strerror}", "use another --to"
        ) from error
    target = folder / name
    if target.exists():
        raise ObjectExists(
            detail="already there", key=str(target), fix="move it away, or take another folder: --to DIR"
        )
    part = folder / f".{name}.{secrets.token_hex(4)}.part"
    try:
        with archive(store, copy) as chunks:
            _write(part, chunks)
        private.give_name(part, target)
    except FileExistsError:
        raise ObjectExists(detail="already there", key=str(target)) from None
    finally:
        part.unlink(missing_ok=True)
    return target


def _write(part: Path, chunks: Iterator[bytes]) -> None:
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(handle, "wb") as file:
        for chunk in chunks:
            try:
                file.write(chunk)
            except OSError as error:
                raise StoreError(detail=f"{part.parent}: {error.strerror}", fix="free some space there") from error
        file.flush()
        os.fsync(file.fileno())
