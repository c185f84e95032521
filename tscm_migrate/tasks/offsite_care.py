"""`offsite verify|drill|prune|clean|status|tag`: check and tidy up the copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import ApplianceError, Exit, Locked, MigrateError, SshError, UsageError
from tscm_migrate.model import Host
from tscm_migrate.tasks.base import agreed, command
from tscm_migrate.tasks.offsite import COMMON, HOSTS, catalog_of, desk_of, lines, now_utc, warnings
from tscm_migrate.ui.console import as_it_is, say
from tscm_migrate.util.redact import outside
from tscm_migrate.util.text import duration_option

if TYPE_CHECKING:
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.offsite.appliance_retention import ApplianceArchive
    from tscm_migrate.offsite.context import OffsiteContext
    from tscm_migrate.offsite.stores.base import Store


@command(
    help={**HOSTS, **COMMON, "sample": ("N|N%", "Number or share of the copies to read (default: all).")},
    trailing="host",
    iterable=["host", "group"],
)
def verify(
    _context: Any,
    host: list[str],
    group: list[str],
    sample: str = "",
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> int:
    """Re-read and re-hash stored copies, least recently verified first.

    Examples:
        tscm-migrate offsite verify --sample 10%
        tscm-migrate offsite verify tscm-old
    """
    from tscm_migrate.offsite import verify as room

    wrong = 0
    with desk_of(inventory, store) as desk:
        catalog = catalog_of(desk, host, group)
        for result in room.verify(desk.store, room.sample(catalog.copies, sample), now_utc()):
            wrong += bool(result.why)
            row = {"v": 1, "host": result.copy.host, "copy": result.copy.id, "ok": not result.why, "why": result.why}
            if json:
                lines([row])
            else:
                bad = f"{'DAMAGED' if result.known else 'NOT READ'}: {outside(result.why)}"
                say(f"{result.copy.host}: {result.copy.id}: {bad if result.why else 'ok'}")
    if wrong:
        return Exit.FAILED
    return Exit.ATTENTION if catalog.unreadable else Exit.DONE


@command(
    positional=["host"],
    help=COMMON,
)
def drill(
    _context: Any,
    host: str,
    copy: str = "latest",
    passphrase_file: str | None = None,
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> int:
    """Test that a copy can be restored.

    Downloads, decrypts and unpacks it in memory, and lists its devices.

    A copy without devices fails. If the layout of the archive is not known, the exit code is 4, unless the devices
    that the inventory lists are in it.

    Examples:
        tscm-migrate offsite drill tscm-old
    """
    from tscm_migrate.migration.participants import host_of
    from tscm_migrate.offsite import verify as room

    with desk_of(inventory, store, passphrase_file=passphrase_file) as desk:
        chosen = desk.catalog([host]).find(host, copy)
        sealed = chosen.manifest.encrypted == "passphrase"
        known = host_of(desk.inventory, host)
        phrase = desk.secrets.passphrase(known) if sealed else None
        done = room.drill(desk.store, chosen, phrase, now_utc(), host=known)
    if json:
        ok = False if done.why else None if done.unknown else True
        shown = {
            "v": 1,
            "host": host,
            "copy": chosen.id,
            "ok": ok,
            "why": done.why or done.unknown,
            "files": done.files,
        }
        lines([{**shown, "size": done.size, "devices": list(done.devices)}])
    else:
        verdict = "FAILED" if done.why else "UNKNOWN" if done.unknown else "ok"
        say(f"{host}: {chosen.id}: {verdict}: {outside(done.detail)}")
        if done.unknown and not done.why:
            say(f"  list its devices in the inventory, and run it again: [hosts.{host}] devices = [...]")
    return Exit.FAILED if done.why else Exit.ATTENTION if done.unknown else Exit.DONE


@command(
    help={
        **HOSTS,
        **COMMON,
        "there": "Delete archives on the appliances instead, if a verified copy of each is off-site.",
        "dry_run": "Only list what would be deleted, and why.",
        "yes": "Don't ask for confirmation (required without a terminal, if something has to be confirmed).",
    },
    trailing="host",
    iterable=["host", "group"],
)
def prune(
    _context: Any,
    host: list[str],
    group: list[str],
    there: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> int:
    """Delete copies that [offsite.keep] does not keep.

    Never deletes the newest verified copy of a host. Asks before it deletes more than half of a host's copies, or if
    unusually many new copies were pulled. With --there it always asks.

    Examples:
        tscm-migrate offsite prune --dry-run
        tscm-migrate offsite prune tscm-old --there --yes
    """
    from tscm_migrate.offsite import prune as room
    from tscm_migrate.ui import offsite_views

    words = ["offsite", "prune", *_words(host, group, store, inventory), *(["--there"] if there else []), "--yes"]
    if there:
        return _prune_there(inventory, store, (host, group), words, dry_run=dry_run, yes=yes, json=json)
    with desk_of(inventory, store) as desk:
        plan = room.plan(catalog_of(desk, host, group), desk.settings.keep.policy(), now_utc())
        if json:
            lines(plan.as_dicts())
        else:
            as_it_is(offsite_views.verdicts(plan))
        if dry_run:
            return Exit.DONE
        if plan.unusual and not agreed(f"{'; '.join(plan.unusual)}. Delete them?", words, yes=yes):
            say("Cancelled. Nothing was deleted.")
            return Exit.REFUSED
        left = sorted({why for _, why in room.prune(desk.store, plan, now_utc()) if why})
    say("\n".join(f"left alone: {outside(why)}" for why in left))
    return Exit.ATTENTION if left else Exit.DONE


def _words(host: list[str], group: list[str], store: str | None, inventory: str | None) -> list[str]:
    """Return the words that choose hosts and store, as they were given."""
    given = [("--group", one) for one in group]
    given += [("--store", store)] if store else []
    given += [("--inventory", inventory)] if inventory else []
    return [*host, *(word for pair in given for word in pair)]


def _prune_there(
    inventory: str | None, store: str | None, which: tuple[list[str], list[str]], words: list[str], *, dry_run: bool,
    yes: bool, json: bool,
) -> int:  # fmt: skip
    left, failed = 0, list[tuple[str, MigrateError]]()
    with desk_of(inventory, store, emit=warnings(json)) as desk:
        hosts = desk.hosts(*which)
        for one in hosts:
            try:
                left += _pruned_there(desk, one, words, dry_run=dry_run, yes=yes, json=json)
            except (SshError, ApplianceError, Locked) as error:
                if len(hosts) == 1:
                    raise
                failed.append((one.name, error))
    for name, why in failed:
        if json:
            lines([{"v": 1, "host": name, "error": why.code, "why": why.message(), "remedy": why.remedy()}])
        else:
            say(f"{name}: nothing more was deleted: {outside(why.message())}\n  {why.remedy()}")
    return Exit.ATTENTION if left or failed else Exit.DONE


def _pruned_there(desk: OffsiteContext, host: Host, words: list[str], *, dry_run: bool, yes: bool, json: bool) -> int:
    """Plan, show, ask and delete on one appliance; returns how many archives were left after all."""
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.migration.context import Dialler
    from tscm_migrate.offsite import appliance_retention as room
    from tscm_migrate.ui import offsite_views

    with closing(Appliance(host, Dialler(desk.secrets, desk.emit), desk.emit)) as appliance:
        plan = room.plan(appliance.shell, desk.catalog([host.name]), desk.settings.keep.policy(), now_utc())
        if json:
            lines(one.as_dict() for one in plan)
        else:
            as_it_is(offsite_views.there(plan))
        going = sum(not one.verdict.keep for one in plan)
        if dry_run or not going:
            return 0
        if not agreed(f"Delete {going} of {len(plan)} archives on {host.name}?", words, yes=yes):
            say(f"{host.name}: cancelled, nothing was deleted")
            return 1
        return _thinned(appliance, desk.store, plan, json=json)


def _thinned(appliance: Appliance, store: Store, plan: list[ApplianceArchive], *, json: bool) -> int:
    """Delete what goes, while no run has the appliance; returns how many were left after all."""
    from tscm_migrate.migration import locks
    from tscm_migrate.offsite import appliance_retention as room

    left = 0
    with locks.alone(appliance, "prune"):
        for one, why in room.thin(appliance.shell, store, plan):
            left += bool(why)
            if not json:
                say(f"{appliance.name}: {one.archive.name}: {f'left alone: {outside(why)}' if why else 'deleted'}")
    return left


@command(
    help={
        **COMMON,
        "dry_run": "Only list what would be deleted.",
        "older": ("DURATION", "Only delete leftovers older than this."),
    }
)
def clean(
    _context: Any,
    dry_run: bool = False,
    older: str = "3d",
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Delete leftovers of interrupted pulls.

    These are data without a manifest and unfinished uploads.

    Examples:
        tscm-migrate offsite clean --dry-run
    """
    from tscm_migrate.offsite import prune as room
    from tscm_migrate.ui import offsite_views

    with desk_of(inventory, store) as desk:
        leftovers = room.leftovers(desk.store, desk.catalog(), older=duration_option("--older", older))
        if not json:
            as_it_is(offsite_views.left(leftovers))
        gone = 0 if dry_run else room.clean(desk.store, leftovers)
    if json:
        lines([{"v": 1, "orphans": len(leftovers.orphans), "unfinished": len(leftovers.unfinished), "deleted": gone}])


