"""Lists the archives in the folders of an appliance: the shell script and the parser of its output.

Only a listing that reached its end can show that there is nothing. A missing folder, a folder that cannot be read, an
incomplete listing and a failed command are distinguished.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from tscm_migrate.archive import dated
from tscm_migrate.archive.names import acceptable
from tscm_migrate.model import Archive

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
if ! said=$(LC_ALL=C ls -a "$d/." 2>&1 >/dev/null); then
case $said in *"No such file"*|*"not found"*) bad=missing ;; *) bad=${said:-ls failed} ;; esac
elif [ ! -x "$d" ]; then bad='Permission denied'
else some "$d"/threatstop_backup_DAY_TIME.tsbak; some "$d"/threatstop_backup_DAY_TIME.tsbak.gpg
some "$d"/threatstop_latest.tsbak; some "$d"/threatstop_latest.tsbak.gpg; fi
printf '@end\t%s\t%s\n' "$1" "$(printf %s "$bad" | tr '\n\t' '  ' | cut -c1-200)"; }
printf '@zone\t%s\n' "$(date +%z)"
look backup FOLDER; look home "${HOME:-/nonexistent}"
""".replace("DAY", _DAY).replace("TIME", _TIME)


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


def script(folder: str) -> str:
    """Return shell source that lists the archives in `folder` (quoted) and in the home folder."""
    return _SCRIPT.replace("FOLDER", folder)


def parse(text: str) -> FolderListing:
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
    times = dated.corrected([(archive.name, modified) for archive, modified in files.values()], zone)
    archives = tuple(dated.at(archive, when) for (archive, _), when in zip(files.values(), times.taken, strict=True))
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
    if mode == _REGULAR and acceptable(name) and _NUMBER.fullmatch(size):
        when = float(modified) if _NUMBER.fullmatch(modified) else 0.0
        files.setdefault(path, (Archive(name, folder, int(size)), when))
    elif mode == _LINK and _LINKS.fullmatch(name) and path not in links:
        links.append(path)
