"""Make one copy: stream, hash, encrypt, store, read back, commit. The archive is not written to a local disk."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Literal, Protocol

from tscm_migrate import errors
from tscm_migrate.archive import gpg
from tscm_migrate.archive.openpgp import Encryption, encryption_of
from tscm_migrate.events import Emit, Progress, silent
from tscm_migrate.offsite import keys
from tscm_migrate.offsite.manifest import Manifest, parse_manifest
from tscm_migrate.offsite.stores.base import Store, read_small

_REPORT = 8 << 20  # bytes between two Progress events


class Incoming(Protocol):
    """An archive that can be read once."""

    host: str
    archive: str  # its documented name
    size: int  # bytes, as the appliance lists it
    taken_at: datetime
    versions: dict[str, str]
    os: str

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes."""

    def finish(self) -> str:
        """Check that the stream ended without an error; return the SHA-256 that the appliance computed, or ""."""


@dataclass(frozen=True)
class CopyPolicy:
    """How copies are made.

    `verify`: "read" reads the stored bytes back and compares the hash; "size" compares the size only. `seal_to`:
    fingerprints of the keys that plaintext is encrypted to. `require_encryption`: refuse plaintext without such a key.
    """

    verify: Literal["read", "size"] = "read"
    seal_to: tuple[str, ...] = ()
    require_encryption: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Copied:
    """The result; "already": an equal copy was there, or another run committed one meanwhile."""

    manifest: Manifest
    outcome: Literal["stored", "already"]
    seconds: float = 0.0


def make_copy(
    incoming: Incoming,
    store: Store,
    policy: CopyPolicy,
    *,
    now: datetime,
    emit: Emit = silent,
    instead_of: Manifest | None = None,
    behind: bool = False,
) -> Copied:
    """Copy one archive into the store.

    If it is interrupted, it leaves at most data without a manifest, which `clean` deletes.

    Args:
        incoming: read once, to its end.
        store: where to.
        policy: how.
        now: aware UTC; what the manifest says as `pulled_at`.
        emit: gets progress.
        instead_of: a copy of the same bytes that is known to be damaged; its manifest gives way.
        behind: whether a verified copy with a later date is there already.

    Raises:
        PlaintextRefused: it would be stored unencrypted.
        CopyDamaged: the stream does not match the hash of the appliance, or the store returns other bytes.
        StoreError, EncryptionFailed, SshError: no copy was made.
    """
    began = time.monotonic()
    key = keys.new_data(incoming.host, incoming.archive)
    try:
        manifest = _upload(incoming, store, key, policy=policy, now=now, emit=emit)
        manifest = manifest.model_copy(update={"behind": behind})
    except BaseException:
        with suppress(errors.OffsiteError):  # `clean` finds what cannot be deleted now
            store.delete(key)
        raise
    # From here on our data may be what a manifest speaks of: it is left to `clean` where another run was faster.
    standing = commit(store, manifest, instead_of)
    outcome: Literal["stored", "already"] = "stored" if standing.data == manifest.data else "already"
    return Copied(standing, outcome, time.monotonic() - began)


def _upload(incoming: Incoming, store: Store, key: str, *, policy: CopyPolicy, now: datetime, emit: Emit) -> Manifest:
    source = Hashed(incoming)
    looked, chunks = peek(source)
    sealing = looked.sealing == "no" and bool(policy.seal_to)
    if looked.sealing == "no" and policy.require_encryption and not sealing:
        raise errors.PlaintextRefused(
            detail=f"{incoming.host}: {incoming.archive} is not encrypted, and stays where it is"
        )
    if sealing:
        looked, chunks = peek(gpg.encrypted(chunks, policy.seal_to))
        _check_encrypted(looked, policy, f"{incoming.host}: {incoming.archive}")
    stored = Hashed(chunks, _Reporter(f"{incoming.host} {incoming.archive}", incoming.size, emit))
    store.upload(key, stored, size_hint=incoming.size)
    _check_source(incoming, source)
    verified = _verify(store, key, stored, policy, source if sealing else None)
    return Manifest(
        id=keys.copy_id(incoming.archive, source.sha256),
        host=incoming.host,
        archive=incoming.archive,
        data=key,
        size=stored.size,
        sha256=stored.sha256,
        source_size=source.size,
        source_sha256=source.sha256,
        encrypted=looked.sealing,
        sealed_to=policy.seal_to if sealing else (),
        key_ids=looked.key_ids,
        taken_at=incoming.taken_at,
        pulled_at=now,
        verified_at=now if verified else None,
        versions=incoming.versions,
        os=incoming.os,
        tags=policy.tags,
    )


def commit(store: Store, manifest: Manifest, instead_of: Manifest | None = None) -> Manifest:
    """Write the manifest; return the one in the store afterwards: this one, or an equal one of another run.

    Raises:
        CopyDamaged: the store accepts the manifest and then returns something else.
    """
    key = keys.manifest(manifest.host, manifest.id)
    standing = _stand(store, key, manifest)
    if instead_of is not None and standing.data == instead_of.data:
        store.delete(key)
        standing = _stand(store, key, manifest)
    if standing.source_sha256 != manifest.source_sha256:
        raise errors.CopyDamaged(detail=f"{store.url}/{key}: speaks of other bytes than its name")
    if standing.data != manifest.data and not _complete(store, standing):
        raise errors.CopyDamaged(
            detail=f"{store.url}/{key}: the data that it speaks of is gone or cut", fix="run the same command again"
        )
    return standing


def _stand(store: Store, key: str, manifest: Manifest) -> Manifest:
    with suppress(errors.ObjectExists):
        store.create(key, manifest.dump())
    return parse_manifest(read_small(store, key), key)