@command(
    help={
        **HOSTS,
        **COMMON,
        "prometheus": ("FILE", "Write metrics for the textfile collector of the node exporter to this file."),
        "page": ("FILE", "Write a self-contained HTML page to this file."),
        "notify": "Send a notification if a host misses its RPO (`notify` in [offsite]).",
        "strict": "Exit with code 4 also for warnings.",
    },
    trailing="host",
    iterable=["host", "group"],
)
def status(
    _context: Any,
    host: list[str],
    group: list[str],
    prometheus: str | None = None,
    page: str | None = None,
    strict: bool = False,
    notify: bool = False,
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> int:
    """Compare each host's newest verified copy with its RPO.

    Exit codes: 0, all hosts are within their RPO; 4, a host misses it.

    Examples:
        tscm-migrate offsite status
        tscm-migrate offsite status --group branches --page status.html
    """
    from tscm_migrate.fleet.announce import tell
    from tscm_migrate.offsite import freshness
    from tscm_migrate.ui import offsite_views

    with desk_of(inventory, store, emit=warnings(json)) as desk:
        names = [statuses.name for statuses in desk.hosts(host, group)]
        catalog, now = desk.catalog(names), now_utc()
        statuses = freshness.judge(catalog, names, desk.settings.rpo_of, now, desk.settings.drill_every)
        broken = [one for one in statuses if one.state != "fresh" or (strict and one.warnings)]
        title = f"off-site backups: {len(broken)} of {len(statuses)} hosts miss their RPO"
        if notify and broken:
            tell(desk.settings, title, offsite_views.statuses(broken), desk.emit)
    metrics, html = (
        partial(freshness.prometheus, statuses, now),
        partial(offsite_views.page_text, statuses, catalog.url, now),
    )
    _write_files({prometheus: metrics, page: html})
    if json:
        lines(one.as_dict() for one in statuses)
    else:
        as_it_is(offsite_views.statuses(statuses))
    return Exit.ATTENTION if broken else Exit.DONE


def _write_files(files: Mapping[str | None, Callable[[], str]]) -> None:
    """Write a text to each path that was given."""
    from tscm_migrate.ui import offsite_views

    for path, text in files.items():
        if path:
            offsite_views.write(Path(path), text())


@command(
    positional=["host", "copy"],
    help={
        **COMMON,
        "set": ("TAG", "Tag; `keep` protects the copy from prune. Without --set all tags are removed."),
    },
    iterable=["set"],
)
def tag(
    _context: Any,
    host: str,
    copy: str,
    set: list[str],  # noqa: A002 - the option's name
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Set the tags of a copy.

    Examples:
        tscm-migrate offsite tag tscm-old latest --set keep
    """
    from tscm_migrate.offsite.manifest import Record
    from tscm_migrate.offsite.verify import write_record

    if bad := [name for name in set if not name.isprintable() or not 0 < len(name) <= 40]:
        raise UsageError(f"{bad[0][:40]!r} is not a valid tag", "use up to 40 printable characters")
    with desk_of(inventory, store) as desk:
        chosen = desk.catalog([host]).find(host, copy)
        write_record(
            desk.store, chosen, Record(copy=chosen.id, host=host, kind="tag", at=now_utc(), tags=tuple(sorted(set)))
        )
    if json:
        lines([{"v": 1, "host": host, "copy": chosen.id, "tags": sorted(set)}])
    else:
        say(f"{host}: {chosen.id}: {', '.join(sorted(set)) or 'no tags'}")


TASKS = (verify, drill, prune, clean, status, tag)
