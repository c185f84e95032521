"""The options of `migrate`, checked before anything else happens.

`MigrateOptions.parse` turns the texts of the command line into frozen data. Options that exclude each
other are refused, so that no option is accepted and then ignored.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from tscm_migrate.util import redact
from tscm_migrate.util.private import expanded
from tscm_migrate.util.text import parse_limit, seconds_of, suggestion

from .errors import NetconfContradiction, UsageError

METHODS = ("auto", "rsync", "tar", "sftp")
ROUTES = ("auto", "direct", "relay")
_LONGEST_TEXT = 200  # characters
_FINDING = re.compile(r"\bFinding\(\s*\"([a-z]+(?:-[a-z]+)*)\"")
_BY_ERROR = {"no-sudo", "login", "unreachable"}  # findings that are named after an error
OFFLINE = ("poweroff", "isolate", "manual")
NETWORKS = ("restore", "prepared")
PAUSES = ("cutover",)
_CHOICES = {"method": METHODS, "route": ROUTES, "offline": OFFLINE, "network": NETWORKS, "pause_before": PAUSES}
_ARCHIVE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.tsbak(\.gpg)?\Z")
_OFFSITE = re.compile(r"offsite:(?:[^\s/]{1,200}/)?[A-Za-z0-9][A-Za-z0-9._~-]{0,250}\Z")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,14}\Z")
_DEVICE = re.compile(r"[^\s/,\\-][^\s/,\\]*\Z")


def _option(text: str, value: str = "", *, default: Any = None) -> Any:
    """Declare an option: its help, the name of its value in the help ("" for a switch), and its default."""
    return field(default=default, metadata={"help": text, "value": value})


@dataclass(frozen=True)
class MigrateOptions:
    """The options of `migrate`, and the one place where they are declared; the commands have them from here.

    `from_` is "" only if the archive comes from off-site. `drain_timeout` and `revert_after` are in seconds; None: as
    the inventory's policy says. `debug` is 1..7 or None. `archive` is "new", "latest", "all", a file name, or an
    archive that needs no old appliance: "offsite:[HOST/]COPY" or the absolute path of a file. `limit` is in bytes a
    second, 0: no limit. Times are a time of day or a date with time; ISO with offset once the run has begun.
    """

    from_: str = _option("Old appliance: a name in the inventory, or [user@]address[:port].", "HOST", default="")
    to: str = _option("New appliance: a name in the inventory, or [user@]address[:port].", "HOST", default="")
    archive: str = _option(
        "Archive to restore: new (a new backup), latest, all or a NAME; without --from: "
        "offsite:[HOST/]latest, or the path of a file.",
        "ARCHIVE",
        default="new",
    )
    store: str | None = _option("Store for --archive offsite:… (default: `store` in [offsite]).", "URL")
    passphrase_file: Path | None = _option(  # noqa: RUF009 - a field
        "File with the archives' passphrase (default: TSCM_PASSPHRASE, the inventory, the keyring, a prompt).", "FILE"
    )
    encrypt: bool = _option(
        "Encrypt the new backup with a passphrase; --no-encrypt leaves it unencrypted.", default=True
    )
    method: Literal["auto", "rsync", "tar", "sftp"] = _option(
        "Transfer method: auto, rsync, tar or sftp.", "METHOD", default="auto"
    )
    route: Literal["auto", "direct", "relay"] = _option(
        "Transfer route: auto, direct (old to new appliance) or relay (through this workstation).",
        "ROUTE",
        default="auto",
    )
    limit: float = _option("Limit the transfer to this many bytes a second, e.g. 20M.", "RATE", default=0.0)
    drain_timeout: float | None = _option(
        "How long to wait for running device updates to finish, e.g. 30m (default: 30m).", "DURATION"
    )
    interface: str | None = _option(
        "Network interface for backup and restore (default: the inventory's, or eth0).", "NAME"
    )
    bypass_netconf: bool = _option(
        "Don't restore network settings: the new appliance keeps its address.", default=False
    )
    force_apply_netconf: bool = _option("Let tsadmin apply the network settings without asking.", default=False)
    network: Literal["restore", "prepared"] = _option(
        "How the new appliance gets its network settings: restore (by tsadmin), or prepared (written before "
        "the old appliance goes offline, for a shorter downtime).",
        "METHOD",
        default="restore",
    )
    restore_ssh: bool = _option(
        "Restore the old appliance's host keys; --no-restore-ssh keeps the new ones.", default=True
    )
    restore_cron: bool = _option("Also restore the archive's cron entries.", default=False)
    offline: Literal["poweroff", "isolate", "manual"] = _option(
        "How the old appliance leaves the network: poweroff, isolate or manual.", "METHOD", default="poweroff"
    )
    revert_after: float | None = _option(
        "With --offline isolate: time after which the old appliance reconnects unless the migration has "
        "succeeded (default: 30m).",
        "DURATION",
    )
    not_before: str | None = _option(
        "Rehearse now, and start the cutover at this time: 22:00 or '2026-11-28 22:00', in the site's time zone.",
        "TIME",
    )
    not_after: str | None = _option("Don't start a cutover whose estimated downtime ends later than this.", "TIME")
    stage_at: str | None = _option("With --not-before: rehearse at this time instead of now.", "TIME")
    pause_before: Literal["cutover"] | None = _option(
        "cutover: ask again before the old appliance goes offline (needs a terminal).", "STEP"
    )
    rehearsal: bool = _option(
        "Rehearse the restore on the new appliance before the old appliance goes offline.", default=True
    )
    devices: Literal["all", "none"] | tuple[str, ...] = _option(
        "Devices to update at the end: all, none, or names separated by commas.", "DEVICES", default="all"
    )
    ticket: str = _option("Number of the change ticket, for the report.", "TICKET", default="")
    approved_by: str = _option("Who approved the change, for the report.", "NAME", default="")
    update_packages: bool = _option("Update the packages of both appliances first.", default=False)
    debug: int | None = _option("Debug level of tsadmin, 1 to 7.", "LEVEL")
    leave_tmp_files: bool = _option("Let tsadmin keep its temporary files.", default=False)
    allow: tuple[str, ...] = _option(
        "Proceed despite this failed preflight check (repeatable; docs/how-to/check.md lists the names).",
        "CHECK",
        default=(),
    )
    yes: bool = _option("Don't ask for confirmation (required without a terminal).", default=False)
    dry_run: bool = _option("Check and plan only; change nothing.", default=False)
    json: bool = _option("Print events as JSON, one object on each line.", default=False)
    inventory: Path | None = _option(  # noqa: RUF009 - a field
        "Inventory file (default: TSCM_INVENTORY, ./inventory/hosts.toml, or your config folder).", "FILE"
    )
    keep: bool = False  # of `rehearse`: the migration need not rehearse again
    rehearsed: str = ""  # the run that has rehearsed this migration already; not an option of the command line

    @property
    def has_window(self) -> bool:
        """Whether the migration waits for a change window after it was rehearsed."""
        return bool(self.not_before or self.stage_at)

    @property
    def prepares_network(self) -> bool:
        """Whether the network settings are written before the cutover, and not restored by tsadmin."""
        return self.network == "prepared"

    @property
    def rescues(self) -> bool:
        """Whether the old appliance is dead, and an archive from elsewhere is restored."""
        return _outlives(self.archive)

    @property
    def learn_command(self) -> str:
        """The command that saves answers to the questions of these appliances."""
        return f"tscm-migrate prompts learn {self.to} {self._source}"

    @property
    def unrehearsed_command(self) -> str:
        """The command that migrates without a rehearsal of the restore."""
        return f"tscm-migrate migrate --to {self.to} --no-rehearsal {self._source}"

    @property
    def _source(self) -> str:
        return f"--from {self.from_}" if self.from_ else f"--archive {self.archive}"

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> "MigrateOptions":
        """Check the values of the command line; None: the option was not given.

        Raises:
            UsageError: a value is not valid, or options exclude each other.
            NetconfContradiction: both --bypass-netconf and --force-apply-netconf.
        """
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in given.items() if key in known and value is not None}
        for name, choices in _CHOICES.items():
            if name in values:
                values[name] = _choice(name, values[name], choices)
        for name, convert in _CONVERT.items():
            if name in values:
                values[name] = convert(values[name])
        values.setdefault("from_", "")
        options = cls(**_with_hosts(values))
        options.check()
        redact.known.spare(options.archive, options.store or "")  # a resume reads them from the journal
        return options

    def check(self) -> None:
        """Refuse options that exclude each other."""
        self._check_network()
        self._check_archive()
        self._check_times()
        if self.revert_after is not None and self.offline != "isolate":
            fix = "add --offline isolate: only an isolated appliance can reconnect by itself"
            raise UsageError(f"--revert-after cannot be used with --offline {self.offline}", fix)
        for option, asked in _NEED_OLD_APPLIANCE.items():
            if self.rescues and asked(self):
                fix = "leave it out: the archive comes from elsewhere, the old appliance is not used"
                raise UsageError(f"{option} cannot be used with --archive {self.archive}", fix)

    def _check_archive(self) -> None:
        if not self.encrypt and self.passphrase_file:
            raise UsageError("--no-encrypt and --passphrase-file exclude each other", "leave one of them out")
        if self.archive != "new" and not self.encrypt:
            fix = "leave out --no-encrypt: it is for a new backup, and this archive exists already"
            raise UsageError(f"--no-encrypt cannot be used with --archive {self.archive}", fix)
        if self.store and not self.archive.startswith("offsite:"):
            raise UsageError(
                "--store can only be used with --archive offsite:…", "leave it out, or use --archive offsite:latest"
            )

    def _check_times(self) -> None:
        if self.stage_at and not self.not_before:
            raise UsageError("--stage-at needs --not-before", "add the time at which the cutover may begin")
        if self.pause_before and self.yes:
            fix = "leave out --yes: the question before the cutover needs an answer at the terminal"
            raise UsageError("--pause-before and --yes exclude each other", fix)

    def _check_network(self) -> None:
        if self.bypass_netconf and self.force_apply_netconf:
            raise NetconfContradiction
        if self.prepares_network and (self.bypass_netconf or self.force_apply_netconf):
            option = "--bypass-netconf" if self.bypass_netconf else "--force-apply-netconf"
            raise UsageError(f"--network prepared and {option} exclude each other", "leave one of them out")


# Options that need the old appliance → whether they were given.
_NEED_OLD_APPLIANCE: dict[str, Callable[[MigrateOptions], bool]] = {
    "--method": lambda o: o.method != "auto",
    "--route direct": lambda o: o.route == "direct",
    "--drain-timeout": lambda o: o.drain_timeout is not None,
    "--offline": lambda o: o.offline != "poweroff",
    "--network prepared": lambda o: o.prepares_network,
}


def _outlives(archive: str) -> bool:
    return archive.startswith("offsite:") or "/" in archive or "\\" in archive


def _with_hosts(values: dict[str, Any]) -> dict[str, Any]:
    if not values.get("to"):
        raise UsageError("missing option: --to, the new appliance", "use --from OLD --to NEW")
    archive = str(values.get("archive", ""))
    if not values["from_"] and not _outlives(archive):
        fix = "use --from OLD --to NEW; or, if the old appliance is dead: --archive offsite:latest --to NEW"
        raise UsageError("missing option: --from, the old appliance", fix)
    if values["from_"] and _outlives(archive):
        fix = "leave out --from: the archive comes from elsewhere, the old appliance is not used"
        raise UsageError(f"--from and --archive {archive} exclude each other", fix)
    return values


def _choice(name: str, value: str, choices: Iterable[str]) -> str:
    if value not in choices:
        near = suggestion(value, choices)
        raise UsageError(f"--{name.replace('_', '-')} {value!r} is unknown{near}", f"use one of: {', '.join(choices)}")
    return value


def _archive(value: str) -> str:
    if value in {"new", "latest", "all"} or _ARCHIVE.match(value) or _OFFSITE.match(value):
        return value
    if _outlives(value) and _ARCHIVE.match(re.split(r"[/\\]", value)[-1]) and not value.startswith("offsite:"):
        return str(expanded(value).absolute())
    fix = (
        "use new, latest, all, a file name such as threatstop_backup_2024-05-01_03_00_00.tsbak.gpg, "
        "offsite:latest, offsite:HOST/latest, or the path of a file: ./NAME"
    )
    raise UsageError(f"--archive {value!r} is not the name of an archive", fix)


def seconds(option: str) -> Callable[[str | float], float]:
    """Return the function that reads this option's duration, such as 30m; a number alone is in seconds."""

    def convert(value: str | float) -> float:
        try:
            return seconds_of(value)
        except ValueError:
            raise UsageError(
                f"{option} {value!r} is not a duration up to 7 days", f"write it as in {option} 30m, 36h or 3d"
            ) from None

    return convert


