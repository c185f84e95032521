"""Shell source for the files that decide who may log in: prints their state, adds and removes our lines.

The script of `state` runs as root, because a file may belong to root; the others run as the login user, so that root
never writes through a link. Our lines end with a mark, by which they are found.
"""

from tscm_migrate.appliance.appliance import quote

MARK = "tscm-migrate-transfer"  # in the comment of a key and in folder names
OURS = f" {MARK}-[0-9a-f][0-9a-f]*$"  # grep pattern of our lines
GOOD_FOR = 12  # hours
FORCED = 45  # exit status: sshd has a ForceCommand, which runs instead of the command of a key
OVERRIDDEN = f'[ -z "${{SSH_ORIGINAL_COMMAND+x}}" ] || exit {FORCED}; '  # so it is for the present login

# The files that sshd reads by default or by its configuration, and those that it runs or reads at a login.
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
    """Return source that sets $sshd to the configuration for this login; only root can read all of it."""
    who = quote(f"user={user},host={address},addr={address}")
    return f"sshd=$(PATH=$PATH:/usr/sbin:/sbin; sshd -T -C {who} 2>/dev/null); "


def forced(user: str, address: str) -> str:
    """Return source that exits with FORCED if sshd has a ForceCommand for this login and address; runs as root."""
    found = "$(printf '%s\\n' \"$sshd\" | sed -n 's/^forcecommand //p')"
    return f"{_configured(user, address)}case {found} in ''|none) ;; *) exit {FORCED} ;; esac; "


def state(home: str, user: str, aside: str) -> str:
    """Return source that prints a line for each file: name, real path, mode, owner, and SHA-256 without our lines.

    A file that contains only our lines is printed as absent: it may have been created for them. The output is also
    written to the file `aside`, for a later process.
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
    """Return source that appends a line to authorized_keys of the login (links are followed) and prints that file.

    `line` begins with its options; `mark` is its end. sshd reads `expiry-time` in the time zone of the system, not of
    the login; since OpenSSH 9.1 a Z means UTC. sshd refuses a line with an unknown option: expiry-time exists since
    7.7, restrict since 7.2; before that, each restriction is listed.
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
    """Return source that removes the lines with `mark` (a grep pattern) from authorized_keys and `files` (sh words).

    A file of the login is replaced, so that it is never incomplete; mode and owner stay. A file with several hard links
    is written in place, because the line would stay under the other names.
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
