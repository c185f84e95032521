"""Encrypt and decrypt on the way, with the system's gpg: streaming, nothing on disk.

Sealing needs public keys only, named by their whole fingerprints in the inventory; a workstation that is stolen gives
no archive away. python-gnupg reads from a file-like object and hands its output to `on_data`; a bounded queue between
that thread and ours keeps memory flat.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import SealFailed
from tscm_migrate.redact import outside

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    import gnupg

    from tscm_migrate.site import Secret

_BUFFER = 1 << 18  # bytes a read of gpg's output; python-gnupg's own 1 KiB costs a third of the speed
_WAITING = 16  # chunks between gpg and the consumer
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


def recipients(names: Iterable[str], home: Path | None = None) -> tuple[str, ...]:
    """Check that every key is there, whole and usable; returns the fingerprints.

    Raises:
        SealFailed: not a whole fingerprint, not in the keyring, or revoked, expired or disabled.
    """
    wanted = tuple(name.upper().replace(" ", "").removeprefix("0X") for name in names)
    keyring = {key["fingerprint"]: key for key in _gpg(home).list_keys()} if wanted else {}
    for name in wanted:
        if not _FINGERPRINT.fullmatch(name):
            fix = "gpg --list-keys --with-colons shows them"
            raise SealFailed(detail=f"{name[:60]!r} is not a whole fingerprint (40 hex digits)", fix=fix)
        if name not in keyring:
            raise SealFailed(
                detail=f"key {name} is not in the keyring", fix=f"gpg --receive-keys {name}, or gpg --import FILE"
            )
        why = {"r": "revoked", "e": "expired", "d": "disabled", "i": "invalid"}.get(keyring[name]["trust"])
        if why or "E" not in keyring[name]["cap"]:
            raise SealFailed(detail=f"key {name} is {why or 'not made for encryption'}", fix="name another key")
    return wanted


def sealed(chunks: Iterable[bytes], to: tuple[str, ...], home: Path | None = None) -> Generator[bytes, None, None]:
    """Encrypt a stream to public keys.

    Raises:
        SealFailed: gpg said no; also whatever `chunks` raises: a source that died never looks like a short one.
    """

    def work(gpg: gnupg.GPG, source: _Source) -> Any:
        extra = ["--no-encrypt-to", "--compress-algo", "none"]  # archives are compressed already
        return gpg.encrypt_file(source, list(to), always_trust=True, armor=False, extra_args=extra)

    return _piped(_gpg(home), chunks, work)


@contextmanager
def opened(
    chunks: Iterable[bytes], passphrase: Secret | None = None, home: Path | None = None
) -> Iterator[Generator[bytes, None, None]]:
    """Decrypt a stream, with a passphrase (in an empty keyring of its own) or with the user's secret keys.

    Raises:
        SealFailed: while it is read, also when gpg finds at the end that the bytes were changed.
    """

    def work(gpg: gnupg.GPG, source: _Source) -> Any:
        if passphrase is None:
            return gpg.decrypt_file(source)
        return gpg.decrypt_file(source, passphrase=passphrase.reveal(), extra_args=["--no-symkey-cache"])

    if passphrase is None:
        stream = _piped(_gpg(home), chunks, work, "the keyring must have its secret key: gpg --list-secret-keys")
        try:
            yield stream
        finally:
            stream.close()
        return
    with tempfile.TemporaryDirectory(prefix="tscm-", ignore_cleanup_errors=True) as folder:
        stream = _piped(_gpg(folder), chunks, work, "give the passphrase that it was made with: --passphrase-file FILE")
        try:
            yield stream
        finally:
            stream.close()
            if conf := shutil.which("gpgconf"):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    subprocess.run(
                        [conf, "--homedir", folder, "--kill", "all"], check=False, capture_output=True, timeout=30
                    )


def _gpg(home: Path | str | None) -> gnupg.GPG:
    import gnupg

    if not shutil.which("gpg"):
        fix = "install GnuPG: apt install gnupg, or https://gpg4win.org on Windows"
        raise SealFailed(detail="there is no gpg on this workstation", fix=fix)
    gpg = gnupg.GPG(gnupghome=str(home) if home else None, options=["--no-tty"])
    gpg.encoding = "utf-8"  # of passphrases; python-gnupg's default is Latin-1
    gpg.buffer_size = _BUFFER
    return gpg


class _Source:
    """The chunks as a file, for python-gnupg's writing thread."""

    def __init__(self, chunks: Iterable[bytes], stop: threading.Event) -> None:
        self._chunks = iter(chunks)
        self._stop = stop
        self._held = memoryview(b"")
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        if self._stop.is_set():
            return b""
        try:
            while not self._held:
                self._held = memoryview(next(self._chunks))
        except StopIteration:
            return b""
        except BaseException as error:  # noqa: BLE001 - raised again by the consumer
            self.failure = error
            return b""
        size = len(self._held) if size < 0 else size
        piece, self._held = self._held[:size], self._held[size:]
        return bytes(piece)


class _Pipe:
    """A bounded queue from gpg's thread to the consumer, with an end and a way to stop."""

    def __init__(self) -> None:
        self._queue: Queue[bytes | None] = Queue(_WAITING)
        self.stop = threading.Event()

    def put(self, item: bytes | None) -> bool:
        while not self.stop.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                break
            except Full:
                continue
        return False  # as `on_data`: python-gnupg shall not keep it too

    def on_data(self, data: bytes) -> bool:
        return self.put(data) if data else False  # b"" is python-gnupg's end of output, before gpg has ended

    def items(self, thread: threading.Thread) -> Iterator[bytes]:
        while True:
            try:
                item = self._queue.get(timeout=0.5)
            except Empty:
                if thread.is_alive() or not self._queue.empty():
                    continue
                return
            if item is None:
                return
            yield item


def _piped(
    gpg: gnupg.GPG, chunks: Iterable[bytes], work: Callable[[gnupg.GPG, _Source], Any], fix: str = ""
) -> Generator[bytes, None, None]:
    pipe = _Pipe()
    source = _Source(chunks, pipe.stop)
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work(gpg, source))
        except BaseException as error:  # noqa: BLE001 - raised again by the consumer
            outcome.append(error)
        finally:
            pipe.put(None)

    gpg.on_data = pipe.on_data
    thread = threading.Thread(target=run, name="gpg", daemon=True)
    thread.start()
    try:
        yield from pipe.items(thread)
        _check(source, outcome, fix)
    finally:
        pipe.stop.set()
        thread.join(10)


def _check(source: _Source, outcome: list[Any], fix: str) -> None:
    if source.failure is not None:
        raise source.failure
    result = outcome[0] if outcome else RuntimeError("gpg gave no result")
    if isinstance(result, BaseException):
        raise SealFailed(detail=f"gpg failed: {result}") from result
    if not result.ok:
        said = next((line for line in reversed(result.stderr.splitlines()) if line.startswith("gpg: ")), "")
        raise SealFailed(
            detail=f"gpg: {result.status or 'failed'} ({outside(said.removeprefix('gpg: '))[:200]})", fix=fix
        )
