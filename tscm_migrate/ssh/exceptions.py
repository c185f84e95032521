"""Foreign exceptions become ours here, and nowhere else above."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

from tscm_migrate.errors import AuthFailed, ConnectionLost, MigrateError, SshError, TalkativeLogin, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import paramiko

    from tscm_migrate.model import Host

_PORT = 22


def _words(error: BaseException) -> str:
    """The exception's text on one line without control characters; a server may have written part of it."""
    from paramiko.ssh_exception import NoValidConnectionsError

    said = str(error)
    if isinstance(error, NoValidConnectionsError):
        tries = error.errors.items()
        said = "; ".join(f"{place[0]} port {place[1]}: {getattr(why, 'strerror', None) or why}" for place, why in tries)
    elif isinstance(error, socket.gaierror):
        said = f"its name cannot be looked up: {error.strerror}"
    elif isinstance(error, OSError) and error.strerror:
        said = error.strerror
    elif said.startswith(("No existing session", "Error reading SSH protocol banner")):  # whichever thread is first
        said = "something takes the connection, and says nothing that is SSH"
    text = " ".join(said.split()) or type(error).__name__
    return "".join(c for c in text if c.isprintable())[:300]


def translate(error: BaseException, host: str, *, connecting: bool = False) -> MigrateError | None:
    """Say what a foreign exception means.

    Args:
        error: what paramiko, fabric or the operating system raised.
        host: the inventory name.
        connecting: whether the connection was still being made; it decides between Unreachable and ConnectionLost.

    Returns:
        Our error, or None for what is no SSH trouble (a bug must stay visible as such).
    """
    import paramiko

    if isinstance(error, MigrateError):
        return error
    words = _words(error)
    lost = Unreachable if connecting else ConnectionLost
    table: tuple[tuple[tuple[type[BaseException], ...], Callable[[], MigrateError]], ...] = (
        ((paramiko.AuthenticationException,), lambda: AuthFailed(host, words)),
        # while connecting, the channel is the gateway's, and what it cannot reach is this host
        (
            (paramiko.ChannelException,),
            lambda: (Unreachable if connecting else SshError)(host, f"channel refused: {words}"),
        ),
        # raised where a session begins with anything else than SFTP; a refusal of a server is an OSError
        ((paramiko.SFTPError,), lambda: TalkativeLogin(host, f"SFTP: {words}")),
        # sockets, time-outs and name lookups are OSErrors
        ((paramiko.SSHException, OSError, EOFError), lambda: lost(host, words)),
    )
    return next((make() for kinds, make in table if isinstance(error, kinds)), None)


def login_of(host: Host) -> str:
    """What `ssh` takes to log in there."""
    port = "" if host.port == _PORT else f"-p {host.port} "
    return f"{port}{host.user}@{host.address}"


@contextlib.contextmanager
def translated(host: str, *, connecting: bool = False) -> Iterator[None]:
    """Run the block; what it raises comes out as ours, with the foreign one as its cause."""
    try:
        yield
    except MigrateError:
        raise
    except Exception as error:
        ours = translate(error, host, connecting=connecting)
        if ours is None:
            raise
        raise ours from error


def let_go(opened: paramiko.Channel | paramiko.SFTPFile) -> None:
    """Close it; where the connection is gone, or goes meanwhile, there is nothing to close, and no error to hide."""
    import paramiko

    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        opened.close()


def lives(channel: paramiko.Channel, grace: float = 0.5) -> bool:
    """Whether the connection is still there; channels are told of its end a moment before it says so itself."""
    transport = channel.get_transport()
    deadline = time.monotonic() + grace
    while transport.is_active():
        if channel.eof_received or time.monotonic() >= deadline:
            return True
        time.sleep(0.02)
    return False
