"""A key for one transfer: made on the source, good for one command on the target from one place, then gone."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.appliance.base import quote
from tscm_migrate.errors import MigrateError, TransferError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tscm_migrate.appliance.base import Appliance

MARK = "tscm-migrate-transfer"  # in the key's comment and in folder names: what `leftovers` looks for
_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]{40,200}\Z")
_FOLDER = re.compile(r"[A-Za-z0-9/._-]+\Z")
_GOOD_FOR = 12  # hours


@dataclass(frozen=True)
class Key:
    """The source's half: `folder` on its tmpfs holds `key` and `known_hosts`; `public` is what the target is given."""

    token: str
    folder: str
    public: str

    def ssh(self, port: int) -> str:
        """The ssh command for rsync's -e: this key, this known host, nothing of anybody's configuration."""
        options = (
            "BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes", f"HostKeyAlias={MARK}",
            f"UserKnownHostsFile={self.folder}/known_hosts", "GlobalKnownHostsFile=/dev/null", "ForwardAgent=no",
            "ConnectTimeout=20", "ServerAliveInterval=15", "ServerAliveCountMax=4", "Compression=no", "CheckHostIP=no",
            "Ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr",
        )  # fmt: skip
        said = " ".join(f"-o {option}" for option in options)
        return f"ssh -F /dev/null -T -x -p {port} -i {self.folder}/key {said}"


@contextlib.contextmanager
def key_on(source: Appliance, target: Appliance) -> Iterator[Key]:
    """Make a key pair on the source, beside the target's host key as this workstation has checked it.

    Raises:
        TransferError: the source cannot make one.
    """
    token = secrets.token_hex(8)
    folder = f"{source.paths.tmpfs}/.{MARK}-{token}"
    known = f"{MARK} {target.shell.server_key()}"
    if not _FOLDER.match(folder):
        raise TransferError(f"{source.paths.tmpfs!r} cannot be used for a key", "correct paths.tmpfs in the inventory")
    script = (
        f"set -e; umask 077; mkdir {folder}; printf '%s\\n' {quote(known)} > {folder}/known_hosts; "
        f"ssh-keygen -q -t ed25519 -N '' -C {MARK}-{token} -f {folder}/key </dev/null >&2; "
        f"cut -d ' ' -f 1,2 {folder}/key.pub"
    )
    try:
        made = source.run(script, check=False, display="make a key for this transfer")
        public = made.stdout.strip()
        if made.status != 0 or not _KEY.match(public):
            raise TransferError(f"{source.name} could not make a key: {made.stderr.strip()[-200:]}")
        yield Key(token, folder, public)
    finally:
        with contextlib.suppress(MigrateError):  # what could not be removed now is removed by `leftovers`
            source.run(f"rm -rf {folder}", display="remove the key of this transfer")


@contextlib.contextmanager
def authorised(target: Appliance, key: Key, addresses: Sequence[str], command: str) -> Iterator[None]:
    """Let `key` in at the target, from `addresses` only, for nothing but exactly `command`, for some hours.

    Args:
        target: its authorized_keys of the login user is added to; the line is removed when the block ends.
        key: see `key_on`.
        addresses: as the target sees the caller.
        command: sh source, fixed; what the caller asks for has to be the same text.
    """
    pattern = ",".join(dict.fromkeys(_address(address) for address in addresses))
    guard = f"{target.paths.tmpfs}/.{MARK}-{key.token}"
    if not _FOLDER.match(guard):
        raise TransferError(f"{target.paths.tmpfs!r} cannot be used", "correct paths.tmpfs in the inventory")
    refuse = (
        f'[ "$SSH_ORIGINAL_COMMAND" = {quote(command)} ] || {{ echo "refused: $SSH_ORIGINAL_COMMAND" >&2; exit 126; }}'
    )
    body = f"{refuse}\nexec {command}\n"
    line = f'from="{pattern}",command="sh {guard}/guard"'
    script = (
        f"set -e; umask 077; mkdir {guard}; printf '%s' {quote(body)} > {guard}/guard; "
        f"mkdir -p ~/.ssh; f=~/.ssh/authorized_keys; "
        "v=$(ssh -V 2>&1 | sed -n 's/^OpenSSH_\\([0-9]*\\)\\.\\([0-9]*\\).*/\\1 \\2/p'); "
        # expiry-time came with 7.7; an older sshd refuses a line with an option that it does not know
        f'set -- $v; o=restrict; if [ "${{1:-9}}" -gt 7 ] || {{ [ "$1" = 7 ] && [ "$2" -ge 7 ]; }}; then '
        f'o="restrict,expiry-time=\\"$(date -d "+{_GOOD_FOR} hours" +%Y%m%d%H%M)\\""; fi; '
        '[ -z "$(tail -c 1 $f 2>/dev/null)" ] || echo >> $f; '
        f"printf '%s,%s %s {MARK}-{key.token}\\n' \"$o\" {quote(line)} {quote(key.public)} >> $f"
    )
    try:
        target.run(script, display="let the key of this transfer in, for one command")
        yield
    finally:
        with contextlib.suppress(MigrateError):
            target.run(_removal(target, key.token), display="remove the key of this transfer")


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise TransferError(f"{text[:60]!r} is no address that a key could be limited to") from None


def _removal(appliance: Appliance, token: str = "") -> str:
    """Take the lines with our mark out of authorized_keys, and nothing else; then our folders."""
    mark = f"{MARK}-{token}"
    folders = f"{quote(appliance.paths.tmpfs)}/.{mark}" + ("" if token else "*")
    return (
        f"f=~/.ssh/authorized_keys; if grep -q ' {mark}' $f 2>/dev/null; then cp -p $f $f.{MARK}.tmp && "
        f"{{ grep -v ' {mark}[0-9a-f]*$' $f > $f.{MARK}.tmp; [ $? -le 1 ]; }} && mv -f $f.{MARK}.tmp $f; fi; "
        f"rm -rf {folders}"
    )


def leftovers(appliance: Appliance) -> None:
    """Remove every key and folder that an earlier transfer, killed before it could, has left on this appliance.

    An rsync that still runs with such a key is ended with it. Safe to call at any time but during a transfer.
    """
    tmpfs = quote(appliance.paths.tmpfs)
    end = (
        f"for d in {tmpfs}/.{MARK}-*; do [ -f $d/pid ] || continue; p=$(cat $d/pid); "
        'tr "\\0" " " < /proc/$p/cmdline 2>/dev/null | grep -q "$d" && kill $p; done; '
    )
    appliance.run(end + _removal(appliance), check=False, display="remove what an earlier transfer left")
