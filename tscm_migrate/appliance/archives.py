"""Archives on one appliance: lists, hashes, opens and identifies them.

Only a listing that reached its end can show that there is nothing. A missing folder, a folder that cannot be read, an
incomplete listing and a failed command are distinguished.
"""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from tscm_migrate.appliance import parsers
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.archive import hashing, names
from tscm_migrate.errors import ApplianceError, ArchiveRefused, ListingFailed
from tscm_migrate.model import Archive, Host, Paths, Secret
from tscm_migrate.util.redact import outside
from tscm_migrate.util.text import number

_DAY, _TIME = "-".join(("[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2)), "_".join(("[0-9]" * 2,) * 3)
_REGULAR, _LINK, _KIND = 0o100000, 0o120000, 0o170000
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_LINKS = re.compile(r"threatstop_latest\.tsbak(\.gpg)?")
_ZONE = re.compile(r"([+-])([0-9]{2})([0-9]{2})", re.ASCII)

# Names are matched by shell patterns, which do not match a name with a newline. GNU and busybox have
# `stat -c`; without it, `ls -n` shows the same but the time.
_SCRIPT = r"""t=$(printf '\t')
one() { stat -c "@file$t%f$t%s$t%Y$t%n" "$1" 2>/dev/null && return
line=$(LC_ALL=C ls -ldn "$1" 2>/dev/null) || { [ ! -e "$1" ] && [ ! -L "$1" ] || bad="no type of $1"; return; }
f=$1; set -- $line; printf '@file\t%s\t%s\t0\t%s\n' "$1" "$5" "$f"; }
some() { [ -e "$1" ] || [ -L "$1" ] || [ $# -gt 1 ] || return
stat -c "@file$t%f$t%s$t%Y$t%n" "$@" 2>/dev/null || for x; do { [ -e "$x" ] || [ -L "$x" ]; } && one "$x"; done; }
look() { d=$2; bad=
if ! answer=$(LC_ALL=C ls -a "$d/." 2>&1 >/dev/null); then
case $answer in *"No such file"*|*"not found"*) bad=missing ;; *) bad=${answer:-ls failed} ;; esac
elif [ ! -x "$d" ]; then bad='Permission denied'
else some "$d"/threatstop_backup_DAY_TIME.tsbak; some "$d"/threatstop_backup_DAY_TIME.tsbak.gpg
some "$d"/threatstop_latest.tsbak; some "$d"/threatstop_latest.tsbak.gpg; fi
printf '@end\t%s\t%s\n' "$1" "$(printf %s "$bad" | tr '\n\t' '  ' | cut -c1-200)"; }
printf '@zone\t%s\n' "$(date +%z)"
look backup FOLDER; look home "${HOME:-/nonexistent}"
""".replace("DAY", _DAY).replace("TIME", _TIME)
NOT_REGULAR = 44  # exit status of a script if a path is not a regular file; a link is refused, too


def listed(appliance: Appliance, *, folder_needed: bool = False) -> tuple[Archive, ...]:
    """Return the archives with documented names in the backup folder and in the home folder.

    Args:
        appliance: where.
        folder_needed: whether a missing backup folder is an error if the home folder has no archive either.

    Raises:
        ListingFailed: a folder could not be read, so it is not known what is there.
    """
    script = listing_script(quote(appliance.paths.backup_dir))
    result = appliance.run(script, sudo=False, check=False, display="list archives")
    found = parse_listing(result.stdout)
    complete(appliance.host, found, result.stderr, folder_needed=folder_needed)
    return found.archives


def complete(host: Host, found: "FolderListing", printed: str = "", *, folder_needed: bool = False) -> None:
    """Check that a listing is complete.

    Raises:
        ListingFailed: a folder could not be read, the command failed, or (if it is needed) the folder is missing.
    """
    folder, login = host.paths.backup_dir, f"{host.user}@{host.address}"
    if found.unseen:
        last = printed.strip().splitlines()[-1:]
        raise ListingFailed(host.name, outside(f"{found.unseen}{f' ({last[0][:200]})' if last else ''}"), folder, login)
    if folder_needed and found.missing and not found.archives:
        raise ListingFailed(host.name, "", folder, login, missing=True)


@dataclass(frozen=True)
class FolderListing:
    """Result of a listing.

    Attributes:
        archives: that were found.
        links: threatstop_latest* symbolic links.
        missing: the backup folder does not exist.
        unseen: why a folder could not be read.
        offset: how far the times in the names are ahead of UTC, as shown by the times of the files.
    """

    archives: tuple[Archive, ...] = ()
    links: tuple[str, ...] = ()
    missing: bool = False
    unseen: str = ""
    offset: timedelta | None = None


def listing_script(folder: str) -> str:
    """Return shell source that lists the archives in `folder` (quoted) and in the home folder."""
    return _SCRIPT.replace("FOLDER", folder)


def parse_listing(text: str) -> FolderListing:
    """Parse the output of the script; unknown lines are skipped, and a folder without its end line was not read."""
    ends: dict[str, str] = {}
    files: dict[str, tuple[Archive, float]] = {}
    links: list[str] = []
    zone = None
    for line in text.splitlines():
        match line.split("\t"):
            case ["@file", kind, size, modified, path]:
                _entry((kind, size, modified, path), files, links)
            case ["@end", "backup" | "home" as which, why]:
                ends.setdefault(which, why.strip())
            case ["@zone", word] if found := _ZONE.fullmatch(word.strip()):
                minutes = int(found[2]) * 60 + int(found[3])
                zone = timedelta(minutes=-minutes if found[1] == "-" else minutes)
    times = names.corrected([(archive.name, modified) for archive, modified in files.values()], zone)
    dated = zip(files.values(), times.taken, strict=True)
    archives = tuple(names.with_time(archive, when) for (archive, _), when in dated)
    return FolderListing(archives, tuple(links), ends.get("backup") == "missing", _unseen(ends), times.offset)


def _unseen(ends: dict[str, str]) -> str:
    if set(ends) != {"backup", "home"}:
        return "the listing did not reach its end"
    return next((why for why in ends.values() if why not in {"", "missing"}), "")


def _entry(found: tuple[str, str, str, str], files: dict[str, tuple[Archive, float]], links: list[str]) -> None:
    kind, size, modified, path = found
    folder, _, name = path.rpartition("/")
    if kind[:1] in {"-", "l"}:
        mode = _REGULAR if kind[0] == "-" else _LINK
    else:
        mode = int(kind, 16) & _KIND if re.fullmatch("[0-9a-f]{1,8}", kind) else 0
    if not folder.isprintable():
        return
    if mode == _REGULAR and names.acceptable(name) and _NUMBER.fullmatch(size):
        when = float(modified) if _NUMBER.fullmatch(modified) else 0.0
        files.setdefault(path, (Archive(name, folder, int(size)), when))
    elif mode == _LINK and _LINKS.fullmatch(name) and path not in links:
        links.append(path)


def archives_fact(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse the listing of archives and latest-links, or why they could not be listed."""
    found = parse_listing(text)
    offset = None if found.offset is None else found.offset.total_seconds()
    return {"archives": found.archives, "links": found.links, "unseen": found.unseen, "name_offset": offset}


def hashed(appliance: Appliance, archive: Archive, *, sudo: bool = False, timeout: float = 4 * 3600.0) -> Archive:
    """Return the archive with the SHA-256 and the size that it has now.

    Raises:
        ApplianceError: it is not a regular file, cannot be read, or changed while it was read.
    """
    path = quote(archive.path)
    size = f"stat -c %s {path} || exit"
    script = f"[ -f {path} ] && [ ! -L {path} ] || exit {NOT_REGULAR}; {size}; {hashing.of_file(path)} || exit; {size}"
    result = appliance.run(script, sudo=sudo, timeout=timeout, check=False, display=f"sha256sum {archive.path}")
    words = result.stdout.split()
    if result.status == NOT_REGULAR:
        raise ApplianceError(appliance.name, f"{archive.path} is not a regular file")
    if result.status != 0 or len(words) != 3 or not hashing.digest_in(words[1]) or number(words[0]) is None:
        raise ApplianceError(appliance.name, f"{archive.path} could not be hashed: {result.error_output}")
    if words[0] != words[2]:
        raise ApplianceError(appliance.name, f"{archive.path} changed while it was read")
    return replace(archive, size=int(words[0]), sha256=words[1])


@dataclass(frozen=True)
class Proof:
    """Result of opening an archive.

    Attributes:
        opened: it could be decrypted to its end, or is not encrypted.
        members: names in it, hostile text, at most 5000; empty if it is packed in a way that cannot be listed.
        why_not: why it was not opened or listed.
    """

    opened: bool
    members: tuple[str, ...]
    why_not: str = ""


def prove(appliance: Appliance, archive: Archive, passphrase: Secret | None, *, timeout: float = 3600.0) -> Proof:
    """Decrypt `archive` on the appliance and list it; no plaintext is written to a disk.

    Without this, a wrong passphrase would be noticed only at the restore, when the old appliance is off.
    """
    path = quote(archive.path)
    if not archive.encrypted:
        script = f"{_LIST}; list < {path}; {_WHOLE.format(path=path)}; echo '@gpg 0'"
        stdin = b""
    else:
        if passphrase is None:
            return Proof(opened=False, members=(), why_not="it is encrypted, and no passphrase was given")
        # A separate GNUPGHOME in memory: no agent, socket or cached passphrase stays on the appliance.
        script = (
            f"{_LIST}; umask 077; home=$(mktemp -d {quote(appliance.paths.tmpfs)}/.tscm-migrate.XXXXXXXX) || exit 45; "
            'export GNUPGHOME="$home"; '
            'trap \'gpgconf --kill all 2>/dev/null; rm -rf "$home"\' EXIT; trap "exit 129" HUP INT TERM; '
            "loop=--pinentry-mode=loopback; gpg --version | head -n 1 | grep -q ' 1\\.\\| 2\\.0' && loop=; "
            f'{{ gpg --batch --no-tty --quiet $loop --passphrase-fd 0 --decrypt {path} 2>"$home/said"; '
            f'echo $? >"$home/status"; }} | list; '
            'tail -n 3 "$home/said" >&2; echo "@gpg $(cat "$home/status")"'
        )
        stdin = passphrase.reveal().encode() + b"\n"
    result = appliance.run(script, stdin=stdin, timeout=timeout, check=False, display=f"open and list {archive.path}")
    status = re.findall(r"^@gpg ([0-9]{1,3})$", result.stdout, re.MULTILINE)
    if status[-1:] != ["0"]:
        printed = outside(result.stderr, lines=True).strip().splitlines()
        return Proof(opened=False, members=(), why_not=(printed[-1][:200] if printed else "gpg could not decrypt it"))
    if re.search(r"^@refused$", result.stdout, re.MULTILINE):
        why = "archive refused: listing it takes more memory than any backup"
        return Proof(opened=False, members=(), why_not=why)
    if re.search(r"^@damaged$", result.stdout, re.MULTILINE):
        return Proof(opened=False, members=(), why_not="it is damaged: it cannot be read to its end")
    if re.search(r"^@tar no$", result.stdout, re.MULTILINE):
        return Proof(opened=True, members=(), why_not="it is not a tar that can be listed")
    members = tuple(line for line in result.stdout.splitlines() if line and not line.startswith("@"))
    return Proof(opened=True, members=members[:5000])


# Neither the packing nor the compression is documented. tar detects a compression only in a file, not
# in a pipe, so the first bytes are inspected here. All data is read to its end, because gpg would fail otherwise.
# tar reads a header of any size into memory, awk a line. An archive that needs more memory is refused.
_LIST = r"""ulimit -v 1048576; list() { magic=$(dd bs=1 count=6 2>/dev/null | od -An -v -to1 | tr -d '\n'); kind=;
case $magic in
' 037 213'*) kind=-z ;; ' 102 132 150'*) kind=-j ;; ' 375 067 172 130 132'*) kind=-J ;;
' 050 265 057 375'*) kind=--zstd ;; ' 114 132 111 120'*) kind=--lzip ;;
esac
{ printf "$(printf %s "$magic" | sed 's/ /\\/g')"; cat; } |
{ { tar -t $kind -f - 2>&1 >&3 3>&- || echo '@tar no' >&3; } | awk '/[Mm]emory/ { print "@refused" }' >&3
cat >/dev/null; } 3>&1 | awk '{ n += length($0) } (NR <= 20000 && n < 4000000) || /^@(tar no|refused)$/'; }"""

# Damage of a plain archive is found by the checksum of its compression, or by the end of the tar.
_WHOLE = r"""case $(dd if={path} bs=1 count=6 2>/dev/null | od -An -v -to1 | tr -d '\n') in
' 037 213'*) test=gzip ;; ' 102 132 150'*) test=bzip2 ;; ' 375 067 172 130 132'*) test=xz ;;
' 050 265 057 375'*) test=zstd ;;
*) test=; tarred=$(dd if={path} bs=1 skip=257 count=5 2>/dev/null);
   [ "$tarred" != ustar ] || tar -tf {path} >/dev/null 2>&1 || echo @damaged ;;
