"""`init`: two addresses become an inventory, pinned keys and a first login."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tscm_migrate.errors import Exit, MigrateError, UsageError
from tscm_migrate.ui.console import say
from tscm_migrate.util import private, redact
from tscm_migrate.util.folders import config_folder
from tscm_migrate.util.operator_command import quoted

if TYPE_CHECKING:
    from tscm_migrate.inventory.inventory import Inventory

_TEXT = """# The site: which appliances there are, and how to reach them. Written by `tscm-migrate init`.
# Every key is explained in the documentation, under reference/inventory.

known_hosts = "known_hosts"     # pinned host keys, beside this file

[defaults]
user = {user}
{identity}
[hosts.tscm-old]
{old}

[hosts.tscm-new]
{new}
"""


@dataclass(frozen=True)
class Answers:
    """What was given on the command line; "" is asked for. `old` and `new` as `[user@]address[:port]`."""

    old: str
    new: str
    user: str = ""
    identity_file: str = ""
    fingerprint_old: str | None = None
    fingerprint_new: str | None = None


def start(given: Answers, path: Path | None) -> Exit:
    """Ask, write, pin, try.

    Raises:
        UsageError: the file is there already, an address is none, or there is nobody to ask.
    """
    from tscm_migrate.inventory.read import load

    path = path or config_folder() / "hosts.toml"
    if path.exists():
        raise UsageError(f"{path} is there already; it was not touched", "edit it, or name another: --inventory FILE")
    answers = _complete(given)
    try:
        private.folder(path.parent)
        _write(path, answers)
        site = load(path)
        hosts = [site.host(name) for name in ("tscm-old", "tscm-new")]
    except OSError as error:
        fix = "name a file in a folder of yours: --inventory FILE"
        raise UsageError(f"{path} cannot be written: {error.strerror}", fix) from error
    except MigrateError:
        path.unlink(missing_ok=True)  # a mistyped answer leaves no half-made file behind
        raise
    say(f"wrote {path}")
    good = True
    for host, fingerprint in zip(hosts, (answers.fingerprint_old, answers.fingerprint_new), strict=True):
        good = _try(site, host.name, fingerprint) and good
    named = "" if path == config_folder() / "hosts.toml" else f" --inventory {quoted(path)}"
    then = "plan --checks-only --from tscm-old --to tscm-new" if good else "doctor"
    say(f"next: tscm-migrate {then}{named}")
    return Exit.DONE if good else Exit.ATTENTION


def _complete(given: Answers) -> Answers:
    from tscm_migrate.inventory.inventory import parse

    attended = sys.stdin is not None and sys.stdin.isatty()
    if not attended and not (given.old and given.new):
        raise UsageError("there is no terminal to ask on", "give --old ADDRESS and --new ADDRESS")
    old = given.old or _ask("address of the old appliance")
    new = given.new or _ask("address of the new appliance")
    places = {(spec.address, spec.port or 22) for spec in (parse(old), parse(new))}
    if len(places) == 1:
        raise UsageError(f"both are at {parse(old).address}", "give each its own: --old ADDRESS --new ADDRESS")
    wanted = attended and not given.old and not all(parse(one).user for one in (old, new))
    user = given.user or (_ask("user to log in as", "threatstop") if wanted else "threatstop")
    return replace(given, old=old, new=new, user=user)


def _ask(question: str, default: str = "") -> str:
    sys.stdout.write(f"{question}{f' [{default}]' if default else ''}: ")
    sys.stdout.flush()
    try:
        return input().strip() or default
    except EOFError:
        raise UsageError("the question was not answered", "run it again: tscm-migrate init") from None


def _write(path: Path, answers: Answers) -> None:
    key = Path(answers.identity_file).expanduser().absolute() if answers.identity_file else None
    identity = f"identity_file = {_quoted(str(key))}\n" if key else ""
    old, new = _host(answers.old), _host(answers.new)
    private.write(path, _TEXT.format(user=_quoted(answers.user), identity=identity, old=old, new=new))


def _host(given: str) -> str:
    """The lines of one host."""
    from tscm_migrate.inventory.inventory import parse

    spec = parse(given)
    lines = [f"address = {_quoted(spec.address)}"]
    lines += [f"user = {_quoted(spec.user)}"] if spec.user else []
    return "\n".join([*lines, *([f"port = {spec.port}"] if spec.port else [])])


def _quoted(value: str) -> str:
    import json

    return json.dumps(value)  # a TOML basic string has JSON's escapes


def _try(site: Inventory, name: str, fingerprint: str | None) -> bool:
    """Pin a host's key and log in once; what goes wrong is said, and the next host is tried all the same."""
    from tscm_migrate.cli import doctor
    from tscm_migrate.cli.hosts import pin_host
    from tscm_migrate.secrets import Secrets

    try:
        if pin_host(site, name, fingerprint) != Exit.DONE:
            return False
    except MigrateError as error:
        say(f"{name}: {redact.one_line(error.message())}")
        say(f"  what to do: {error.remedy()}" if error.remedy() else "")
        return False
    found = list(doctor.host(site.host(name), Secrets()))
    for finding in found:
        say(doctor.text(finding))
    return all(finding.severity != "error" for finding in found)
