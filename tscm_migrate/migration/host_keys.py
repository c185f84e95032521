"""Who has which host key after the cutover: the pinned file follows, the user's own is only spoken of."""

from __future__ import annotations

import base64
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import HostKeyError, InventoryError, SshError
from tscm_migrate.events import Waiting
from tscm_migrate.ssh import known_hosts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tscm_migrate.migration.context import Migration
    from tscm_migrate.model import Host
    from tscm_migrate.ssh.shell import Shell

_SSHD_AGAIN = 60.0  # seconds that an sshd may take to begin anew
_REREADS_WITHIN = 20.0  # and to show other host keys
_PAUSE = 0.5


def pin_current_keys(m: Migration) -> list[str]:
    """Let the pinned known_hosts say what is true now: at the old address, the keys that the new one shows.

    All keys are read from the appliance itself, over the connection whose key was foreseen. The file is replaced at
    once, with its comments; what it said before lies beside it, as `known_hosts.bak`.

    Returns:
        Lines for the operator: what was changed, and the command for his own known_hosts.

    Raises:
        UsageError: the file cannot be read or written.
    """
    file, host = m.new.host.known_hosts, m.new.host
    if file is None:
        return []
    blobs = _own_keys(m)
    shown = m.new.shell.server_fingerprint()
    if shown not in {known_hosts.fingerprint(blob) for blob in blobs}:
        return [f"{host.name}: the key that it shows is not among its own; {file} is left as it is"]
    name = known_hosts.name_of_host(host)
    lines = []
    if not _all_known(file, name, blobs) and known_hosts.replace(file, [name], blobs):
        lines.append(f"{file}: {name} is now {host.name} ({shown}); what it said before is in {file}.bak")
    with contextlib.suppress(InventoryError, RuntimeError):  # it is only spoken of; who has no home has none
        user = Path.home() / ".ssh" / "known_hosts"
        if known_hosts.load(user).pinned(name) and not _all_known(user, name, blobs):
            lines.append(f"your own {user} knows another key for {name}; to forget it: ssh-keygen -R '{name}'")
    return lines


def name_at(m: Migration) -> str:
    """The name under which known_hosts keeps the new one, where it is now."""
    return known_hosts.name_of_host(m.new.host)


def pinned(m: Migration) -> list[str]:
    """The keys that are pinned for it, in base64; they are public."""
    found = known_hosts.load(m.new.host.known_hosts).pinned(name_at(m))
    return [base64.b64encode(entry.blob).decode() for entry in found]


def restore_pins(file: Path, undo: dict[str, Any]) -> None:
    """Make known_hosts say what it said before."""
    known_hosts.replace(file, [undo["name"]], [base64.b64decode(key) for key in undo["pinned"]])


def dial_while_sshd_restarts(m: Migration, host: Host, keys: Sequence[str], *, rereads: bool = False) -> Shell:
    """Connect where sshd may just be beginning anew: the restore has told it to, or this tool has.

    Args:
        m: the run.
        host: with the address to connect to.
        keys: of which it must show one; in base64.
        rereads: it may show the key of before for a moment, too.

    Raises:
        SshError: as `m.dial`; one that does not answer only when it has had its time.
    """
    limit = _REREADS_WITHIN if rereads else _SSHD_AGAIN
    began = time.monotonic()
    while True:
        try:
            return m.dial(host, keys)
        except SshError as error:  # a refused login, too: sshd may be reading its files
            waited = time.monotonic() - began
            if waited >= limit or (isinstance(error, HostKeyError) and not rereads):
                raise
            m.emit(Waiting(f"for sshd of {m.new.name} to begin anew", waited, limit, m.new.name))
            time.sleep(_PAUSE)


def reconnect_after_reload(m: Migration, shell: Shell, expect: Sequence[str]) -> Shell:
    """A new connection to the new one, whose sshd has been told over `shell` to read its host keys again.

    Raises:
        SshError: it does not show one of the expected keys.
    """
    host = m.new.host
    shell.run(host.commands.reload_ssh, sudo=True, check=False, timeout=20.0, display="reload sshd")
    shell.close()
    return dial_while_sshd_restarts(m, host, expect, rereads=True)


def _all_known(file: Path, name: str, blobs: list[bytes]) -> bool:
    """Whether the file pins something for the name, and nothing but what is true."""
    pinned = known_hosts.load(file).pinned(name)
    return bool(pinned) and all(entry.blob in blobs for entry in pinned)


def _own_keys(m: Migration) -> list[bytes]:
    """The public host keys that lie on the new one now."""
    text = m.new.run(
        f"cat {quote(m.new.paths.ssh_dir)}/ssh_host_*_key.pub", check=False, timeout=20.0, display="read its host keys"
    ).stdout
    lines = "".join(f"x {line}\n" for line in text.splitlines() if line.strip())
    return list(dict.fromkeys(entry.blob for entry in known_hosts.parse(lines).entries))
