"""Resolve passwords and passphrases in a fixed order; each is resolved once and cached together with its source.

    1. the option       --passphrase-file FILE (archives only)
    2. the environment  TSCM_PASSPHRASE, TSCM_SUDO_PASSWORD, TSCM_LOGIN_PASSWORD
    3. the inventory    passphrase, sudo_password, login_password =
                        "env:VAR" | "command:…" | "keyring" | "prompt" | "none"
    4. the keyring      service "tscm-migrate", user "passphrase:HOST", "sudo:HOST", "login:HOST", "key:FILE"
    5. a prompt         on a terminal only

With "prompt" in the inventory the keyring is skipped; "none" means that no secret is used. Every value is registered
for redaction before it is returned.
"""

import contextlib
import os
import shlex
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from getpass import getpass
from pathlib import Path

from tscm_migrate.util.private import expanded

from .errors import UsageError
from .events import Emit, Message, silent
from .model import Host, Secret
from .util import redact, timeout
from .util.operator_command import quoted

SERVICE = "tscm-migrate"
_KEYRING_SECONDS = 5.0  # a locked keyring may wait for a dialogue that is not visible
_COMMAND_SECONDS = 120.0  # a password manager may need a touch or a PIN
_NO_KEYRING = "this workstation has no keyring that can be used"
_OTHER_SOURCE = 'name another source in the inventory: passphrase = "command:…" or "env:VAR"; or --passphrase-file'
_ENVIRONMENT = {"passphrase": "TSCM_PASSPHRASE", "sudo": "TSCM_SUDO_PASSWORD", "login": "TSCM_LOGIN_PASSWORD"}