esac; if [ -n "$test" ] && command -v $test >/dev/null; then $test -t < {path} >/dev/null 2>&1 || echo @damaged; fi"""


@dataclass(frozen=True)
class ArchiveIdentity:
    """Whose archive it is: fingerprints of host keys, and addresses in network settings."""

    host_keys: tuple[str, ...]
    addresses: tuple[str, ...]


def identity_in(
    appliance: Appliance, archive: Archive, passphrase: Secret | None, *, timeout: float = 3600.0
) -> ArchiveIdentity:
    """Read the public host keys and the network settings from a tar.gz archive; empty if there are none.

    Nothing is written to a disk; the private keys stay in the archive.

    Raises:
        ArchiveRefused: reading it takes more memory than any backup.
    """
    path, home = quote(archive.path), f"{quote(appliance.paths.tmpfs)}/.tscm-migrate.XXXXXXXX"
    wanted = "'*ssh_host_*_key.pub' '*network/interfaces' '*netplan/*.yaml' '*network-scripts/ifcfg-*'"
    unpack = (
        f"ulimit -v 1048576; {{ LC_ALL=C tar -xzOf - --wildcards {wanted} 2>&1 >&3 3>&- | "
        "awk '/[Mm]emory/ { print \"\\n@refused\" }' >&3; } 3>&1 | head -c 1000000"
    )
    if archive.encrypted:
        if passphrase is None:
            return ArchiveIdentity((), ())
        script = (
            f'umask 077; home=$(mktemp -d {home}) || exit 45; export GNUPGHOME="$home"; '
            'trap \'gpgconf --kill all 2>/dev/null; rm -rf "$home"\' EXIT; trap "exit 129" HUP INT TERM; '
            "loop=--pinentry-mode=loopback; gpg --version | head -n 1 | grep -q ' 1\\.\\| 2\\.0' && loop=; "
            f"gpg --batch --no-tty --quiet $loop --passphrase-fd 0 --decrypt {path} 2>/dev/null | {{ {unpack}; }}"
        )
        stdin = passphrase.reveal().encode() + b"\n"
    else:
        script, stdin = f"cat {path} | {{ {unpack}; }}", b""
    text = appliance.run(
        script, stdin=stdin, timeout=timeout, check=False, display=f"read whose backup {archive.name} is"
    ).stdout
    if re.search("^@refused$", text, re.MULTILINE):
        raise ArchiveRefused(f"{archive.name}: archive refused: reading it takes more memory than any backup")
    keys = parsers.host_keys(text, appliance.paths)["host_keys"]
    found = re.findall(r"(?:^\s*address|IPADDR\d*\s*=|-)\s*['\"]?(\d{1,3}(?:\.\d{1,3}){3})\b", text, re.MULTILINE)
    return ArchiveIdentity(tuple(key for _, key in keys), tuple(dict.fromkeys(found)))
