"""Lends the source a key for one transfer: created on the source, valid for one run of one command, then removed.

The source is hostile: it has the private key, so it can connect with it at any time and send any data. Therefore:

- the key starts one script, which runs once, compares the requested command, and then runs a command that was composed
  here: no flag, path or word of it comes from the source. If sshd has a ForceCommand, which would run instead of that
  script, no key is lent;
- the command works in its own folder with one file, a hard link of the partial file. No path that is used afterwards
  leads through that folder;
- the size of the file is limited;
- after the transfer, the line in authorized_keys, the folder and the processes are removed, and the files that decide
  who may log in are compared with their state before.
"""

import contextlib
import ipaddress
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.errors import CommandFailed, MigrateError, TransferError, TransferKeyMisused
from tscm_migrate.events import Message
from tscm_migrate.transfer import keyfiles
from tscm_migrate.transfer.keyfiles import MARK

Lent = Callable[[dict[str, str]], None]
_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]{40,200}\Z")
_FOLDER = re.compile(r"[A-Za-z0-9/._-]+\Z")
_TOKEN = "[0-9a-f]" * 16  # sh pattern of a token


@dataclass(frozen=True)
class Key:
    """A key pair on the source.

    Attributes:
        token: names everything that belongs to this key; 16 hex digits.
        folder: on the tmpfs of the source; contains the files `key` and `known_hosts`.
        public: the public key, for the target.
    """

    token: str
    folder: str
    public: str

    def ssh(self, port: int) -> str:
        """Return the ssh command for rsync's -e: with this key and known host only, without any configuration file."""
        options = (
            "BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes", f"HostKeyAlias={MARK}",
            f"UserKnownHostsFile={self.folder}/known_hosts", "GlobalKnownHostsFile=/dev/null", "ForwardAgent=no",
            "ConnectTimeout=20", "ServerAliveInterval=15", "ServerAliveCountMax=4", "Compression=no", "CheckHostIP=no",
            "Ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr",
        )  # fmt: skip
        arguments = " ".join(f"-o {option}" for option in options)
        return f"ssh -F /dev/null -T -x -p {port} -i {self.folder}/key {arguments}"

    def where(self, target: Appliance) -> dict[str, str]:
        """Return where both halves of the key are and when it expires, for the journal and a later cleanup."""
        expires = datetime.now(UTC) + timedelta(hours=keyfiles.GOOD_FOR)
        file = f"~/.ssh/authorized_keys of {target.host.user}"
        return {
            "private": self.folder,
            "file": file,
            "mark": f"{MARK}-{self.token}",
            "expires": f"{expires:%Y-%m-%d %H:%M} UTC",
        }

    def landing(self, target: Appliance) -> str:
        """Return the folder on the target in which the command works; it is on the file system of the archives."""
        return f"{target.paths.backup_dir}/.{MARK}-{self.token}"


@dataclass(frozen=True)
class Opens:
    """The one command that a key may run.

    Attributes:
        asked: the command that must be requested.
        run: shell source that runs instead of it.
        part: path of the partial file that it writes.
        size: largest size of that file in bytes.
    """

    asked: str
    run: str
    part: str
    size: int


