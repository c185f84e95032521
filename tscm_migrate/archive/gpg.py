"""Encrypt and decrypt a stream with the system's gpg; nothing is written to a disk.

Encryption needs public keys only, named by their complete fingerprints in the inventory. python-gnupg reads from a
file-like object and hands its output to `on_data`; a bounded queue between that thread and this one limits memory.

Keys come from the operator's keyring, but gpg.conf is not read: it may add a signature, armour or other recipients, so
that the stored data would not match the manifest. gpg always reads the gpg.conf of the system (/etc/gnupg), so an
option there that may do this is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import EncryptionFailed
from tscm_migrate.model import Secret
from tscm_migrate.util.redact import outside

if TYPE_CHECKING:
    import gnupg


_BUFFER = 1 << 18  # bytes a read of gpg's output; python-gnupg's own 1 KiB costs a third of the speed
_WAITING = 16  # chunks between gpg and the consumer
_STALL = 600.0  # seconds without any read or write of gpg, after which it is ended
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")
_STATUS = re.compile(r"\[GNUPG:\]\s*")
OPTIONS = ("--no-options", "--no-tty")  # gpg.conf is not read
# Options of the system's gpg.conf that change nothing here, or that ours override.
_HARMLESS = re.compile(
    r"(?:no-)?(?:armor|textmode|encrypt-to|hidden-encrypt-to|throw-keyids|compress-\S+|bzip2-\S+|charset|display-charset|"
    r"utf8-strings|comments?|emit-version|greeting|keyserver\S*|auto-key-\S+|auto-check-trustdb|personal-\S+|\S+-algo|s2k-\S+|"
    r"default-preference-list|default-new-key-algo|default-key|keyid-format|with-\S+|list-options|verify-options|use-agent|"
    r"fixed-list-mode|require-cross-certification|trust-model|tofu-\S+|quiet|verbose|batch|tty|lock-\S+|symkey-cache|"
    r"sig-notation|cert-\S+|sig-\S+|weak-digest|import-options|export-options|photo-viewer|include-key-block|compliance)"
)
_ENCRYPT = ("--no-encrypt-to", "--no-throw-keyids", "--no-textmode", "--no-armor", "--compress-algo", "none")


def recipients(names: Iterable[str]) -> tuple[str, ...]:
    """Check that every key is in the keyring and usable; return the fingerprints.

    Raises:
        EncryptionFailed: not a complete fingerprint, not in the keyring, or revoked, expired or disabled.
    """
    wanted = tuple(dict.fromkeys(name.upper().replace(" ", "").removeprefix("0X") for name in names))
    keyring = {key["fingerprint"]: key for key in _gpg().list_keys()} if wanted else {}
    for name in wanted:
        if not _FINGERPRINT.fullmatch(name):
            fix = "gpg --list-keys --with-colons shows them"
            raise EncryptionFailed(detail=f"{name[:60]!r} is not a complete fingerprint (40 hex digits)", fix=fix)
        if name not in keyring:
            fix = f"gpg --receive-keys {name}, or gpg --import FILE; options in gpg.conf (`keyring` too) are not used: "
            fix += f"gpg --export {name} | gpg --no-options --import"
            raise EncryptionFailed(detail=f"key {name} is not in the keyring", fix=fix)
        why = {"r": "revoked", "e": "expired", "d": "disabled", "i": "invalid"}.get(keyring[name]["trust"])
        if why or "E" not in keyring[name]["cap"]:
            raise EncryptionFailed(detail=f"key {name} is {why or 'not made for encryption'}", fix="name another key")
    return wanted


def encrypted(chunks: Iterable[bytes], to: tuple[str, ...]) -> Generator[bytes, None, None]:
    """Encrypt a stream to public keys.

    Raises:
        EncryptionFailed: gpg failed. Also every error of `chunks`: a source that failed never looks like a short one.
    """

    def work(gpg: gnupg.GPG, source: _Source) -> Any:
        return gpg.encrypt_file(source, list(to), always_trust=True, armor=False, extra_args=list(_ENCRYPT))

    return _piped(_gpg(), chunks, work)


def can_open(to: tuple[str, ...]) -> bool:
    """Whether the keyring has a secret key for data encrypted to these keys; asks for no passphrase."""
    names = [word for name in to for word in ("--recipient", name)]
    encrypt = ["--trust-model", "always", *_ENCRYPT, *names, "--encrypt"]
    probe = b"probe"
    with _with_agent() as usable:
        base = [str(shutil.which("gpg")), *OPTIONS, "--batch", "--quiet"]
        base += ["--homedir", str(usable)] if usable else []
        try:
            for more in (encrypt, ["--pinentry-mode", "error", "--decrypt"]):
                probe = subprocess.run([*base, *more], input=probe, capture_output=True, check=True, timeout=30).stdout
        except (subprocess.SubprocessError, OSError):
            return False
    return probe == b"probe"


_OWN_KEY = (
    "the keyring must have the secret key (gpg --list-secret-keys), and its agent must start (gpgconf --check-options "
    "gpg-agent) and may have to be given the key's passphrase first: gpg --decrypt FILE"
)


@contextmanager
def opened(chunks: Iterable[bytes], passphrase: Secret | None = None) -> Iterator[Generator[bytes, None, None]]:
    """Decrypt a stream, with a passphrase (in an empty keyring of its own) or with the user's secret keys.

    Raises:
        EncryptionFailed: while it is read; also at the end, if gpg finds that the bytes were changed.
    """

    def work(gpg: gnupg.GPG, source: _Source) -> Any:
        if passphrase is None:
            return gpg.decrypt_file(source)
        return gpg.decrypt_file(source, passphrase=passphrase.reveal(), extra_args=["--no-symkey-cache"])

    if passphrase is None:
        with _with_agent() as usable:
            stream = _piped(_gpg(usable), chunks, work, _OWN_KEY)
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
            _end_agent(folder)


@contextmanager
def _with_agent() -> Iterator[Path | None]:
    """Yield a keyring whose agent starts: None (the operator's), or the same keys in a folder without options files.

    With a mistake in gpg-agent.conf the agent does not start, and no secret key can be used.
    """
    program = shutil.which("gpg-connect-agent")
    if program is None or _succeeds([program, "/bye"]):
        yield None
        return
    own = Path(os.environ.get("GNUPGHOME") or Path.home() / ".gnupg")
    with tempfile.TemporaryDirectory(prefix="tscm-", ignore_cleanup_errors=True) as folder:
        with contextlib.suppress(OSError):  # a system without links
            for name in _KEYS:
                if (own / name).exists():
                    (Path(folder) / name).symlink_to((own / name).absolute())
        try:
            yield Path(folder)
        finally:
            _end_agent(folder)


_KEYS = ("pubring.kbx", "pubring.gpg", "private-keys-v1.d", "trustdb.gpg")


def _succeeds(argv: list[str]) -> bool:
    try:
        return subprocess.run(argv, check=False, capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _end_agent(home: str) -> None:
    if conf := shutil.which("gpgconf"):
        _succeeds([conf, "--homedir", home, "--kill", "all"])


@cache
def _system_folder(gpgconf: str) -> str:
    """Ask once in a process where the system's gpg.conf is: `_check_system` is called for every archive."""
    asked = subprocess.run([gpgconf, "--list-dirs", "sysconfdir"], capture_output=True, check=True, timeout=30)
    return urllib.parse.unquote(asked.stdout.decode(errors="replace").strip())


def _check_system() -> None:
    """Refuse an option of the system's gpg.conf that may decide what is stored: no option makes gpg ignore that file.

    Raises:
        EncryptionFailed: with the option and the file.
    """
    program = shutil.which("gpgconf")
    if program is None:
        return
    try:
        file = Path(_system_folder(program)) / "gpg.conf"
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError, subprocess.SubprocessError):
        return  # most systems have no such file
    for line in lines:
        option = line.strip().lstrip("-").partition("#")[0].split(maxsplit=1)[:1]
        if option and not _HARMLESS.fullmatch(option[0]):
            fix = "remove it there: gpg applies it to every call; one user's options belong into ~/.gnupg/gpg.conf"
            raise EncryptionFailed(
                detail=f"{file} has the option {option[0][:60]!r}, which may change what is stored", fix=fix
            )


