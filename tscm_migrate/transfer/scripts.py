"""What an appliance is told to do at its end of a transfer: sh source, made by pure functions."""

from __future__ import annotations

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.appliance.archives import NOT_REGULAR
from tscm_migrate.archive import hashing
from tscm_migrate.transfer.keyfiles import MARK

MODE = "0664"  # documented for the restore; an unfinished copy is 0600, since an archive holds secrets
WRONG_HASH, TAKEN, WRONG_SIZE = 46, 47, 48


def only_regular(path: str) -> str:
    """NOT_REGULAR for anything but a plain file; for a link, too: root would read what it points to."""
    p = quote(path)
    return f"[ -f {p} ] && [ ! -L {p} ] || exit {NOT_REGULAR}; "


def look(folder: str, final: str, part: str, user: str) -> str:
    """Make the folder, and say in lines what is there: `final` (none, link, or its SHA-256), `part` (size), `free`.

    An unfinished copy may still be held open by a writer whose connection died without a word; it is ended, or it
    would go on writing behind our back. A link in its place is removed: root would write to where it points.
    """
    d, f, p, u = quote(folder), quote(final), quote(part), quote(user)
    landed = quote(f"{folder}/.{MARK}-*/{part.rpartition('/')[2]}*")  # a hard link; see `authorise`
    return (
        f"[ -d {d} ] || install -d -o {u} -g {u} -m 0775 {d} || exit 1; "
        f"if [ -L {f} ]; then echo final link; elif [ -e {f} ]; then printf 'final '; {hashing.of_file(f)}; "
        "else echo final none; fi; "
        f"if [ -L {p} ] || {{ [ -e {p} ] && [ ! -f {p} ]; }}; then rm -rf {p}; fi; "
        f"if [ -f {p} ]; then "
        f"if find / -maxdepth 0 -lname x 2>/dev/null; then "
        f"open=$(find /proc/[0-9]*/fd -lname {p} -o -lname {landed} 2>/dev/null); "
        # busybox's find has no -lname
        f'else open=$(for fd in /proc/[0-9]*/fd/*; do [ ! "$fd" -ef {p} ] || echo "$fd"; done); fi; '
        "for fd in $open; do "
        "pid=${fd#/proc/}; pid=${pid%%/*}; kill -9 $pid 2>/dev/null; i=0; "
        "while [ -e /proc/$pid/fd/0 ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); "
        f"done; done; echo part $(stat -c %s {p}); fi; "
        f"echo free $(df -Pk {d} | tail -n 1)"
    )


def begin(part: str, user: str, offset: int) -> str:
    """A private copy of exactly `offset` bytes that belongs to the login user."""
    p, u = quote(part), quote(user)
    fresh = f"rm -f {p}; (umask 077; set -C; : > {p}); " if offset == 0 else ""
    return f"set -e; {fresh}[ $(stat -c %s {p}) = {offset} ]; chmod 0600 {p}; chown {u}: {p}"


def append(part: str, offset: int) -> str:
    """Append standard input, where there are `offset` bytes as agreed."""
    p = quote(part)
    same = f'[ "$(stat -c %s {p})" = {offset} ]'
    return f'{same} || {{ echo "it has another size" >&2; exit {WRONG_SIZE}; }}; exec cat >> {p}'


def finish(part: str, final: str, sha256: str, user: str) -> str:
    """Check the hash on the disk, give owner and mode, and only then the final name.

    `ln` fails where the final name exists: a check and a rename in one, unlike `mv`.
    """
    p, f, u = quote(part), quote(final), quote(user)
    return (
        f"set -e; sync {p} 2>/dev/null || sync; h=$({hashing.of_file(p)}); "
        f'if [ "$h" != {quote(sha256)} ]; then rm -f {p}; echo "$h"; exit {WRONG_HASH}; fi; '
        f"chown {u}: {p}; chmod {MODE} {p}; ln -T {p} {f} || exit {TAKEN}; rm -f {p}"
    )
