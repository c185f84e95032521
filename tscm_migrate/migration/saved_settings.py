"""Save the new appliance's own settings, host keys and devices on itself before a restore, and restore them."""

from pathlib import PurePosixPath

from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.errors import ApplianceError

OWN_SETTINGS, REHEARSAL = "own-settings", "rehearsal"  # names of the files that keep the new appliance's own settings
# What a restore may overwrite on the new appliance.
_SETTINGS = (
    "etc/network etc/netplan etc/sysconfig/network-scripts etc/NetworkManager/system-connections etc/hostname "
    "etc/hosts etc/bind etc/named etc/named.conf"
)


def root_of(new: Appliance) -> str:
    """Return the folder below which its files are, with a final slash; not "/" for an appliance of the demo."""
    path = new.paths.os_release
    return path.removesuffix("etc/os-release") if path.endswith("/etc/os-release") else "/"


def places(new: Appliance) -> tuple[str, ...]:
    """Return the folders and files of the new appliance whose content a rollback restores; absolute paths."""
    cron = str(PurePosixPath(new.paths.cron_entry).parent)
    return (*(f"{root_of(new)}{place}" for place in _SETTINGS.split()), cron, new.paths.etc_dir, new.paths.ssh_dir)


def shell_words(new: Appliance) -> str:
    """Return the same folders and files, host keys excepted, as words of a shell command."""
    root, cron = root_of(new), str(PurePosixPath(new.paths.cron_entry).parent)
    paths = [f"{root}{one}" for one in _SETTINGS.split()] + [cron, new.paths.etc_dir]
    return " ".join(quote(one.strip("/")) for one in paths)


def save(new: Appliance, name: str = OWN_SETTINGS) -> bool:
    """Save what a restore may change of the new appliance on itself, readable by root alone; False if that failed.

    The cutover and the rehearsal each have a name of their own in its hold folder.
    """
    folder, settings = quote(new.paths.hold_dir), shell_words(new)
    looked_at = f"{folder.lstrip('/')}/{name}.list"
    script = (
        f"set -eu; umask 077; mkdir -p {folder}; rm -f {folder}/{name}.*; cd /; set -- {looked_at}; "
        f"for f in {settings} {quote(new.paths.ssh_dir.lstrip('/'))}/ssh_host_*; do "
        '[ -e "$f" ] && set -- "$@" "$f"; done; '
        f"printf '%s\\n' {settings} >{looked_at}; "
        f'tar -cpf {folder}/{name}.part "$@"; rm -f {looked_at}; mv {folder}/{name}.part {folder}/{name}.tar'
    )
    done = new.run(
        script, sudo=True, check=False, timeout=600.0, display="save its own settings, host keys and devices"
    )
    return done.status == 0


def exists(new: Appliance, name: str) -> bool:
    """Whether settings are saved on the new appliance under this name."""
    file = quote(f"{new.paths.hold_dir}/{name}.tar")
    return new.run(f"test -e {file}", sudo=True, check=False, display="are its settings saved?").status == 0


def restore(new: Appliance, name: str = OWN_SETTINGS) -> None:
    """Restore the settings saved under a name; those of the network take effect at its next boot.

    Raises:
        ApplianceError: they do not exist, or could not be restored.
    """
    folder, settings = quote(new.paths.hold_dir), shell_words(new)
    tar, looked_at = f"{folder}/{name}.tar", f"{folder.lstrip('/')}/{name}.list"
    script = (
        f"set -eu; cd /; there=$(tar -tf {tar}); looked_at=$(tar -xOf {tar} {looked_at} 2>/dev/null || :); "
        'has() { printf "%s\\n" "$there" | grep -q "^$1$2"; }; '
        f"for d in {settings}; do "
        # remove files that the restore has added: they would take effect beside the original ones
        'if has "$d" /; then find "/$d" -mindepth 1 -maxdepth 1 -exec rm -rf {} +; '
        # and folders that did not exist
        'elif printf "%s\\n" "$looked_at" | grep -qxF "$d" && ! has "$d" "\\$"; then rm -rf "/$d"; fi; done; '
        f"tar -xpf {tar}; for d in {settings}; do "
        'if [ -e "/$d" ] && command -v restorecon >/dev/null; then restorecon -R "/$d" || :; fi; done; '
        f"rm -f {tar} {looked_at}; rmdir {folder} 2>/dev/null || :; sync"
    )
    done = new.run(
        script, sudo=True, check=False, timeout=600.0, display="restore its own settings, host keys and devices"
    )
    if done.status != 0:
        raise ApplianceError(new.name, f"its own settings could not be restored: {done.error_output}")


def remove(appliance: Appliance, *, rehearsal_only: bool = False) -> None:
    """Remove the saved settings from the new appliance; a rollback is then no longer possible.

    With `rehearsal_only`, what the cutover has saved is kept: a rollback of an earlier run may still need it.
    """
    folder = quote(appliance.paths.hold_dir)
    names = [REHEARSAL] if rehearsal_only else [REHEARSAL, OWN_SETTINGS]
    files = " ".join(f"{folder}/{name}.{end}" for name in names for end in ("tar", "part", "list"))
    appliance.run(f"rm -f {files}; rmdir {folder} 2>/dev/null || :", sudo=True, display="remove its saved settings")
