"""Translate the exceptions of paramiko and of the operating system, and explain a refused connection or login."""

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator

import paramiko
from paramiko import AuthenticationException, SSHException
from paramiko.ssh_exception import IncompatiblePeer, NoValidConnectionsError

from tscm_migrate import errors
from tscm_migrate.model import Host
from tscm_migrate.ssh.auth import HungUpError, PasswordChangeError
from tscm_migrate.ssh.transport import Transport
from tscm_migrate.util.redact import outside

_PORT = 22


def _words(error: BaseException) -> str:
    """Return the exception's text on one line without control characters; part of it may come from the server."""
    reason = str(error)
    if isinstance(error, NoValidConnectionsError):
        tries = error.errors.items()
        reason = "; ".join(
            f"{place[0]} port {place[1]}: {getattr(why, 'strerror', None) or why}" for place, why in tries
        )
    elif isinstance(error, socket.gaierror):
        reason = f"its name cannot be looked up: {error.strerror}"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    elif reason.startswith(("No existing session", "Error reading SSH protocol banner")):  # either, by timing
        reason = "something takes the connection, and says nothing that is SSH"
    text = " ".join(reason.split()) or type(error).__name__
    return "".join(c for c in text if c.isprintable())[:300]


def translate(error: BaseException, host: str, *, connecting: bool = False) -> errors.MigrateError | None:
    """Translate a foreign exception.

    Args:
        error: what paramiko, fabric or the operating system raised.
        host: the inventory name.
        connecting: whether the connection was still being made; it decides between Unreachable and ConnectionLost.

    Returns:
        Our error, or None if the exception is not about SSH (a bug must stay visible).
    """
    if isinstance(error, errors.MigrateError):
        return error
    words = _words(error)
    lost = errors.Unreachable if connecting else errors.ConnectionLost
    if isinstance(error, AuthenticationException):
        return errors.AuthFailed(host, words)
    if isinstance(error, paramiko.ChannelException):
        # while connecting, the channel belongs to the gateway, which cannot reach this host
        return (errors.Unreachable if connecting else errors.SshError)(host, f"channel refused: {words}")
    if isinstance(error, paramiko.SFTPError):  # the first data is not SFTP; a refusal by the server is an OSError
        return errors.LoginPrintsOutput(host, f"SFTP: {words}")
    # errors of sockets, timeouts and name lookups are OSErrors
    return lost(host, words) if isinstance(error, SSHException | OSError | EOFError) else None


def login_of(host: Host) -> str:
    """Return the arguments with which `ssh` logs in to a host."""
    port = "" if host.port == _PORT else f"-p {host.port} "
    return f"{port}{host.user}@{host.address}"


@contextlib.contextmanager
def translated(host: str, *, connecting: bool = False) -> Iterator[None]:
    """Run the block; raise foreign exceptions translated, with the original as cause."""
    try:
        yield
    except errors.MigrateError:
        raise
    except Exception as error:
        ours = translate(error, host, connecting=connecting)
        if ours is None:
            raise
        raise ours from error