class Secrets:
    """Resolves secrets lazily; implements `ssh.connect.Credentials`.

    Args:
        interactive: whether a prompt is allowed; None: if stdin is a terminal.
        passphrase_file: `--passphrase-file`.
        environ: the environment, for tests.
        ask: shows a prompt and returns the answer without echo.
        emit: receives warnings.
    """

    def __init__(
        self,
        *,
        interactive: bool | None = None,
        passphrase_file: Path | None = None,
        environ: Mapping[str, str] | None = None,
        ask: Callable[[str], str] = getpass,
        emit: Emit = silent,
        redactor: redact.Redactor = redact.known,
    ) -> None:
        self._interactive = sys.stdin is not None and sys.stdin.isatty() if interactive is None else interactive
        self._passphrase_file = passphrase_file
        self._environ = os.environ if environ is None else environ
        self._ask = ask
        self._emit = emit
        self._redactor = redactor
        self._answers: dict[tuple[str, str], Secret | None] = {}
        self._lock = threading.RLock()
        self.waited = 0.0  # seconds spent in prompts

    def passphrase(self, host: Host, *, new: bool = False) -> Secret | None:
        """Return the passphrase of this host's archives; None if it is not available.

        If `new`, it will encrypt something, so a typed passphrase is asked for twice.

        Raises:
            UsageError: a configured source (file, variable, command) fails, or two typed passphrases differ.
        """
        title = f"passphrase of {host.name}'s archives"
        return self._once("passphrase", host.name, host.passphrase_source, title, twice=new)

    def sudo_password(self, host: Host) -> Secret | None:
        """Return the sudo password for this host."""
        title = f"sudo password of {host.user} on {host.name}"
        return self._once("sudo", host.name, host.sudo_password_source, title)

    def login_password(self, host: Host) -> Secret | None:
        """Return the login password, used when no key was accepted."""
        title = f"login password of {host.user} on {host.name}"
        return self._once("login", host.name, host.login_password_source, title)

    def key_passphrase(self, host: Host, key: Path) -> Secret | None:  # noqa: ARG002 - the Protocol's; a key is a key
        """Return the passphrase of a private key file on this workstation."""
        return self._once("key", str(key), "", f"passphrase of the key {key}")

    def login_answer(self, host: Host, question: str) -> Secret | None:
        """Ask the operator for the answer to a question at login, such as a one-time code; never cached."""
        with self._lock:
            answer = self._from_prompt(f"{host.name} asks: {question.rstrip(': ')}")
        if answer is not None:
            self._redactor.add(_text(answer))
        return answer

    def forget(self, kind: str, name: str) -> None:
        """Remove a wrong answer from the cache, so that the next call asks again."""
        with self._lock:
            self._answers.pop((kind, name), None)

    def sources(self) -> dict[str, str]:
        """Return the sources of the resolved secrets ("sudo:tscm-old" → "keyring"), for the plan and the report."""
        return {f"{kind}:{name}": secret.source for (kind, name), secret in self._answers.items() if secret}

    def origin(self, kind: str, name: str, named: str) -> str:
        """Return where a secret would come from now, without reading its value; in the order of `_resolve`.

        Args:
            kind: "passphrase", "sudo", "login" or "key".
            name: the host's name, or the key's file.
            named: the source that the inventory names; "" if none.
        """
        if named == "none":
            return "not used (the inventory says none)"
        if self._environ.get(_ENVIRONMENT.get(kind, "")):
            return f"environment variable {_ENVIRONMENT[kind]}"
        where, _, rest = named.partition(":")
        if where == "env":
            return f"environment variable {rest}{'' if self._environ.get(rest) else ' (not set)'}"
        if where == "command":
            return "command in the inventory"
        if named != "prompt" and from_keyring(f"{kind}:{name}") is not None:
            return "keyring"
        return "prompt"

    def _once(self, kind: str, name: str, named: str, title: str, *, twice: bool = False) -> Secret | None:
        with self._lock:
            if (kind, name) not in self._answers:
                secret = self._resolve(kind, name, named, title)
                if twice and secret is not None and secret.source == "prompt":
                    self._confirm(secret, title)
                if secret is not None:
                    self._redactor.add(_text(secret))
                self._answers[kind, name] = secret
            return self._answers[kind, name]

    def _resolve(self, kind: str, name: str, named: str, title: str) -> Secret | None:
        if kind == "passphrase" and self._passphrase_file is not None:
            return self._from_file(self._passphrase_file)
        if named == "none":
            return None
        variable = _ENVIRONMENT.get(kind, "")
        if self._environ.get(variable):
            return Secret(_one_line(_utf_8(self._environ[variable]), variable), variable)
        where, _, rest = named.partition(":")
        if where in {"env", "command"}:
            return self._from_variable(rest, title) if where == "env" else _from_command(rest, title)
        if named != "prompt" and (stored := from_keyring(f"{kind}:{name}")) is not None:
            return Secret(stored, "keyring")
        return self._from_prompt(title)

    def _from_file(self, path: Path) -> Secret:
        source = f"file:{path}"
        try:
            with expanded(path).open(encoding="utf-8", newline="") as file:
                mode = os.fstat(file.fileno()).st_mode
                value = _one_line(file.read(), source)
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            fix = "name a readable file that holds the passphrase in one line"
            raise UsageError(f"--passphrase-file {path} cannot be read: {why}", fix) from None
        others = stat.S_IRGRP | stat.S_IROTH
        if os.name != "nt" and stat.S_ISREG(mode) and mode & others:
            self._emit(Message(f"others can read {path}: chmod 600 {quoted(path)}", "warning"))
        return Secret(value, source)

    def _from_variable(self, variable: str, title: str) -> Secret:
        if not self._environ.get(variable):
            raise UsageError(f"{title}: the inventory says env:{variable}, which is not set", f"set {variable}")
        return Secret(_one_line(_utf_8(self._environ[variable]), f"env:{variable}"), f"env:{variable}")

    def _confirm(self, typed: Secret, title: str) -> None:
        """Ask again: a backup with a mistyped passphrase could never be opened.

        Raises:
            UsageError: the two differ.
        """
        with contextlib.suppress(EOFError):
            if self._timed_ask(f"{title}, once more: ") == typed.reveal():
                return
        raise UsageError("the two passphrases differ; nothing was changed", "run it again, and type it twice")

    def _timed_ask(self, question: str) -> str:
        began = time.monotonic()
        try:
            return self._ask(question)
        finally:
            self.waited += time.monotonic() - began

    def _from_prompt(self, title: str) -> Secret | None:
        if not self._interactive:
            return None
        try:
            value = self._timed_ask(f"{title}: ")
        except EOFError:
            return None
        return Secret(value, "prompt") if value else None