def _complete(store: Store, manifest: Manifest) -> bool:
    try:
        return store.stat(manifest.data).size == manifest.size
    except errors.ObjectMissing:
        return False


def read_back(store: Store, key: str, size: int) -> "Hashed":
    """Read an object to its end; return its hash and size.

    Raises:
        CopyDamaged: more than `size` bytes come.
    """
    with closing(store.read(key)) as chunks:
        passed = Hashed(no_more(chunks, size, f"{store.url}/{key}"))
        for _ in passed:
            pass
    return passed


def _verify(store: Store, key: str, stored: "Hashed", policy: CopyPolicy, source: "Hashed | None") -> bool:
    """Compare what is stored with what was sent; `source`: the plaintext if gpg encrypted it, else None."""
    there = store.stat(key).size
    if there != stored.size:
        raise errors.CopyDamaged(detail=f"{store.url}/{key}: {there} of {stored.size} bytes are there")
    if source is not None and stored.size <= source.size:
        raise errors.CopyDamaged(
            detail=f"{store.url}/{key}: encrypted, it has {stored.size} bytes, of {source.size} before"
        )
    if policy.verify == "size":
        return False
    both = _decrypted(store, key, stored.size, policy) if source is not None else None
    back = both[0] if both else read_back(store, key, stored.size)
    if (back.size, back.sha256) != (stored.size, stored.sha256):
        raise errors.CopyDamaged(detail=f"{store.url}/{key}: {stored.size} bytes went in, and other bytes come out")
    if source is not None and both is not None and (both[1].size, both[1].sha256) != (source.size, source.sha256):
        raise errors.CopyDamaged(detail=f"{store.url}/{key}: decrypted, it is not the archive that was encrypted")
    return True


def _check_encrypted(looked: Encryption, policy: CopyPolicy, what: str) -> None:
    """Compare the first packets of what gpg gave with what it was asked for: one session key for each recipient."""
    if looked.sealing != "public-key":
        raise errors.EncryptionFailed(detail=f"{what}: what gpg gave does not look encrypted")
    if len(looked.key_ids) != len(policy.seal_to) or any(not key_id.strip("0") for key_id in looked.key_ids):
        asked = ", ".join(policy.seal_to)
        raise errors.EncryptionFailed(
            detail=f"{what}: gpg encrypted to {', '.join(looked.key_ids)}, and was asked for {asked}"
        )


def _decrypted(store: Store, key: str, size: int, policy: CopyPolicy) -> "tuple[Hashed, Hashed] | None":
    """Read what is stored once and decrypt it; return hash and size of both, None for one without a secret key."""
    if not gpg.can_open(policy.seal_to):
        return None
    try:
        with closing(store.read(key)) as raw:
            back = Hashed(no_more(raw, size, f"{store.url}/{key}"))
            with gpg.opened(back) as chunks:
                plain = Hashed(chunks)
                for _ in plain:
                    pass
            for _ in back:  # what gpg has not read
                pass
    except errors.EncryptionFailed as error:
        if gpg.can_open(policy.seal_to):  # not a key whose passphrase was forgotten meanwhile
            raise errors.CopyDamaged(
                detail=f"{store.url}/{key}: it cannot be decrypted again: {error.message()}"
            ) from error
        return None
    return back, plain


def _check_source(incoming: Incoming, source: "Hashed") -> None:
    on_appliance = incoming.finish()
    if incoming.size and source.size != incoming.size:
        raise errors.CopyDamaged(
            detail=f"{incoming.host}: {incoming.archive}: {source.size} of {incoming.size} bytes came",
            fix="it changed while it was read (is its backup still being written?), or a disk is failing; pull again",
        )
    if on_appliance and on_appliance != source.sha256:
        raise errors.CopyDamaged(
            detail=f"{incoming.host}: {incoming.archive}: the bytes that came are not those that are there",
            fix="pull again; if it happens twice, suspect a disk or memory",
        )


class _Reporter:
    """Emits the progress, every so many bytes."""

    def __init__(self, what: str, total: int, emit: Emit) -> None:
        self._what, self._total, self._emit, self._reported = what, total, emit, 0

    def __call__(self, done: int) -> None:
        if done - self._reported >= _REPORT:
            self._reported = done
            self._emit(Progress(self._what, done, max(self._total, done)))


_HEAD = 1 << 16  # bytes that are looked at; a packet for a recipient is about 0.5 KiB


class Hashed:
    """Passes chunks on; `size` and `sha256` are those of the chunks so far."""

    def __init__(self, chunks: Iterable[bytes], on_size: Callable[[int], None] | None = None) -> None:
        self._chunks = chunks
        self._on_size = on_size
        self._hash = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._hash.update(chunk)
            self.size += len(chunk)
            if self._on_size:
                self._on_size(self.size)
            yield chunk

    @property
    def sha256(self) -> str:
        """Return the hash of the bytes so far, 64 hex digits."""
        return self._hash.hexdigest()


def no_more(chunks: Iterable[bytes], size: int, what: str) -> Iterator[bytes]:
    """Pass chunks on, up to `size` bytes, so that an endless stream of a store is ended.

    Raises:
        CopyDamaged: there are more bytes; `what` names the stream.
    """
    passed = 0
    for chunk in chunks:
        passed += len(chunk)
        if passed > size:
            raise errors.CopyDamaged(detail=f"{what}: more than {size} bytes come back")
        yield chunk


def peek(chunks: Iterable[bytes]) -> tuple[Encryption, Iterator[bytes]]:
    """Read the first bytes; return them and all chunks, these included."""
    source, read, size = iter(chunks), list[bytes](), 0
    for chunk in source:
        read.append(chunk)
        size += len(chunk)
        if size >= _HEAD:
            break
    return encryption_of(b"".join(read)), chain(read, source)
