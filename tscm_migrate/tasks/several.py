"""The options --group and --jobs: the same command on every host of a group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import Exit, Refused, UsageError, error_fields
from tscm_migrate.events import Checked, Event
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.model import Host
from tscm_migrate.options import MigrateOptions
from tscm_migrate.secrets import Secrets
from tscm_migrate.ui.console import as_json, say
from tscm_migrate.util.text import count_option

if TYPE_CHECKING:
    from tscm_migrate.cli.doctor import Diagnosis

GROUP = ("GROUP", "Instead of a host: every host of this group in the inventory.")
JOBS = ("N", "With --group: number of hosts at once (default: 4).")


def hosts_of(site: Inventory, host: str | None, group: str | None) -> list[Host]:
    """Return the host, or the hosts of the group.

    Raises:
        UsageError: neither is given, or both. InventoryError: there is none of that name.
    """
    if not (host or group):
        raise UsageError("missing argument: HOST, or --group GROUP", "list the hosts: tscm-migrate host list")
    if host and group:
        raise UsageError(f"the host {host} and --group {group} exclude each other", "leave one of them out")
    return [site.host(host)] if host else list(site.group(group or ""))


def number_of(jobs: str | None) -> int:
    """Return the value of --jobs.

    Raises:
        UsageError: it is not a number from 1 to 256.
    """
    return 4 if jobs is None else count_option("--jobs", jobs)


def on_each(
    hosts: list[Host],
    work: Callable[[Host], Any],
    *,
    jobs: int,
    shown: Callable[[Host, Any], str | dict[str, Any]],
    probed: bool = True,
) -> int:
    """Run `work` on every host, print each result as soon as it is there, and at the end the failures by reason.

    Args:
        hosts: one or more. The error of a single host is raised.
        work: runs in a thread.
        jobs: how many at once.
        shown: what is printed of a result: text, or an object for a line of JSON.
        probed: leave out hosts that do not answer at the inventory's address.

    Returns:
        DONE; ATTENTION where some hosts failed, or a result is false; FAILED where all failed.
    """
    from tscm_migrate.fleet.pool import Probe, run
    from tscm_migrate.ui.console import by_reason

    if len(hosts) == 1:
        return _printed(shown(hosts[0], value := work(hosts[0])), value)
    failed, codes, as_data = list[tuple[str, BaseException]](), list[int](), False
    for outcome in run(hosts, work, jobs=jobs, probe=Probe(lambda host: host) if probed else None):
        if outcome.error is not None:
            failed.append((outcome.item.name, outcome.error))
            continue
        row = shown(outcome.item, outcome.value)
        as_data = isinstance(row, dict)
        codes.append(_printed(row, outcome.value))
    if as_data:
        _print_errors(failed)
    else:
        say(f"{len(codes)} of {len(hosts)} hosts done\n{by_reason(failed)}")
    if failed:
        return Exit.ATTENTION if codes else Exit.FAILED
    return max(codes, default=Exit.DONE)


def _printed(row: str | dict[str, Any], value: Any) -> int:
    if isinstance(row, dict):
        as_json(row, indent=None)
    else:
        say(row)
    return Exit.DONE if value else Exit.ATTENTION


def _print_errors(failed: list[tuple[str, BaseException]]) -> None:
    for host, error in failed:
        as_json({"v": 1, "event": "error", "host": host, **error_fields(error)}, indent=None)


def check_pairs(site: Inventory, pairs: Sequence[MigrateOptions], *, jobs: int, json: bool) -> int:
    """Run the checks of several migrations at once, and print what was found, each reason once with all its pairs.

    Args:
        site: the inventory.
        pairs: the options of each migration.
        jobs: how many at once.
        json: print a line of JSON for each pair instead.

    Returns:
        DONE; REFUSED where a check of a pair failed; ATTENTION where some pairs could not be checked, FAILED where none
        could.
    """
    from tscm_migrate.fleet.pool import run
    from tscm_migrate.ui.console import by_reason

    findings: list[Diagnosis] = []
    failed: list[tuple[str, BaseException]] = []
    refused = 0
    for outcome in run(pairs, lambda one: _checked(site, one), jobs=jobs):
        one = outcome.item
        if outcome.value is None:
            failed += [(_pair(one), outcome.error)] if outcome.error is not None else []
            continue
        passed, checks = outcome.value
        refused += not passed
        findings += _diagnoses(one, checks)
        if json:
            as_json(_pair_as_dict(one, checks, passed=passed), indent=None)
    if json:
        _print_errors(failed)
    else:
        from tscm_migrate.cli import doctor

        good = len(pairs) - refused - len(failed)
        lines = [*map(doctor.text, doctor.grouped(findings)), *by_reason(failed).splitlines()]
        say("\n".join([*lines, f"{good} of {len(pairs)} migrations can start; nothing was changed"]))
    if refused:
        return Exit.REFUSED
    return Exit.DONE if not failed else Exit.ATTENTION if len(failed) < len(pairs) else Exit.FAILED


def _pair(options: MigrateOptions) -> str:
    return f"{options.from_} → {options.to}"


def _pair_as_dict(options: MigrateOptions, checks: list[Checked], *, passed: bool) -> dict[str, Any]:
    rows = [asdict(one) for one in checks]
    head = {"v": 1, "event": "pair-checked", "from": options.from_, "to": options.to}
    return {**head, "passed": passed, "checks": rows}


def _diagnoses(options: MigrateOptions, checks: list[Checked]) -> list[Diagnosis]:
    """Return the checks that found something, in the form of `doctor`, which shows what several have in common once."""
    from tscm_migrate.cli.doctor import Diagnosis

    diagnoses = []
    for one in checks:
        if one.severity != "ok":
            name, fix = (f"{one.name} (acknowledged)", "") if one.allowed else (one.name, one.remedy)
            hosts = (options.from_, options.to)
            diagnoses.append(Diagnosis(_pair(options), name, one.severity, one.text, fix, hosts))
    return diagnoses


def _checked(site: Inventory, options: MigrateOptions) -> tuple[bool, list[Checked]]:
    """Return whether a migration can start, and the results of its checks."""
    from tscm_migrate.migration import run
    from tscm_migrate.migration.context import Session
    from tscm_migrate.ui.operator import Terminal

    results: list[Checked] = []

    def emit(event: Event) -> None:
        if isinstance(event, Checked):
            results.append(event)

    secrets = Secrets(interactive=False, passphrase_file=options.passphrase_file, emit=emit)
    try:
        run.check(options, Session(site, secrets, emit, Terminal(attended=False)))
    except Refused:
        return False, results
    return True, results
