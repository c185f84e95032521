"""A key for one transfer: made on the source, good for one run of one command on the target, then removed.

The source is hostile input. It holds the key, so it may connect with it whenever it likes and speak any protocol to
what it is let in to. Therefore:

- it is let in to one script, which runs once, compares what was asked for, and then runs a command that was written
  here: no flag, path or word of it comes from the source. Where a ForceCommand of sshd would take the place of that
  script, no key is lent;
- the command works in a folder of its own, which holds one file: a hard link of the partial file. Whatever is done to
  names in that folder, no path that is used afterwards leads through it;
- the file's size is limited;
- when it is over, the line, the folder and the processes are removed, and the files by which sshd lets the login in are
  compared with what they were.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import CommandFailed, KeyAbused, MigrateError, TransferError
from tscm_migrate.events import Said
from tscm_migrate.transfer import keyfiles
from tscm_migrate.transfer.keyfiles import MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tscm_migrate.appliance.appliance import Appliance

    Lent = Callable[[dict[str, str]], None]

_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]{40,200}\Z")
_FOLDER = re.compile(r"[A-Za-z0-9/._-]+\Z")
_TOKEN = "[0-9a-f]" * 16  # sh pattern of a token


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

    def where(self, target: Appliance) -> dict[str, str]:
        """Where its halves are once it is let in, and when it expires, for whoever has to clean up."""
        expires = datetime.now(UTC) + timedelta(hours=keyfiles.GOOD_FOR)
        file = f"~/.ssh/authorized_keys of {target.host.user}"
        return {
            "private": self.folder,
            "file": file,
            "mark": f"{MARK}-{self.token}",
            "expires": f"{expires:%Y-%m-%d %H:%M} UTC",
        }

    def landing(self, target: Appliance) -> str:
        """The folder on the target in which the command works; on the file system of the archives."""
        return f"{target.paths.backup_dir}/.{MARK}-{self.token}"


@dataclass(frozen=True)
class Opens:
    """What a key opens: `asked` is compared, `run` (sh source) runs instead of it, on `part` of up to `size` bytes."""

    asked: str
    run: str
    part: str
    size: int


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
            raise TransferError(f"{source.name} could not make a key: {made.said}")
        yield Key(token, folder, public)
    finally:
        with contextlib.suppress(MigrateError):  # what could not be removed now is removed by `leftovers`
            source.run(f"rm -rf {folder}", display="remove the key of this transfer")


@contextlib.contextmanager
def authorised(
    target: Appliance, key: Key, addresses: Sequence[str], opens: Opens, lent: Lent = lambda _: None
) -> Iterator[None]:
    """Let `key` in at the target, from `addresses` only, once, for nothing but `opens`, for some hours.

    Args:
        target: its authorized_keys of the login user is added to; the line is removed when the block ends.
        key: see `key_on`.
        addresses: as the target sees the caller.
        opens: what it may do.
        lent: told where the key is before it is let in, and an empty dict when it has been removed.

    Raises:
        KeyAbused: afterwards, when the key was used for more than that.
    """
    guard = f"{target.paths.tmpfs}/.{MARK}-{key.token}"
    if not _FOLDER.match(guard):
        raise TransferError(f"{target.paths.tmpfs!r} cannot be used", "correct paths.tmpfs in the inventory")
    pattern = ",".join(dict.fromkeys(_address(address) for address in addresses))
    line = f'from="{pattern}",command="sh {guard}/guard" {key.public}'
    lent(key.where(target))
    user, home, before = target.host.user, "", None
    try:
        home = _run(target, _guarded(guard, opens), "prepare the one command of the key").rstrip("\n")
        before = _run(
            target,
            keyfiles.forced(user, addresses[0]) + _landed(key.landing(target), opens.part, user)
            + keyfiles.state(home, user, f"{guard}/before"),
            "note who may log in, and prepare a folder for the copy", sudo=True,
        )  # fmt: skip
        target.run(
            keyfiles.add(line, f"{MARK}-{key.token}") + f" > {guard}/file",
            display="let the key of this transfer in, for one command",
        )
        yield
    finally:
        if _revoke(target, key, keyfiles.state(home, user, ""), before, opens):
            lent({})


def _run(target: Appliance, script: str, display: str, *, sudo: bool = False) -> str:
    done = target.run(script, sudo=sudo, check=False, display=display)
    if done.status == keyfiles.FORCED:
        text = f"sshd on {target.name} has a ForceCommand, which would run instead of the one command of a lent key"
        raise TransferError(text, "use another method, which lends no key: --method tar")
    if done.status != 0:
        raise CommandFailed(target.name, "", display, done.status, done.stderr)
    return done.stdout


def _guarded(guard: str, opens: Opens) -> str:
    """Write the script that the key is let in to; print the home folder."""
    body = (
        f'mkdir {guard}/used 2>/dev/null || {{ echo "refused: this key was used already" >&2; exit 126; }}\n'
        f'[ "$SSH_ORIGINAL_COMMAND" = {quote(opens.asked)} ] || '
        '{ printf "refused: %s\\n" "$SSH_ORIGINAL_COMMAND" >&2; exit 126; }\n'
        "unset SSH_ORIGINAL_COMMAND\n"
        f"ulimit -c 0; ulimit -f {opens.size // 512 + 2} || exit 126\n"
        f"exec {opens.run}\n"
    )
    return f"{keyfiles.OVERRIDDEN}set -e; umask 077; mkdir {guard}; printf '%s' {quote(body)} > {guard}/guard; cd; pwd"


def _landed(landing: str, part: str, user: str) -> str:
    """Make the folder with a hard link of the partial file; runs as root, before anybody else can reach the folder."""
    at, p, u = quote(landing), quote(part), quote(user)
    return f"{{ umask 077; mkdir {at} && [ -f {p} ] && [ ! -L {p} ] && ln {p} {at}/ && chown {u}: {at}; }} || exit 1; "


def _revoke(target: Appliance, key: Key, state: str, before: str | None, opens: Opens) -> bool:
    """Remove what let the key in, end what it started, and compare; False where the target could not be reached.

    Raises:
        KeyAbused: see `authorised`. What could not be removed now is removed, and compared, by `leftovers`.
    """
    landing, mark = key.landing(target), f"{MARK}-{key.token}"
    guard, name = f"{target.paths.tmpfs}/.{mark}", opens.part.rpartition("/")[2]
    changed, odd = [], ""
    same = f"[ {quote(name)} -ef {quote(opens.part)} ] || echo '(exchanged)'"
    look = f"cd {quote(landing)} 2>/dev/null && {{ ls -A; {same}; }}"
    try:
        remove = keyfiles.remove(mark, f'"$(cat {guard}/file 2>/dev/null)"') + _ended(target, mark)
        target.run(remove, check=False, display="remove the key of this transfer")
        after = target.run(
            f"{look}; cd /; rm -rf {quote(landing)}; echo @; {state}; rm -rf {guard}",
            sudo=True, check=False, display="compare who may log in",
        ).stdout  # fmt: skip
    except MigrateError as error:
        text = f"{target.name}: the key of the transfer could not be removed ({error}); it is removed by the next run"
        target.emit(Said(text, "warning"))
        return False
    there, _, now = after.partition("@\n")
    if before is not None:
        changed = _difference(before, now)
        odd = "" if there.strip() in {name, ""} else f"beside the copy there is {there.split()[:5]}"
    if changed or odd:
        raise KeyAbused(target.name, "; ".join([*changed, *([odd] if odd else [])])[:600])
    return True


def _difference(before: str, now: str) -> list[str]:
    """The files that are not as they were; `before` and `now` as `keyfiles.state` prints them."""
    was, has = (dict.fromkeys(text.splitlines()) for text in (before, now))
    return [line.partition(": ")[0] for line in {**has, **was} if not (line in was and line in has)]


def _ended(target: Appliance, mark: str) -> str:
    """End what the key has started on the target, which works in a folder of this mark."""
    return (
        f"for c in $(grep -las {quote(MARK)} /proc/[0-9]*/cmdline); do p=${{c#/proc/}}; p=${{p%/cmdline}}; "
        "case $(tr '\\0' ' ' < $c 2>/dev/null) in "
        f'"rsync --server "*" "{quote(target.paths.backup_dir)}/.{mark}/*) kill -9 "$p" 2>/dev/null ;; esac; done; :'
    )


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise TransferError(f"{text[:60]!r} is not an address that a key could be limited to") from None


# Folders of ours in tmpfs: named as we name them, the login's own, and no link. Others may have made more.
_OWN = f'for d in {{tmpfs}}/.{MARK}-{_TOKEN}; do [ -d "$d" ] && [ ! -L "$d" ] && [ -O "$d" ] || continue; '


def leftovers(appliance: Appliance) -> None:
    """Remove every key and folder that an earlier transfer, killed before it could, has left on this appliance.

    An rsync that still runs with such a key is ended with it. Safe to call at any time but during a transfer.

    Raises:
        KeyAbused: while the key was let in, the files by which sshd lets the login in have changed.
    """
    tmpfs, landings = quote(appliance.paths.tmpfs), f"{quote(appliance.paths.backup_dir)}/.{MARK}-{_TOKEN}"
    own = _OWN.format(tmpfs=tmpfs)
    # a pid file counts only where the process is the one that was started with this folder's key
    end = (
        f'{own}[ -f "$d/pid" ] && p=$(head -c 20 "$d/pid" 2>/dev/null) || continue; '
        'case $p in ""|*[!0-9]*) continue ;; esac; '
        'case $(tr "\\0" " " < "/proc/$p/cmdline" 2>/dev/null) in rsync*"$d/key"*) kill "$p" ;; esac; done; '
    )
    recorded = f'$({own} [ ! -f "$d/file" ] || cat "$d/file"; done)'
    script = end + keyfiles.remove(f"{MARK}-[0-9a-f]*", recorded) + _ended(appliance, f"{MARK}-{_TOKEN}")
    script += f'; cd; pwd; {own} [ ! -f "$d/before" ] || sed \'s/^/=/\' "$d/before"; done; :'
    left = appliance.run(script, check=False, display="remove what an earlier transfer left").stdout
    home, _, kept = left.partition("\n")
    before = "\n".join(line[1:] for line in kept.splitlines() if line.startswith("="))
    now = ""
    if before:
        state = keyfiles.state(home, appliance.host.user, "")
        now = appliance.run(state, sudo=True, check=False, display="compare who may log in").stdout
    folders = f'{own} rm -rf "$d"; done; '
    appliance.run(folders + ":", check=False, display="remove folders of a transfer")
    if home:  # a login with a shell; the folders may lie where only root can remove them
        there = f'set -- {landings}; [ ! -e "$1" ] || rm -rf "$@"'
        appliance.run(there, sudo=True, check=False, display="remove folders of a transfer")
    if before and (changed := _difference(before, now)):
        raise KeyAbused(appliance.name, "; ".join(changed)[:600])


@dataclass(frozen=True)
class Left:
    """What a killed transfer has left: `keys` as (file, expiry or ""), and `folders` with a private key or a guard."""

    keys: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]


def left(appliance: Appliance) -> Left:
    """Look for what `leftovers` would remove; changes nothing."""
    own = _OWN.format(tmpfs=quote(appliance.paths.tmpfs))
    rows = r"""sed -n 's/^.*expiry-time="\([0-9Z]*\)".*/key \1/p; t; s/^.*/key -/p'"""
    script = (
        'f=$(readlink -f ~/.ssh/authorized_keys) && [ -f "$f" ] && '
        f'grep -a {quote(keyfiles.OURS)} "$f" | {rows} | while read -r k e; do echo "$k $e $f"; done; '
        f'{own} echo "folder - $d"; done; :'
    )
    found = appliance.run(script, check=False, display="look for keys that a transfer has left").stdout
    told = [line.split(" ", 2) for line in found.splitlines()[:100] if line.count(" ") >= 2]
    keys = tuple((path, "" if when == "-" else when) for kind, when, path in told if kind == "key")
    return Left(keys, tuple(path for kind, _, path in told if kind == "folder"))


def by_hand(found: Left) -> str:
    """The command by which a person removes it, as one word of a shell on the workstation."""
    lines = [f"sed -i --follow-symlinks {quote(f'/{keyfiles.OURS}/d')} {quote(file)}" for file, _ in found.keys]
    return quote("; ".join([*dict.fromkeys(lines), *(f"rm -rf {quote(folder)}" for folder in found.folders)]))
