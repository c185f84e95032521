"""`init`: write an inventory with two appliances, pin their keys, and try to log in."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tscm_migrate.errors import Cancelled, Exit, MigrateError, UsageError
from tscm_migrate.inventory.inventory import Inventory, Spec, parse
from tscm_migrate.secrets import Secrets
from tscm_migrate.ui.console import say
from tscm_migrate.util import private, redact
from tscm_migrate.util.operator_command import quoted

_TEXT = """# The inventory: the appliances, and how to reach them. Written by `tscm-migrate init`.
# The documentation explains every key: reference/inventory.

known_hosts = "known_hosts"     # pinned host keys, beside this file

[defaults]
user = {user}
{identity}
[hosts.tscm-old]
{old}

[hosts.tscm-new]
{new}

# [policy]                      # limits, with their defaults
# drain_timeout = "30m"         # how long running updates may take to end
# revert_after = "30m"          # when an isolated old appliance comes back by itself
# reboot_timeout = "15m"        # how long a reboot may take
# device_timeout = "15m"        # how long the update of a device may take
"""


@dataclass(frozen=True)
class Answers:
    """The options of the command line; "" is asked for. `old` and `new` as `[user@]address[:port]`."""

    old: str
    new: str
    user: str = ""
    identity_file: str = ""
    fingerprint_old: str | None = None
    fingerprint_new: str | None = None


def start(given: Answers, path: Path | None) -> Exit:
    """Ask for what is missing, write the inventory, pin the keys, and try to log in.

    Raises:
        UsageError: the file exists or cannot be written, an address is not valid, or there is no terminal to ask on.
    """
    from tscm_migrate.inventory.read import load

    path = path or private.config_folder() / "hosts.toml"
    if path.exists():
        raise UsageError(
            f"{path} already exists; nothing was changed", "edit it, or use another file: --inventory FILE"
        )
    answers = _complete(given)
    try:
        private.folder(path.parent)
        _write(path, answers)
        site = load(path)
        hosts = [site.host(name) for name in ("tscm-old", "tscm-new")]
    except OSError as error:
        fix = "use a file in a folder of yours: --inventory FILE"
        raise UsageError(f"{path} cannot be written: {error.strerror}", fix) from error
    except MigrateError:
        path.unlink(missing_ok=True)  # so that the command can be repeated after a typing error
        raise
    say(f"wrote {path}")
    good = True
    for host, fingerprint in zip(hosts, (answers.fingerprint_old, answers.fingerprint_new), strict=True):
        good = _try(site, host.name, fingerprint) and good
    named = "" if path == private.config_folder() / "hosts.toml" else f" --inventory {quoted(path)}"
    then = "plan --checks-only --from tscm-old --to tscm-new" if good else "doctor"
    say(f"next: tscm-migrate {then}{named}")
    return Exit.DONE if good else Exit.ATTENTION


def _complete(given: Answers) -> Answers:
    attended = sys.stdin is not None and sys.stdin.isatty()
    if not (attended or (given.old and given.new)):
        raise UsageError("not running in a terminal, so can't ask", "add --old ADDRESS --new ADDRESS")
    old = given.old or _ask("address of the old appliance")
    new = given.new or _ask("address of the new appliance")
    specs = (parse(old), parse(new))
    if len({(spec.address, spec.port or 22) for spec in specs}) == 1:
        raise UsageError(f"both appliances are at {specs[0].address}", "use two addresses: --old ADDRESS --new ADDRESS")
    return replace(given, old=old, new=new, user=given.user or _user(specs, ask=attended and not given.old))


def _user(specs: Sequence[Spec], *, ask: bool) -> str:
    """Return the login user, asked for if an address has none and `ask` is true."""
    ask = ask and not all(spec.user for spec in specs)
    return _ask("user to log in as", "threatstop") if ask else "threatstop"


def _ask(question: str, default: str = "") -> str:
    sys.stdout.write(f"{question}{f' [{default}]' if default else ''}: ")
    sys.stdout.flush()
    try:
        return input().strip() or default
    except (EOFError, KeyboardInterrupt) as end:
        sys.stdout.write("\n")
        if isinstance(end, KeyboardInterrupt):
            raise Cancelled from None
        raise UsageError(
            "the input ended before the question was answered", "run it again: tscm-migrate init"
        ) from None


def _write(path: Path, answers: Answers) -> None:
    key = private.expanded(answers.identity_file).absolute() if answers.identity_file else None
    identity = f"identity_file = {_quoted(str(key))}\n" if key else ""
    old, new = _host(answers.old), _host(answers.new)
    private.write(path, _TEXT.format(user=_quoted(answers.user), identity=identity, old=old, new=new))


def _host(given: str) -> str:
    """Return the lines of one host."""
    spec = parse(given)
    lines = [f"address = {_quoted(spec.address)}"]
    lines += [f"user = {_quoted(spec.user)}"] if spec.user else []
    return "\n".join([*lines, *([f"port = {spec.port}"] if spec.port else [])])


def _quoted(value: str) -> str:
    import json

    return json.dumps(value)  # a TOML basic string has JSON's escapes


def _try(site: Inventory, name: str, fingerprint: str | None) -> bool:
    """Pin a host's key and log in once; print what fails, and return whether all is well."""
    from tscm_migrate.cli import doctor
    from tscm_migrate.cli.hosts import pin_host

    try:
        if pin_host(site, name, fingerprint) != Exit.DONE:
            return False
    except MigrateError as error:
        say(f"{name}: {redact.one_line(error.message())}")
        say(f"  what to do: {error.remedy()}" if error.remedy() else "")
        return False
    diagnoses = list(doctor.host(site.host(name), Secrets()))
    for finding in diagnoses:
        say(doctor.text(finding))
    return all(finding.severity != "error" for finding in diagnoses)
