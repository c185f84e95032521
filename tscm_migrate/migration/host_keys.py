"""Update the pinned host keys after the cutover; for the user's own known_hosts only advice is printed."""

import base64
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import HostKeyError, InventoryError, SshError
from tscm_migrate.events import Waiting
from tscm_migrate.migration.context import Migration
from tscm_migrate.model import Host
from tscm_migrate.ssh import known_hosts
from tscm_migrate.ssh.shell import Shell

_SSHD_RESTARTS_WITHIN = 60.0  # seconds
_REREADS_WITHIN = 20.0  # seconds until an sshd shows its new host keys
_PAUSE = 0.5


def pin_current_keys(m: Migration) -> list[str]:
    """Pin the host keys that the new appliance now shows at its address in the pinned known_hosts.

    All keys are read from the appliance, over the connection whose key was expected. The file is replaced atomically
    and keeps its comments; the previous file is kept as `known_hosts.bak`.

    Returns:
        Lines for the operator: what was changed, and the command for the user's own known_hosts.

    Raises:
        UsageError: the file cannot be read or written.
    """
    file, host = m.new.host.known_hosts, m.new.host
    if file is None:
        return []
    blobs = _own_keys(m)
    shown = m.new.shell.server_fingerprint()
    if shown not in {known_hosts.fingerprint(blob) for blob in blobs}:
        return [f"{host.name}: the host key that it shows is not one of its key files; {file} was not changed"]
    name = known_hosts.name_of_host(host)
    lines = []
    if not _all_known(file, name, blobs) and known_hosts.replace(file, [name], blobs):
        lines.append(f"{file}: {name} is now {host.name} ({shown}); the previous entries are in {file}.bak")
    with contextlib.suppress(InventoryError, RuntimeError):  # only advice; a user may have no home folder
        user = Path.home() / ".ssh" / "known_hosts"
        if known_hosts.load(user).pinned(name) and not _all_known(user, name, blobs):
            lines.append(f"your own {user} has another key for {name}; remove it with: ssh-keygen -R '{name}'")
    return lines


def name_at(m: Migration) -> str:
    """Return the name of the new appliance in known_hosts, at its present address."""
    return known_hosts.name_of_host(m.new.host)


def pinned(m: Migration) -> list[str]:
    """Return the public keys that are pinned for it, in base64."""
    entries = known_hosts.load(m.new.host.known_hosts).pinned(name_at(m))
    return [base64.b64encode(entry.blob).decode() for entry in entries]


def restore_pins(file: Path, undo: dict[str, Any]) -> None:
    """Pin the keys that were pinned before the run."""
    known_hosts.replace(file, [undo["name"]], [base64.b64decode(key) for key in undo["pinned"]])


def dial_while_sshd_restarts(m: Migration, host: Host, keys: Sequence[str], *, rereads: bool = False) -> Shell:
    """Connect to an appliance whose sshd may be restarting, and which must show one of the keys; try until the timeout.

    If it `rereads` its keys, it may still show its previous key for some seconds.

    Raises:
        SshError: as `m.dial`, after the timeout.
    """
    limit = _REREADS_WITHIN if rereads else _SSHD_RESTARTS_WITHIN
    began = time.monotonic()
    while True:
        try:
            return m.dial(host, keys)
        except SshError as error:  # also a refused login: sshd may be reading its files
            waited = time.monotonic() - began
            if waited >= limit or (isinstance(error, HostKeyError) and not rereads):
                raise
            m.emit(Waiting(f"for sshd of {m.new.name} to restart", waited, limit, m.new.name))
            time.sleep(_PAUSE)


def reconnect_after_reload(m: Migration, shell: Shell, expect: Sequence[str]) -> Shell:
    """Tell sshd over `shell` to read its host keys again, and return a new connection.

    Raises:
        SshError: sshd does not show one of the expected keys.
    """
    host = m.new.host
    shell.run(host.commands.reload_ssh, sudo=True, check=False, timeout=20.0, display="reload sshd")
    shell.close()
    return dial_while_sshd_restarts(m, host, expect, rereads=True)


def _all_known(file: Path, name: str, blobs: list[bytes]) -> bool:
    """Whether the file pins at least one key for the name, and only keys of the appliance."""
    pinned = known_hosts.load(file).pinned(name)
    return bool(pinned) and all(entry.blob in blobs for entry in pinned)


def _own_keys(m: Migration) -> list[bytes]:
    """Read the public host keys from the new appliance's files."""
    text = m.new.run(
        f"cat {quote(m.new.paths.ssh_dir)}/ssh_host_*_key.pub", check=False, timeout=20.0, display="read its host keys"
    ).stdout
    lines = "".join(f"x {line}\n" for line in text.splitlines() if line.strip())
    return list(dict.fromkeys(entry.blob for entry in known_hosts.parse(lines).entries))