def blank_environment(redactor: redact.Redactor = redact.known) -> None:
    """Register the environment's secrets for redaction at start: an appliance may print one at any time."""
    for variable in _ENVIRONMENT.values():
        redactor.add(_utf_8(os.environ.get(variable, "")))


def from_keyring(user: str) -> str | None:
    """Return a secret of the workstation's keyring; None if it has none, or if there is no keyring that answers."""

    def look() -> str | None:
        import keyring

        return keyring.get_password(SERVICE, user)

    try:
        # A locked keyring can wait forever to be unlocked.
        return timeout.within(_KEYRING_SECONDS, look, "keyring")
    except Exception:  # noqa: BLE001 - backends raise any exception; a system without a desktop is the usual case
        return None


def to_keyring(user: str, value: str | None) -> None:
    """Store a secret in the workstation's keyring; None removes it.

    Raises:
        UsageError: the keyring is missing, refuses, or does not answer.
    """
    from keyring.errors import PasswordDeleteError

    def write() -> None:
        import keyring

        if value is None:
            keyring.delete_password(SERVICE, user)
        else:
            keyring.set_password(SERVICE, user, value)

    try:
        # As for reading, but a person may have to type the keyring's own password.
        timeout.within(_COMMAND_SECONDS, write, "keyring")
    except timeout.NoAnswerError:
        why = f"the keyring does not answer within {_COMMAND_SECONDS:.0f} s"
        raise UsageError(why, "unlock it, and run this again") from None
    except PasswordDeleteError:
        fix = "see what it holds: tscm-migrate secret list"
        raise UsageError(f"the keyring holds nothing for {user!r}", fix) from None
    except Exception as error:  # noqa: BLE001 - backends raise any exception, and a configured one may not exist
        raise UsageError(f"{_NO_KEYRING} ({type(error).__name__})", _OTHER_SOURCE) from None
    if value is not None and from_keyring(user) != value:  # the null backend accepts secrets and does not keep them
        raise UsageError(f"{_NO_KEYRING}; nothing was stored", _OTHER_SOURCE)


def _from_command(command: str, title: str) -> Secret:
    """Return the first line that a command prints; it has the terminal's stdin and stderr, for a PIN."""
    fix = "run it yourself; it has to print the secret on its first line and exit with 0"
    try:
        words = shlex.split(command, posix=os.name != "nt")
    except ValueError as error:
        raise UsageError(
            f"{title}: command:… is not a valid command line: {error}", "correct it in the inventory"
        ) from None
    program = words[0].strip('"')
    argv = command if os.name == "nt" else words  # on Windows a program splits its command line itself
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, timeout=_COMMAND_SECONDS, check=False)
    except OSError as error:
        raise UsageError(f"{title}: cannot run {program!r}: {error.strerror}", fix) from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"{title}: {program!r} did not end within {_COMMAND_SECONDS:.0f} s", fix) from None
    line = done.stdout.partition(b"\n")[0].removesuffix(b"\r")
    if done.returncode != 0 or not line:
        raise UsageError(f"{title}: {program!r} gave no secret (exit status {done.returncode})", fix)
    return Secret(line.decode("utf-8", "surrogateescape"), f"command:{program}")


def _text(secret: Secret) -> str:
    """Return the value, which has to be valid text.

    Raises:
        UsageError: it is not valid text.
    """
    value = secret.reveal()
    if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        raise UsageError(f"the secret from {secret.source} is not UTF-8 text", "store it as UTF-8, in one line")
    return value


def _utf_8(value: str) -> str:
    """Return a variable read as UTF-8 whatever the locale's encoding is; unchanged if it is not UTF-8."""
    with contextlib.suppress(UnicodeError):
        return os.fsencode(value).decode("utf-8")
    return value


def _one_line(value: str, source: str) -> str:
    """Return the value without its final line end."""
    value = value.removesuffix("\n").removesuffix("\r")
    if not value or "\n" in value or "\0" in value:
        what = "is empty" if not value else "has more than one line"
        raise UsageError(f"{source} {what}", "put the secret there in one line")
    return value
