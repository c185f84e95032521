"""Read key files as OpenSSH does: private keys in every usual format, and the public part of encrypted keys."""

import base64
import binascii
import contextlib
import io
from pathlib import Path

import paramiko
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from paramiko import ECDSAKey, Ed25519Key, RSAKey, SSHException

from tscm_migrate.util.operator_command import quoted
from tscm_migrate.util.private import is_file

_MAGIC = b"openssh-key-v1\0"
_BEGIN, _END = b"-----BEGIN ", b"-----END "
_MOST = 1 << 16  # bytes of a key file


class KeyUnusableError(Exception):
    """A key file cannot be used; the text says why, and what to do."""


def read(path: Path) -> bytes:
    """Return a key file's bytes, with Unix line ends.

    Raises:
        KeyUnusableError: the file does not exist or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(_MOST).replace(b"\r\n", b"\n")
    except FileNotFoundError:
        raise KeyUnusableError("no such file") from None
    except OSError as error:
        raise KeyUnusableError(f"cannot be read: {error.strerror}") from None


def public_blob(path: Path) -> bytes | None:
    """Return the public key in wire form, without a passphrase; None if it cannot be read.

    It is read from the file itself (a public key, or a private key in OpenSSH's format), else from the `.pub` beside
    it.
    """
    for place in (path, path.with_name(path.name + ".pub")):
        with contextlib.suppress(KeyUnusableError):
            data = read(place)
            if blob := _of_line(data) or _of_container(data):
                return blob
    return None


def is_public(data: bytes) -> bool:
    """Return whether these are the bytes of a public key as ssh-keygen writes it."""
    return _of_line(data) is not None


def _of_line(data: bytes) -> bytes | None:
    words = data.split(None, 2)
    if len(words) < 2 or data.startswith(b"-----"):
        return None
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        return None
    return blob if blob[4 : 4 + len(words[0])] == words[0] else None


def _container(data: bytes) -> bytes:
    """Return the content of a private key in OpenSSH's format; b"" for another format."""
    if b"BEGIN OPENSSH PRIVATE KEY" not in data:
        return b""
    body = data.partition(b"-----\n")[2].partition(_END)[0]
    with contextlib.suppress(binascii.Error):
        raw = base64.b64decode(b"".join(body.split()))
        if raw.startswith(_MAGIC):
            return raw[len(_MAGIC) :]
    return b""


def _strings(raw: bytes) -> tuple[bytes, bytes, bytes]:
    """Return cipher, KDF and public key of an OpenSSH private key."""

    def take(at: int) -> tuple[bytes, int]:
        end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
        return raw[at + 4 : end], end

    cipher, at = take(0)
    kdf, at = take(at)
    _, at = take(at)
    public, _ = take(at + 4)  # skips the number of keys
    return cipher, kdf, public


def _of_container(data: bytes) -> bytes | None:
    raw = _container(data)
    return _strings(raw)[2] or None if raw else None


def wants_passphrase(data: bytes) -> bool:
    """Return whether a private key is encrypted."""
    if raw := _container(data):
        return _strings(raw)[0] != b"none"
    return b"ENCRYPTED" in data


def format_of(data: bytes) -> str:
    """Return the name of a private key's format, for a message."""
    if raw := _container(data):
        return f"OpenSSH, {_strings(raw)[0].decode('ascii', 'replace')}"
    if b"BEGIN ENCRYPTED PRIVATE KEY" in data or b"BEGIN PRIVATE KEY" in data:
        return "PKCS8"
    if data.startswith(b"PuTTY-User-Key-File"):
        return "PuTTY's own"
    return "PEM" if data.startswith(_BEGIN) else "unknown"


def load(path: Path, data: bytes, passphrase: str | None) -> paramiko.PKey:
    """Return the private key in `data`, with the certificate `-cert.pub` beside the file, if there is one.

    Raises:
        KeyUnusableError: the passphrase is wrong, or the format cannot be read.
    """
    secret = passphrase.encode() if passphrase is not None and wants_passphrase(data) else None
    reader = serialization.load_ssh_private_key if _container(data) else serialization.load_pem_private_key
    try:
        loaded = reader(data, secret)
        # paramiko's parsers know fewer ciphers and formats; the decrypted key stays in memory
        plain = loaded.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        return _with_certificate(_parsed(plain.decode()), path)
    except UnsupportedAlgorithm:
        raise KeyUnusableError(_unreadable(path, data)) from None
    except (ValueError, TypeError, InvalidTag, SSHException):
        encrypted = wants_passphrase(data)
        raise KeyUnusableError("wrong passphrase" if encrypted else _unreadable(path, data)) from None


def _parsed(text: str) -> paramiko.PKey:
    for kind in (Ed25519Key, ECDSAKey, RSAKey):
        with contextlib.suppress(SSHException):
            return kind.from_private_key(io.StringIO(text))
    raise SSHException("not a key of a known type")


def _with_certificate(key: paramiko.PKey, path: Path) -> paramiko.PKey:
    beside = path.with_name(path.name + "-cert.pub")
    if is_file(beside):
        key.load_certificate(str(beside))
    return key


def _unreadable(path: Path, data: bytes) -> str:
    if data.startswith(b"---- BEGIN SSH2 PUBLIC KEY"):
        how = f"ssh-keygen -i -f {quoted(path)} > {quoted(path.with_suffix('.openssh.pub'))}"
        return f"it is a public key in the format of RFC 4716, which cannot be read: {how}"
    return f"its format ({format_of(data)}) cannot be read: ssh-keygen -p -f {quoted(path)}"
