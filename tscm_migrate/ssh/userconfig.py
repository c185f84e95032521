"""~/.ssh/config: what it says where the inventory is silent: user, port, identity files. Nothing else is taken.

A HostName or ProxyJump there must not redirect a connection that the inventory describes.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tscm_migrate.site import Host

log = logging.getLogger(__name__)
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_HIGHEST_PORT = 65535


def settled(host: Host) -> Host:
    """The host with its final user and port.

    A value that the inventory gives, or that differs from the default, stands.
    """
    silent = {name for name in ("user", "port") if name not in host.given and getattr(host, name) == _default(name)}
    if not silent:
        return host
    entry = _entry(host.address)
    port = entry.get("port", "")
    if "port" in silent and port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT:
        host = replace(host, port=int(port))
    if "user" in silent and entry.get("user"):
        host = replace(host, user=entry["user"])
    return host


def identities(host: Host) -> list[Path]:
    """The key files to try; the inventory's alone where it names one, else those that exist."""
    if host.identity_file is not None:
        return [host.identity_file.expanduser()]
    named = [Path(name) for name in _entry(host.address).get("identityfile", [])]
    candidates = named or [Path("~/.ssh") / name for name in _DEFAULT_KEYS]
    return [path for candidate in candidates if (path := candidate.expanduser()).is_file()]


def _default(name: str) -> Any:
    from dataclasses import fields

    from tscm_migrate.site import Host

    return next(field.default for field in fields(Host) if field.name == name)


def _entry(address: str) -> dict[str, Any]:
    from paramiko import SSHConfig

    path = Path("~/.ssh/config").expanduser()
    if not path.is_file():
        return {}
    try:
        return dict(SSHConfig.from_path(str(path)).lookup(address))
    except Exception as error:  # noqa: BLE001 - a strange line in the user's file must not stop a migration
        log.debug("%s passed over: %s", path, error)
        return {}