def _gpg(home: Path | str | None = None) -> gnupg.GPG:
    import gnupg

    if not shutil.which("gpg"):
        fix = "install GnuPG: apt install gnupg, or https://gpg4win.org on Windows"
        raise EncryptionFailed(detail="there is no gpg on this workstation", fix=fix)
    _check_system()
    try:
        gpg = gnupg.GPG(gnupghome=str(home) if home else None, options=list(OPTIONS))
    except (OSError, ValueError) as error:
        raise EncryptionFailed(detail=f"gpg cannot be used: {error}", fix="see what it says: gpg --version") from error
    gpg.encoding = "utf-8"  # of passphrases; python-gnupg's default is Latin-1
    gpg.buffer_size = _BUFFER
    return gpg


class _Source:
    """Chunks as a file object, for python-gnupg's writing thread."""

    def __init__(self, chunks: Iterable[bytes], stop: threading.Event) -> None:
        self._chunks = iter(chunks)
        self._stop = stop
        self._held = memoryview(b"")
        self.failure: BaseException | None = None
        self.waits = False  # for the source, not for gpg
        self.asked = time.monotonic()

    def read(self, size: int = -1) -> bytes:
        if self._stop.is_set():
            return b""
        try:
            self.waits = True
            while not self._held:
                self._held = memoryview(next(self._chunks))
        except StopIteration:
            return b""
        except BaseException as error:  # noqa: BLE001 - raised again by the consumer
            self.failure = error
            return b""
        finally:
            self.waits, self.asked = False, time.monotonic()
        size = len(self._held) if size < 0 else size
        piece, self._held = self._held[:size], self._held[size:]
        return bytes(piece)


