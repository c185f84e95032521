"""Apply retention on the appliance: delete an archive there only if a verified off-site copy exists."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.archive import names
from tscm_migrate.errors import ApplianceError, OffsiteError
from tscm_migrate.model import Archive
from tscm_migrate.offsite import prune, pull
from tscm_migrate.offsite.catalog import Catalog, Copy
from tscm_migrate.offsite.retention import Aged, RetentionPolicy, Verdict, in_order, retain
from tscm_migrate.offsite.stores.base import Store
from tscm_migrate.offsite.verify import check
from tscm_migrate.ssh.shell import Shell


@dataclass(frozen=True)
class ApplianceArchive:
    """One archive in an appliance's backup folder, the verdict, and its verified off-site copy if there is one."""

    archive: Archive
    verdict: Verdict
    copy: Copy | None

    def as_dict(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "v": 1, "host": self.verdict.copy.host, "archive": self.archive.name, "keep": self.verdict.keep,
            "reasons": list(self.verdict.reasons), "copy": self.copy.id if self.copy else None,
        }  # fmt: skip


def plan(shell: Shell, catalog: Catalog, policy: RetentionPolicy, now: datetime) -> list[ApplianceArchive]:
    """Decide which archives to delete, newest first; delete nothing.

    Raises:
        PruneRefused: the clock went back. SshError: the archives could not be listed.
    """
    prune.check_clock(catalog, now)
    prune.refuse_unreadable(catalog)
    host, folder = shell.host.name, shell.host.paths.backup_dir
    here = {one.name: one for one in pull.look(shell).archives if one.folder == folder}
    copies = {copy.manifest.archive: copy for copy in reversed(catalog.of(host)) if copy.verified_at}
    aged = []
    for name, archive in here.items():
        taken, copy = names.when(archive), copies.get(name)
        if taken is not None:
            pulled = (copy.tags, copy.manifest.pulled_at, copy.manifest.behind) if copy else ()
            aged.append(Aged(host, name, taken, copy is not None, *pulled))
    found = []
    for verdict in retain(in_order(aged), policy, now):
        copy = copies.get(verdict.copy.id)
        if copy is None and not verdict.keep:
            verdict = replace(verdict, keep=True, reasons=("no verified copy off-site",))  # noqa: PLW2901
        found.append(ApplianceArchive(here[verdict.copy.id], verdict, copy))
    return found


def thin(shell: Shell, store: Store, found: list[ApplianceArchive]) -> Iterator[tuple[ApplianceArchive, str]]:
    """Delete the archives to delete; yield each with "", or why it was kept after all.

    Immediately before each deletion, the copy is read from the store again, and the archive is hashed on the appliance.
    """
    gone = 0
    for one in found:
        if one.verdict.keep or one.copy is None:
            continue
        why = _unsafe(shell, store, one.archive, one.copy)
        if not why:
            shell.run(f"rm -f {quote(one.archive.path)}", sudo=True, display=f"delete {one.archive.path}")
            gone += 1
        yield one, why
    if gone:
        links = "-maxdepth 1 -name 'threatstop_latest*' -type l ! -exec test -e {} \\; -delete"
        script = f"find {quote(shell.host.paths.backup_dir)} {links}"
        shell.run(script, sudo=True, display="remove links that point nowhere")


def _unsafe(shell: Shell, store: Store, archive: Archive, copy: Copy) -> str:
    try:
        why = check(store, copy)
    except OffsiteError as error:
        why = error.message()
    if why:
        return f"its copy could not be read right: {why}"
    try:
        same = pull.hash_of(shell, archive) == copy.manifest.source_sha256
    except ApplianceError as error:
        return error.message()
    return "" if same else "it is not what was copied: it has changed since"
