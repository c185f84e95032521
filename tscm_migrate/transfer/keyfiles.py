"""The files by which sshd lets a login in: their state, and how a line is added and removed. Sh source.

The script of `state` runs as root, since a file may belong to root; the others run as the login user, so that a link
never makes root write elsewhere. Lines of ours end in a mark and are found by it.
"""

from __future__ import annotations

from tscm_migrate.appliance.appliance import quote

MARK = "tscm-migrate-transfer"  # in the key's comment and in folder names
OURS = f" {MARK}-[0-9a-f][0-9a-f]*$"  # grep: a line of ours
GOOD_FOR = 12  # hours
FORCED = 45  # exit status: a ForceCommand of sshd would take the place of a key's own command
OVERRIDDEN = f'[ -z "${{SSH_ORIGINAL_COMMAND+x}}" ] || exit {FORCED}; '  # so it is for this very login

# The files that sshd reads by default, what its configuration names instead, and what it runs or reads at a login.
_EACH = r"""
set -f
for f in .ssh/authorized_keys .ssh/authorized_keys2 .ssh/rc .ssh/environment $(
  printf '%s\n' "$sshd" | sed -n 's/^authorizedkeysfile //p'
); do
  [ "$f" != none ] || continue
  while :; do case $f in
    *%h*) f=${f%%\%h*}$h${f#*\%h} ;;
    *%u*) f=${f%%\%u*}$u${f#*\%u} ;;
    *) break ;;
  esac; done
  case $f in /*) ;; *) f=$h/$f ;; esac
"""


def _configured(user: str, address: str) -> str:
    """Set $sshd to the configuration that sshd has for this login; only root can read all of it."""
    who = quote(f"user={user},host={address},addr={address}")
    return f"sshd=$(PATH=$PATH:/usr/sbin:/sbin; sshd -T -C {who} 2>/dev/null); "


def forced(user: str, address: str) -> str:
    """Exit with FORCED where sshd's configuration has a ForceCommand for this login from this address; runs as root."""
    found = "$(printf '%s\\n' \"$sshd\" | sed -n 's/^forcecommand //p')"
    return f"{_configured(user, address)}case {found} in ''|none) ;; *) exit {FORCED} ;; esac; "


def state(home: str, user: str, aside: str) -> str:
    """Print a line for each file: its name, where it leads, mode, owner and SHA-256 without lines of ours.

    A file that is empty but for lines of ours counts as absent: it may have been made for them. The lines are also kept
    in the file `aside`, for a later process to compare.
    """
    body = rf"""
  [ -e "$f" ] || {{ echo "$f: absent"; continue; }}
  r=$(readlink -f "$f" 2>/dev/null) || r=$f
  if [ ! -f "$r" ]; then echo "$f: $r: not a regular file"
  elif ! grep -aqv {quote(OURS)} "$r"; then echo "$f: absent"
  else s=$(grep -av {quote(OURS)} "$r" | sha256sum); echo "$f: $r: $(stat -c '%a %u:%g' "$r") ${{s%% *}}"; fi
done"""
    keep = f" | tee {quote(aside)}" if aside else ""
    return f"{_configured(user, '127.0.0.1')}h={quote(home)}; u={quote(user)}; {{ {_EACH}{body}\n}}{keep}"


def add(line: str, mark: str) -> str:
    """Append a line to the login's authorized_keys, through a link where it is one; print the file that was changed.

    `line` begins with its options, `mark` ends it. sshd reads `expiry-time` in the system's zone, whatever zone the
    login has; since OpenSSH 9.1 a Z means UTC. sshd refuses a line with an option that it does not know: expiry-time is
    known since 7.7, restrict since 7.2; before, each restriction is named.
    """
    return (
        "set -e; umask 077; mkdir -p ~/.ssh; f=$(readlink -f ~/.ssh/authorized_keys); "
        '[ -n "$f" ] && { [ ! -e "$f" ] || [ -f "$f" ]; } || { echo "authorized_keys is not a file" >&2; exit 1; }; '
        "v=$(ssh -V 2>&1 | sed -n 's/^OpenSSH_\\([0-9]*\\)\\.\\([0-9]*\\).*/\\1 \\2/p'); set -- $v; "
        f"at=$(($(date +%s) + {GOOD_FOR * 3600})); o=restrict; "
        'if [ "${1:-9}" -gt 9 ] || { [ "$1" = 9 ] && [ "$2" -ge 1 ]; }; then '
        'o="restrict,expiry-time=\\"$(date -u -d "@$at" +%Y%m%d%H%M)Z\\""; '
        'elif [ "${1:-7}" -gt 7 ] || { [ "$1" = 7 ] && [ "$2" -ge 7 ]; }; then '
        'o="restrict,expiry-time=\\"$(unset TZ; date -d "@$at" +%Y%m%d%H%M)\\""; '
        'elif [ "${1:-7}" -lt 7 ] || { [ "$1" = 7 ] && [ "$2" -lt 2 ]; }; then '
        "o=no-pty,no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-user-rc; fi; "
        '[ -z "$(tail -c 1 "$f" 2>/dev/null)" ] || echo >> "$f"; '
        f'printf \'%s,%s {mark}\\n\' "$o" {quote(line)} >> "$f"; printf \'%s\\n\' "$f"'
    )


def remove(mark: str, files: str = "") -> str:
    """Remove the lines that end in `mark` (a grep pattern) from authorized_keys and from `files` (sh words).

    The file is replaced where the login owns it, so that it is never half written; mode and owner stay. One that has
    other names, too, is written in place: under those the line would stay.
    """
    pattern = quote(f" {mark}$")
    return (
        f'for f in ~/.ssh/authorized_keys {files}; do f=$(readlink -f "$f" 2>/dev/null) && [ -f "$f" ] || continue; '
        f'grep -aq {pattern} "$f" || continue; t=$f.{MARK}.tmp; '
        'if [ -O "$f" ] && [ "$(stat -c %h "$f")" = 1 ] && rm -f "$t" && cp -p "$f" "$t" 2>/dev/null; then '
        f'{{ grep -av {pattern} "$f" > "$t"; [ $? -le 1 ]; }} && mv -f "$t" "$f"; '
        f'else kept=$(grep -av {pattern} "$f"); '
        '{ [ -z "$kept" ] || printf \'%s\\n\' "$kept"; } > "$f"; fi; done; '
    )