class _Pipe:
    """A bounded queue from gpg's thread to the consumer; `stop` ends both sides."""

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
        return False  # for `on_data`: python-gnupg does not keep the chunk too

    def on_data(self, data: bytes) -> bool:
        return self.put(data) if data else False  # b"" is python-gnupg's end of output, before gpg has ended

    def items(self, thread: threading.Thread, source: _Source) -> Iterator[bytes]:
        came = time.monotonic()
        while True:
            try:
                item = self._queue.get(timeout=0.5)
            except Empty:
                if not source.waits and time.monotonic() - max(came, source.asked) > _STALL:
                    raise EncryptionFailed(detail=f"gpg did nothing for {_STALL:.0f} s", fix=_OWN_KEY) from None
                if thread.is_alive() or not self._queue.empty():
                    continue
                return
            if item is None:
                return
            yield item
            came = time.monotonic()


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
    started = _remembering(gpg)
    thread = threading.Thread(target=run, name="gpg", daemon=True)
    thread.start()
    try:
        yield from pipe.items(thread, source)
        _check(source, outcome, fix)
    finally:
        pipe.stop.set()
        thread.join(10)
        for process in started if thread.is_alive() else ():
            process.kill()


def _remembering(gpg: gnupg.GPG) -> list[subprocess.Popen[bytes]]:
    """Collect the processes that python-gnupg starts from now on, to end one that hangs."""
    start, started = gpg._open_subprocess, list[subprocess.Popen[bytes]]()  # noqa: SLF001 - python-gnupg has no other access to them

    def opened(*args: Any, **more: Any) -> subprocess.Popen[bytes]:
        started.append(start(*args, **more))
        return started[-1]

    gpg._open_subprocess = opened  # noqa: SLF001
    return started


def _check(source: _Source, outcome: list[Any], fix: str) -> None:
    if source.failure is not None:
        raise source.failure
    result = outcome[0] if outcome else RuntimeError("gpg gave no result")
    if isinstance(result, BaseException):
        raise EncryptionFailed(detail=f"gpg failed: {_words(str(result))}") from result
    if not result.ok:
        lines = [line for line in result.stderr.splitlines() if line.strip() and not _STATUS.match(line)]
        last = f" ({_words(lines[-1].removeprefix('gpg: '))})" if lines else ""
        raise EncryptionFailed(detail=f"gpg: {_words(result.status) or 'failed'}{last}", fix=fix)


def _words(text: str) -> str:
    """Return gpg's messages, without its status lines."""
    return outside(" ".join(_STATUS.sub("", text).split()))[:200]
