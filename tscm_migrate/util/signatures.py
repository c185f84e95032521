"""Sign with the operator's gpg key, and check a signature; both with the system's gpg, without its options file."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tscm_migrate.errors import UsageError
from tscm_migrate.util import private, redact

_LONGEST = 120.0  # seconds; gpg's agent may ask for the key's passphrase
_REASONS = {
    "BADSIG": "it is of other content",
    "EXPKEYSIG": "its key has expired",
    "REVKEYSIG": "its key was revoked",
    "EXPSIG": "it has expired",
}
_OPTIONS = ("--no-options", "--no-tty", "--batch")


@dataclass(frozen=True)
class SignatureCheck:
    """What gpg says of a signature; `fingerprint` and `name` of the key, `why` it is not good."""

    good: bool
    fingerprint: str = ""
    name: str = ""
    why: str = ""


def fingerprint(text: str) -> str:
    """Return a key's fingerprint as gpg writes it, of one with or without spaces, colons and 0x.

    Raises:
        UsageError: it is not a fingerprint; the last 16 digits (a long key ID) are accepted, too.
    """
    plain = re.sub(r"[\s:]", "", text).upper().removeprefix("0X")
    if not re.fullmatch(r"[0-9A-F]{16}|[0-9A-F]{40}|[0-9A-F]{64}", plain, re.ASCII):
        raise UsageError(f"{text!r} is not the fingerprint of a gpg key", "show it: gpg --fingerprint NAME")
    return plain


def sign(data: bytes, home: Path | None = None) -> tuple[bytes, str]:
    """Return an armoured detached signature, or b"" and the reason why it was not made.

    Args:
        data: what is signed.
        home: the keyring's folder; None: the operator's.
    """
    program = shutil.which("gpg")
    if program is None:
        return b"", "gpg is not installed"
    try:
        keys = _gpg(program, home, "--list-secret-keys", "--with-colons")
        if b"\nsec:" not in b"\n" + keys.stdout:
            return b"", "there is no gpg key with a secret part (gpg --list-secret-keys)"
        done = _gpg(program, home, "--armor", "--detach-sign", "--output", "-", stdin=data)
    except (OSError, subprocess.SubprocessError) as error:
        return b"", f"gpg did not sign: {type(error).__name__}"
    if done.returncode or not done.stdout:
        lines = redact.outside(done.stderr.decode("utf-8", "replace"), lines=True).splitlines()
        return b"", f"gpg did not sign: {lines[-1] if lines else f'exit status {done.returncode}'}"
    return done.stdout, ""


def verify(data: bytes, signature: bytes, home: Path | None = None) -> SignatureCheck:
    """Check a detached signature with the keys of the operator's keyring."""
    program = shutil.which("gpg")
    if program is None:
        return SignatureCheck(good=False, why="gpg is not installed")
    with tempfile.TemporaryDirectory(prefix="tscm-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "signature.asc"
        private.write(file, signature)
        try:
            done = _gpg(program, home, "--status-fd", "1", "--verify", str(file), "-", stdin=data)
        except (OSError, subprocess.SubprocessError) as error:
            return SignatureCheck(good=False, why=f"gpg did not check it: {type(error).__name__}")
    return _verdict(done.stdout.decode("utf-8", "replace"), done.returncode)


def _verdict(status: str, code: int) -> SignatureCheck:
    # its last field is the primary key, which a person knows; the first one may be a subkey
    valid = re.search(r"^\[GNUPG:\] VALIDSIG .*\b([0-9A-F]{40,64})$", status, re.MULTILINE)
    good = re.search(r"^\[GNUPG:\] GOODSIG \S+ (.*)$", status, re.MULTILINE)
    if code == 0 and valid and good:
        return SignatureCheck(good=True, fingerprint=valid[1], name=redact.outside(good[1], 200))
    missing = re.search(r"^\[GNUPG:\] NO_PUBKEY (\S{1,64})$", status, re.MULTILINE)
    if missing:
        return SignatureCheck(
            good=False, why=f"its key {missing[1]} is not in the keyring; gpg --receive-keys {missing[1]}"
        )
    found = next((why for word, why in _REASONS.items() if f"[GNUPG:] {word} " in status), "gpg cannot read it")
    return SignatureCheck(good=False, why=found)


def _gpg(program: str, home: Path | None, *argv: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    base = [program, *_OPTIONS, *(("--homedir", str(home)) if home else ())]
    return subprocess.run([*base, *argv], input=stdin, capture_output=True, check=False, timeout=_LONGEST)