def let_go(opened: paramiko.Channel | paramiko.SFTPFile) -> None:
    """Close a channel or file; ignore the errors of a connection that is lost."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        opened.close()


def lives(channel: paramiko.Channel, grace: float = 0.5) -> bool:
    """Return whether the connection is up.

    A lost connection closes its channels a moment before the transport becomes inactive: wait for `grace` seconds.
    """
    transport = channel.get_transport()
    deadline = time.monotonic() + grace
    while transport.is_active():
        if channel.eof_received or time.monotonic() >= deadline:
            return True
        time.sleep(0.02)
    return False


_FULL = re.compile(r"MaxStartups|not allowed at this time|too many (?:connections|users)", re.IGNORECASE)
_CLOSED = re.compile(
    r"system is (?:booting|going|shutting)|not permitted to log in|nologin|no logins? |logins? (?:are|is) "
    r"(?:disabled|not)|maintenance",
    re.IGNORECASE,
)
_EXPIRED = re.compile(r"(?:account|password) (?:has )?expired", re.IGNORECASE)
_MANY = re.compile(r"too many authentication failures", re.IGNORECASE)
_OUTDATED = re.compile(
    r"-sha1$|^ssh-(?:rsa|dss)(?:-cert|$)|-cbc(?:@|$)|^arcfour|^3des|^blowfish|^cast|md5|hmac-sha1|ripemd|^umac-64|^none$"
)
# what is negotiated; paramiko's names of the server's list and of our own
_KINDS = (
    ("key exchange", "kex_algo_list", "preferred_kex"),
    ("host key algorithm", "server_key_algo_list", "preferred_keys"),
    ("cipher", "server_encrypt_algo_list", "preferred_ciphers"),
    ("MAC", "server_mac_algo_list", "preferred_macs"),
)


def no_common(host: str, transport: Transport) -> errors.NoCommonAlgorithm | None:
    """Return an error for the first kind of algorithm that the server and this library do not share; else None."""
    for kind, theirs, ours in _KINDS:
        # the server's list of key exchanges also has flags, which are not algorithms
        offered = [
            name for name in transport.offered.get(theirs, []) if not name.startswith(("ext-info", "kex-strict"))
        ]
        known = tuple(getattr(transport, ours))
        if offered and not set(offered) & set(known):
            old = all(_OUTDATED.search(name) for name in offered)
            newer = not any(_OUTDATED.search(name) for name in offered)
            detail = (
                "these are outdated (SHA-1 and older)" if old
                else "these are newer than the SSH library of this tool" if newer else ""
            )  # fmt: skip
            return errors.NoCommonAlgorithm(
                host, detail, kind, known, tuple(outside(name, 80) for name in offered), newer
            )
    return None


def refusal(host: Host, transport: Transport | None, error: BaseException) -> errors.MigrateError | None:
    """Return an error that explains why a connection or login failed; None if only the exception is known.

    Args:
        host: the host that was to be reached.
        transport: the transport, if the connection came so far.
        error: the exception.
    """
    if isinstance(error, PasswordChangeError):
        return errors.PasswordExpired(host.name, str(error), login_of(host))
    if transport is None or isinstance(error, errors.MigrateError):
        return None
    if isinstance(error, IncompatiblePeer):
        return no_common(host.name, transport)
    printed = outside(" ".join([*transport.greeting, _banner(transport), transport.goodbye]), 300)
    if _FULL.search(printed):
        return errors.ServerFull(host.name, printed)
    if isinstance(error, AuthenticationException | HungUpError):
        return _of_login(host, printed, error)
    return _closed(host, transport, printed) if isinstance(error, SSHException | OSError | EOFError) else None


def _closed(host: Host, transport: Transport, printed: str) -> errors.MigrateError | None:
    if transport.closed_early:
        why = f"its message: {printed!r}" if printed else "too many logins at once (MaxStartups), or a ban"
        return errors.Unreachable(host.name, f"it closes connections before it tells its version: {why}")
    if transport.initial_kex_done and not transport.is_authenticated():
        why = f"; its message: {printed!r}" if printed else ""
        return errors.Unreachable(host.name, f"the connection was closed during authentication{why}")
    return None


def _of_login(host: Host, printed: str, error: BaseException) -> errors.MigrateError | None:
    if _CLOSED.search(printed):
        return errors.LoginsClosed(host.name, printed)
    if _EXPIRED.search(printed):
        return errors.PasswordExpired(host.name, printed, login_of(host))
    if not isinstance(error, HungUpError):
        return errors.AuthFailed(host.name, f"{error}; the server's message: {printed!r}") if printed else None
    if _MANY.search(printed):
        return errors.AuthFailed(host.name, f"{error}: too many keys; set identity_file, and use_agent = false")
    return errors.Unreachable(
        host.name,
        f"the connection was closed during authentication; {error}"
        + (f"; its message: {printed!r}" if printed else ""),
    )


def _banner(transport: Transport) -> str:
    banner: bytes | None = getattr(transport.auth_handler, "banner", None)
    return banner.decode(errors="replace") if banner else ""


# Files that shells read before `-c COMMAND`, directly or from another file of this list.
FILES = (
    ".ssh/rc", ".bashrc", ".bash_profile", ".bash_login", ".profile", ".zshenv", ".zprofile", ".zshrc", ".zlogin",
    ".kshrc", ".cshrc", ".tcshrc", ".login", ".config/fish/config.fish",
)  # fmt: skip
_REPLACES = re.compile(
    r"\s*(?:[^#]*?(?:[;&|({]|\b(?:then|else|do))\s+)?(?:builtin\s+)?(?:exec\s+(?![<>&\d{])\S|(?:tmux|screen|exit)\b)"
)
_MOST = 1 << 16  # bytes of a startup file
_EXPIRED_OUTPUT = re.compile(
    r"password (?:has )?expired|password change required|required to change your password", re.IGNORECASE
)
_SHORT = 200


def not_run(host: str, display: str, printed: bytes, status: int | None) -> errors.MigrateError:
    """Return the error for a script whose begin mark was not printed.

    Args:
        host: the inventory name.
        display: what the command is called.
        printed: what was printed instead.
        status: the exit status; None if the login had not ended.
    """
    text = printed.decode(errors="replace")
    lines = ["".join(c for c in line if c.isprintable()).strip() for line in text.splitlines()]
    last = next((line for line in reversed(lines) if line), "")[:_SHORT]
    if _EXPIRED_OUTPUT.search(text):
        return errors.PasswordExpired(host, last)
    ended = "it did not end" if status is None else f"exit status {status}"
    detail = f"its message: {last!r}" if last else "it printed nothing"
    return errors.CommandNotRun(host, f"`{display}`: {detail}, {ended}")


def startup_line(open_sftp: Callable[[], paramiko.SFTPClient]) -> str:
    """Find the first line of a startup file that replaces or ends the login shell: "~/.bashrc line 3: exec zsh".

    The files are read over SFTP, which does not need the shell if the server has SFTP built in.

    Returns:
        "" if no file has such a line, or no file can be read.
    """
    with contextlib.suppress(errors.MigrateError, OSError, EOFError), contextlib.closing(open_sftp()) as client:
        for name in FILES:
            with contextlib.suppress(FileNotFoundError, PermissionError), client.open(name, "rb") as file:
                if line := replacing_line(file.read(_MOST).decode(errors="replace")):
                    return f"~/{name} line {line}"
    return ""


def replacing_line(text: str) -> str:
    """Return the first line that replaces the shell by another program, with its number: "3: exec zsh"; else ""."""
    for number, line in enumerate(text.splitlines(), 1):
        if _REPLACES.match(line):
            return f"{number}: {line.strip()[:_SHORT]}"
    return ""