@contextlib.contextmanager
def key_on(source: Appliance, target: Appliance) -> Iterator[Key]:
    """Create a key pair on the source, with the target's host key as verified by this workstation.

    Raises:
        TransferError: the source cannot create a key.
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
        made = source.run(script, check=False, display="create a key for this transfer")
        public = made.stdout.strip()
        if made.status != 0 or not _KEY.match(public):
            raise TransferError(f"{source.name} could not create a key: {made.error_output}")
        yield Key(token, folder, public)
    finally:
        with contextlib.suppress(MigrateError):  # `leftovers` removes it later
            source.run(f"rm -rf {folder}", display="remove the key of this transfer")


@contextlib.contextmanager
def authorised(
    target: Appliance, key: Key, addresses: Sequence[str], opens: Opens, lent: Lent = lambda _: None
) -> Iterator[None]:
    """Authorise `key` on the target: once, from `addresses` only, for the command `opens`, for 12 hours at most.

    Args:
        target: a line is added to authorized_keys of its login user, and removed when the block ends.
        key: as `key_on` creates it.
        addresses: of the source, as the target sees it.
        opens: the command.
        lent: called with the location of the key before it can be used, and with {} after its removal.

    Raises:
        TransferError: sshd has a ForceCommand, or an address or path cannot be used. CommandFailed: a step failed.
        TransferKeyMisused: after the block, if the key was used for something else.
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
            "record who may log in, and create a folder for the copy", sudo=True,
        )  # fmt: skip
        target.run(
            keyfiles.add(line, f"{MARK}-{key.token}") + f" > {guard}/file",
            display="authorise the key of this transfer for one command",
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
    """Return shell source that writes the script of the key and prints the home folder."""
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
    """Return shell source that creates the folder with a hard link of the partial file; it runs as root."""
    at, p, u = quote(landing), quote(part), quote(user)
    return f"{{ umask 077; mkdir {at} && [ -f {p} ] && [ ! -L {p} ] && ln {p} {at}/ && chown {u}: {at}; }} || exit 1; "


def _revoke(target: Appliance, key: Key, state: str, before: str | None, opens: Opens) -> bool:
    """Remove the authorisation, end its processes, and compare; False where the target could not be reached.

    What could not be removed now is removed and compared by `leftovers`.

    Raises:
        TransferKeyMisused: see `authorised`.
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
        target.emit(Message(text, "warning"))
        return False
    there, _, now = after.partition("@\n")
    if before is not None:
        changed = _difference(before, now)
        odd = "" if there.strip() in {name, ""} else f"beside the copy there is {there.split()[:5]}"
    if changed or odd:
        raise TransferKeyMisused(target.name, "; ".join([*changed, *([odd] if odd else [])])[:600])
    return True


def _difference(before: str, now: str) -> list[str]:
    """Return the files that have changed; `before` and `now` as `keyfiles.state` prints them."""
    was, has = (dict.fromkeys(text.splitlines()) for text in (before, now))
    return [line.partition(": ")[0] for line in {**has, **was} if not (line in was and line in has)]


def _ended(target: Appliance, mark: str) -> str:
    """Return shell source that ends rsync processes which work in a folder with this mark."""
    return (
        f"for c in $(grep -las {quote(MARK)} /proc/[0-9]*/cmdline); do p=${{c#/proc/}}; p=${{p%/cmdline}}; "
        "case $(tr '\\0' ' ' < $c 2>/dev/null) in "
        f'"rsync --server "*" "{quote(target.paths.backup_dir)}/.{mark}/*) kill -9 "$p" 2>/dev/null ;; esac; done; :'
    )


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise TransferError(f"{text[:60]!r} is not an address to which a key can be limited") from None


# Our folders in tmpfs: with our name, owned by the login user, not a link. Other users can create folders there, too.
_OWN = f'for d in {{tmpfs}}/.{MARK}-{_TOKEN}; do [ -d "$d" ] && [ ! -L "$d" ] && [ -O "$d" ] || continue; '


def leftovers(appliance: Appliance) -> None:
    """Remove all keys and folders that a killed transfer has left on this appliance.

    An rsync that still runs with such a key is ended. It must not be called during a transfer.

    Raises:
        TransferKeyMisused: files that decide who may log in have changed since the key was authorised.
    """
    tmpfs, landings = quote(appliance.paths.tmpfs), f"{quote(appliance.paths.backup_dir)}/.{MARK}-{_TOKEN}"
    own = _OWN.format(tmpfs=tmpfs)
    # a pid file is used only if that process was started with the key of this folder
    end = (
        f'{own}[ -f "$d/pid" ] && p=$(head -c 20 "$d/pid" 2>/dev/null) || continue; '
        'case $p in ""|*[!0-9]*) continue ;; esac; '
        'case $(tr "\\0" " " < "/proc/$p/cmdline" 2>/dev/null) in rsync*"$d/key"*) kill "$p" ;; esac; done; '
    )
    recorded = f'$({own} [ ! -f "$d/file" ] || cat "$d/file"; done)'
    script = end + keyfiles.remove(f"{MARK}-[0-9a-f]*", recorded) + _ended(appliance, f"{MARK}-{_TOKEN}")
    script += f'; cd; pwd; {own} [ ! -f "$d/before" ] || sed \'s/^/=/\' "$d/before"; done; :'
    left = appliance.run(script, check=False, display="remove keys of earlier transfers").stdout
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
        raise TransferKeyMisused(appliance.name, "; ".join(changed)[:600])


@dataclass(frozen=True)
class Left:
    """What a killed transfer has left: `keys` as (file, expiry or ""), and `folders` with a private key or a script."""

    keys: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]


def left(appliance: Appliance) -> Left:
    """Find what `leftovers` would remove; changes nothing."""
    own = _OWN.format(tmpfs=quote(appliance.paths.tmpfs))
    parse = r"""sed -n 's/^.*expiry-time="\([0-9Z]*\)".*/key \1/p; t; s/^.*/key -/p'"""
    script = (
        'f=$(readlink -f ~/.ssh/authorized_keys) && [ -f "$f" ] && '
        f'grep -a {quote(keyfiles.OURS)} "$f" | {parse} | while read -r k e; do echo "$k $e $f"; done; '
        f'{own} echo "folder - $d"; done; :'
    )
    found = appliance.run(script, check=False, display="look for keys of earlier transfers").stdout
    rows = [line.split(" ", 2) for line in found.splitlines()[:100] if line.count(" ") >= 2]
    keys = tuple((path, "" if when == "-" else when) for kind, when, path in rows if kind == "key")
    return Left(keys, tuple(path for kind, _, path in rows if kind == "folder"))


def removal_command(left: Left) -> str:
    """Return the shell command that removes it, quoted as one word of a shell on the workstation."""
    lines = [f"sed -i --follow-symlinks {quote(f'/{keyfiles.OURS}/d')} {quote(file)}" for file, _ in left.keys]
    return quote("; ".join([*dict.fromkeys(lines), *(f"rm -rf {quote(folder)}" for folder in left.folders)]))
