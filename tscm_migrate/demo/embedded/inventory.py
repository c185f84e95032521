"""The inventory of an embedded lab: hosts.toml, known_hosts and a client key for both appliances."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tscm_migrate.demo.embedded.machine import EmbeddedMachine

PATHS = {
    "tsadmin": "usr/local/bin/tsadmin",
    "ts_backup": "usr/local/bin/ts-backup",
    "backup_dir": "opt/threatstop/backup",
    "etc_dir": "opt/threatstop/etc",
    "log_dir": "var/log/threatstop",
    "cron_entry": "etc/cron.d/multidevice-core",
    "backup_cron": "etc/cron.d/tscm_backup",
    "hold_dir": "var/lib/tscm-migrate",
    "ssh_dir": "etc/ssh",
    "os_release": "etc/os-release",
    "boot_id": "proc/boot_id",
    "tmpfs": "dev/shm",
}


def write(folder: Path, machines: Mapping[str, EmbeddedMachine], port: int) -> None:
    """Write the three files to `folder`, and the public key to each appliance."""
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519", comment="tscm-lab")
    identity = folder / "client_key"
    key.write_private_key(identity)
    identity.chmod(0o600)
    key.write_public_key(identity.with_suffix(".pub"))
    lines = ['known_hosts = "known_hosts"', "", "[defaults]", 'user = "threatstop"']
    lines += [f"identity_file = {json.dumps(str(identity))}", "use_agent = false", f"port = {port}", ""]
    pinned = []
    for name, machine in machines.items():
        allowed = machine.host("home/threatstop/.ssh/authorized_keys")
        allowed.write_bytes(key.export_public_key())
        allowed.chmod(0o600)
        profile = machine.profile
        pinned += [f"[{profile.address}]:{port} {public}" for public in machine.public_keys()]
        lines += [f"[hosts.{name}]", f'address = "{profile.address}"', f'interface = "{profile.interface}"']
        lines += [f"[hosts.{name}.paths]"]
        lines += [f"{field} = {json.dumps(str(machine.host(path)))}" for field, path in PATHS.items()] + [""]
    (folder / "known_hosts").write_text("\n".join(pinned) + "\n", "utf-8")
    (folder / "hosts.toml").write_text("\n".join(lines) + "\n", "utf-8")