def _debug(value: str | int) -> int:
    text = str(value)
    if text not in {"1", "2", "3", "4", "5", "6", "7"}:
        raise UsageError(f"--debug {text!r} is not a debug level of tsadmin", "use 1 to 7")
    return int(text)


def _interface(value: str) -> str:
    if not _INTERFACE.match(value):
        raise UsageError(
            f"--interface {value!r} is not an interface name", "use a name that `ip link` shows, e.g. eth0"
        )
    return value


def _devices(value: str | Iterable[str]) -> str | tuple[str, ...]:
    if value in {"all", "none"}:
        return str(value)
    names = tuple(part.strip() for part in (value.split(",") if isinstance(value, str) else value) if part.strip())
    wrong = [name for name in names if not _DEVICE.match(name)]
    if wrong or not names:
        raise UsageError(f"--devices {value!r} has no device names", "use all, none, or names: --devices A,B")
    return tuple(dict.fromkeys(names))


def device_names(text: str) -> tuple[str, ...]:
    """Return the device names of an option that separates them by commas.

    Raises:
        UsageError: not device names.
    """
    names = _devices(text)
    if isinstance(names, str):
        raise UsageError(f"--devices {text!r} has no device names", "use names: --devices A,B")
    return names


@functools.cache
def check_names() -> frozenset[str]:
    """Return the names that `--allow` may have, read from the source of the checks; empty without the source."""
    texts = [file.read_text(encoding="utf-8") for file in (Path(__file__).parent / "migration").rglob("*.py")]
    names = {name for text in texts for name in _FINDING.findall(text)}
    return frozenset(names | _BY_ERROR) if names else frozenset()


def _allowed(names: Iterable[str]) -> tuple[str, ...]:
    known = check_names()
    for name in names:
        if known and name not in known:
            fix = f"use one of: {', '.join(sorted(known))}"
            raise UsageError(f"--allow {name!r} is not the name of a check{suggestion(name, known)}", fix)
    return tuple(dict.fromkeys(names))


def _short_text(option: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        text = str(value).strip()
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            raise UsageError(f"{option} is not a line of at most {_LONGEST_TEXT} characters", "shorten it")
        return text

    return convert


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "archive": _archive,
    "drain_timeout": seconds("--drain-timeout"),
    "revert_after": seconds("--revert-after"),
    "debug": _debug,
    "limit": parse_limit,
    "interface": _interface,
    "devices": _devices,
    "passphrase_file": Path,
    "inventory": Path,
    "allow": _allowed,
    "ticket": _short_text("--ticket"),
    "approved_by": _short_text("--approved-by"),
}
