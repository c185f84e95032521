"""The last part of every transfer: a staged file becomes the archive, with the right owner and mode, or never."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.appliance.base import quote
from tscm_migrate.appliance.names import acceptable
from tscm_migrate.errors import TransferError

if TYPE_CHECKING:
    from tscm_migrate.appliance.base import Appliance
    from tscm_migrate.site import Archive

MODE = "0664"  # documented for the restore; while it is staged the file is 0600, since an archive holds secrets


def staged(target: Appliance, archive: Archive) -> str:
    """Path of the unfinished file: beside the final name, and with an ending that the restore does not index."""
    return f"{target.paths.backup_dir}/.{archive.name}.part"


def prepare(target: Appliance, archive: Archive) -> bool:
    """Make the folder, owned as documented, and see whether the archive is there already.

    Returns:
        True when the same archive (SHA-256) is there under its final name, so that nothing is to be sent.

    Raises:
        TransferError: an unusable name, another file of that name, or too little space.
        SshError: the folder cannot be made.
    """
    if not acceptable(archive.name):
        raise TransferError(f"{archive.name!r} is no name of an archive; nothing was copied")
    folder, user = quote(target.paths.backup_dir), quote(target.host.user)
    final = quote(f"{target.paths.backup_dir}/{archive.name}")
    script = (
        f"[ -d {folder} ] || install -d -o {user} -g {user} -m 0775 {folder} || exit 1; "
        f"if [ -L {final} ]; then echo link; elif [ -e {final} ]; then sha256sum < {final}; else echo none; fi; "
        f"df -Pk {folder} | tail -n 1"
    )
    lines = target.run(
        script, sudo=True, timeout=3600.0, display=f"prepare {target.paths.backup_dir}"
    ).stdout.splitlines()
    there = lines[0].split()[0] if lines else "none"
    if there == archive.sha256:
        return True
    if there != "none":
        raise TransferError(
            f"{target.paths.backup_dir}/{archive.name} is on {target.name} already, with other content; "
            "it was not overwritten",
            f"look at it, and move it away: ssh {target.host.user}@{target.host.address}",
        )
    _room(target, archive, lines[1] if len(lines) > 1 else "")
    return False


def _room(target: Appliance, archive: Archive, df: str) -> None:
    words = df.split()
    free = int(words[3]) * 1024 if len(words) > 3 and words[3].lstrip("-").isdigit() else None
    if free is not None and free < archive.size + (1 << 20):
        raise TransferError(
            f"{target.name} has {free / 1e6:.1f} MB free at {target.paths.backup_dir}, {archive.name} "
            f"has {archive.size / 1e6:.1f} MB",
            "delete old archives there, or enlarge its disk",
        )


def finish(target: Appliance, archive: Archive) -> None:
    """Check the staged file's hash on its own disk, give it owner and mode, and only then its final name.

    Raises:
        TransferError: the hash differs (the staged file is then removed), or the name has been taken meanwhile.
    """
    part, user = quote(staged(target, archive)), quote(target.host.user)
    final = quote(f"{target.paths.backup_dir}/{archive.name}")
    # `ln` fails where the final name exists: a check and a rename in one, unlike `mv`.
    script = (
        f"set -e; sync {part} 2>/dev/null || sync; h=$(sha256sum < {part}); h=${{h%% *}}; "
        f'if [ "$h" != {quote(archive.sha256)} ]; then rm -f {part}; echo "$h"; exit 46; fi; '
        f"chown {user}:{user} {part}; chmod {MODE} {part}; ln -T {part} {final} || exit 47; rm -f {part}"
    )
    result = target.run(script, sudo=True, timeout=3600.0, check=False, display=f"check and name {archive.name}")
    if result.status == 46:
        raise TransferError(
            f"the copy of {archive.name} on {target.name} has SHA-256 {result.stdout.strip()}, "
            f"not {archive.sha256}; it was removed",
            "run again; if it happens twice, look at that disk and at the memory of the machine",
        )
    if result.status == 47:
        raise TransferError(f"{archive.name} has appeared on {target.name} meanwhile; it was not overwritten")
    if result.status != 0:
        raise TransferError(
            f"{archive.name} could not be put in place on {target.name}: {result.stderr.strip()[-200:]}"
        )
