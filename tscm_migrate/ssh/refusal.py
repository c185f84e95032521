"""Why no connection came about, from what the server said and offered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tscm_migrate.errors import (
    AuthFailed,
    LoginsClosed,
    MigrateError,
    NoCommonAlgorithm,
    PasswordExpired,
    ServerFull,
    Unreachable,
)
from tscm_migrate.ssh.answers import HungUpError, PasswordChangeError
from tscm_migrate.ssh.exceptions import login_of
from tscm_migrate.util.redact import outside

if TYPE_CHECKING:
    from tscm_migrate.model import Host
    from tscm_migrate.ssh.service import Transport

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
_FLAGS = ("ext-info-", "kex-strict-")  # in a list of algorithms, and not algorithms
# what is negotiated, by paramiko's names: of the lists that the server sent, and of our own
_KINDS = (
    ("key exchange", "kex_algo_list", "preferred_kex"),
    ("host key algorithm", "server_key_algo_list", "preferred_keys"),
    ("cipher", "server_encrypt_algo_list", "preferred_ciphers"),
    ("MAC", "server_mac_algo_list", "preferred_macs"),
)


def no_common(host: str, transport: Transport) -> NoCommonAlgorithm | None:
    """The first kind of algorithm of which the server offers none of ours."""
    for kind, theirs, ours in _KINDS:
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
            return NoCommonAlgorithm(host, detail, kind, known, tuple(outside(name, 80) for name in offered), newer)
    return None


def refusal(host: Host, transport: Transport | None, error: BaseException) -> MigrateError | None:
    """The error that tells the cause; None where nothing but the exception itself is known.

    Args:
        host: where to.
        transport: what there was of a connection.
        error: as it came.
    """
    from paramiko import AuthenticationException, SSHException
    from paramiko.ssh_exception import IncompatiblePeer

    if isinstance(error, PasswordChangeError):
        return PasswordExpired(host.name, str(error), login_of(host))
    if transport is None or isinstance(error, MigrateError):
        return None
    if isinstance(error, IncompatiblePeer):
        return no_common(host.name, transport)
    said = outside(" ".join([*transport.greeting, _banner(transport), transport.goodbye]), 300)
    if _FULL.search(said):
        return ServerFull(host.name, said)
    if isinstance(error, AuthenticationException | HungUpError):
        return _of_login(host, said, error)
    return _closed(host, transport, said) if isinstance(error, SSHException | OSError | EOFError) else None


def _closed(host: Host, transport: Transport, said: str) -> MigrateError | None:
    if transport.closed_early:
        why = f"it said {said!r}" if said else "too many logins at once (MaxStartups), or a ban"
        return Unreachable(host.name, f"it closes connections before it tells its version: {why}")
    if transport.initial_kex_done and not transport.is_authenticated():
        why = f"; it said {said!r}" if said else ""
        return Unreachable(host.name, f"the connection was closed during authentication{why}")
    return None


def _of_login(host: Host, said: str, error: BaseException) -> MigrateError | None:
    if _CLOSED.search(said):
        return LoginsClosed(host.name, said)
    if _EXPIRED.search(said):
        return PasswordExpired(host.name, said, login_of(host))
    if not isinstance(error, HungUpError):
        return AuthFailed(host.name, f"{error}; the server said {said!r}") if said else None
    if _MANY.search(said):
        return AuthFailed(host.name, f"{error}: too many keys; set identity_file, and use_agent = false")
    return Unreachable(
        host.name, f"the connection was closed during authentication; {error}" + (f"; it said {said!r}" if said else "")
    )


def _banner(transport: Transport) -> str:
    banner: bytes | None = getattr(transport.auth_handler, "banner", None)
    return banner.decode(errors="replace") if banner else ""
