"""Markers on an appliance: which of its archives have a verified copy off-site.

The purge of `schedule` deletes nothing else. `schedule` creates the folder; without it, nothing is written. All markers
are written again after each pull, so that a copy that is gone from the store has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.appliance.backup_schedule import MARKERS
from tscm_migrate.archive.names import acceptable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tscm_migrate.ssh.shell import Shell


def leave(shell: Shell, verified: Mapping[str, str]) -> None:
    """Write one marker for each archive, and remove all others.

    Args:
        shell: a connection to the appliance.
        verified: name of an archive → the SHA-256 that it had on the appliance when the copy was made.

    Raises:
        SshError: they could not be written.
    """
    folder = quote(f"{shell.host.paths.backup_dir}/{MARKERS}")
    script = (
        f'd={folder}; [ -d "$d" ] && [ ! -L "$d" ] || exit 0; cd "$d" && umask 077 && rm -f ./threatstop_backup_* && '
        'while read -r sum name; do printf "%s\\n" "$sum" >"./$name" || exit 1; done'
    )
    lines = "".join(f"{sum_} {name}\n" for name, sum_ in verified.items() if acceptable(name) and sum_)
    shell.run(script, stdin=lines.encode(), display="mark what has a verified copy off-site")
