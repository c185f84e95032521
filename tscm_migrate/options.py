"""What `migrate` was asked to do: the options, checked before anything else happens.

`MigrateOptions.parse` turns the command line's strings into frozen data; what excludes each other is refused, so that
nothing is accepted and ignored.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .errors import NetconfContradiction, UsageError
from .util.rates import parse_limit
from .util.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

METHODS = ("auto", "rsync", "tar", "sftp")
ROUTES = ("auto", "direct", "relay")
_FINDING = re.compile(r"\bFinding\(\s*\"([a-z]+(?:-[a-z]+)*)\"")
_BY_ERROR = {"no-sudo", "login", "unreachable"}  # findings that are named after an error
OFFLINE = ("poweroff", "isolate", "manual")
PAUSES = ("cutover",)
_ARCHIVE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.tsbak(\.gpg)?\Z")
_OFFSITE = re.compile(r"offsite:(?:[^\s/]{1,200}/)?[A-Za-z0-9][A-Za-z0-9._~-]{0,250}\Z")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,14}\Z")
_DEVICE = re.compile(r"[^\s/,\\-][^\s/,\\]*\Z")
_LONGEST = 7 * 86400.0  # seconds; a wait beyond a week is a typing error


@dataclass(frozen=True)
class MigrateOptions:
    """The options of `migrate`, named after them.

    `from_` is "" only where the archive comes from off-site. `drain_timeout` in seconds, None: the inventory's
    policy. `debug` 1..7 or None. `archive` is "new", "latest", "all", a file name, or what outlives the old one:
    "offsite:[HOST/]COPY" or the absolute path of a file. `store` is a URL, None: the inventory's.
    """

    from_: str
    to: str
    method: Literal["auto", "rsync", "tar", "sftp"] = "auto"
    route: Literal["auto", "direct", "relay"] = "auto"
    archive: str = "new"
    passphrase_file: Path | None = None
    encrypt: bool = True
    drain_timeout: float | None = None
    debug: int | None = None
    leave_tmp_files: bool = False
    interface: str | None = None
    bypass_netconf: bool = False
    force_apply_netconf: bool = False
    restore_ssh: bool = True
    restore_cron: bool = False
    offline: Literal["poweroff", "isolate", "manual"] = "poweroff"
    revert_after: float | None = None
    update_packages: bool = False
    rehearsal: bool = True
    devices: Literal["all", "none"] | tuple[str, ...] = "all"
    yes: bool = False
    dry_run: bool = False
    json: bool = False
    allow: tuple[str, ...] = ()
    inventory: Path | None = None
    limit: float = 0.0  # bytes a second for the archives, 0: none
    store: str | None = None
    not_before: str | None = None  # a time of day or a date with time; ISO with offset once the run begins
    not_after: str | None = None
    stage_at: str | None = None
    pause_before: Literal["cutover"] | None = None
    rehearsed: str = ""  # the run that has rehearsed this migration already

    @property
    def has_window(self) -> bool:
        """Whether the migration waits for a change window after it was rehearsed."""
        return bool(self.not_before or self.stage_at)

    @property
    def rescues(self) -> bool:
        """Whether the old one is dead, and restored from what has outlived it."""
        return _outlives(self.archive)

    @property
    def learn_command(self) -> str:
        """The command that teaches what the appliances of these options ask."""
        source = f"--from {self.from_}" if self.from_ else f"--archive {self.archive}"
        return f"tscm-migrate prompts learn {self.to} {source}"

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> MigrateOptions:
        """Check what the command line gave; None and "" mean that an option was not given.

        Raises:
            UsageError: a value that cannot be, options that exclude each other, or something that is not built yet.
            NetconfContradiction: both --bypass-netconf and --force-apply-netconf.
        """
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in given.items() if key in known and value is not None}
        for name, choices in (("method", METHODS), ("route", ROUTES), ("offline", OFFLINE), ("pause_before", PAUSES)):
            if name in values:
                values[name] = _choice(name, values[name], choices)
        for name, convert in _CONVERT.items():
            if name in values:
                values[name] = convert(values[name])
        values.setdefault("from_", "")
        options = cls(**_with_hosts(values))
        options.check()
        return options

    def check(self) -> None:
        """Refuse what excludes each other, and what is not built yet."""
        if self.bypass_netconf and self.force_apply_netconf:
            raise NetconfContradiction
        if not self.encrypt and self.passphrase_file:
            raise UsageError("--no-encrypt and --passphrase-file exclude each other", "leave one of them out")
        if self.revert_after is not None and self.offline != "isolate":
            fix = "add --offline isolate: only an isolated appliance can come back by itself"
            raise UsageError(f"--revert-after does not go with --offline {self.offline}", fix)
        if self.archive != "new" and not self.encrypt:
            fix = "leave --no-encrypt out: it is for a new backup, and this archive is already made"
            raise UsageError(f"--no-encrypt does not go with --archive {self.archive}", fix)
        if self.store and not self.archive.startswith("offsite:"):
            raise UsageError(
                "--store goes with --archive offsite:… only", "leave it out, or say --archive offsite:latest"
            )
        if self.stage_at and not self.not_before:
            raise UsageError("--stage-at needs --not-before", "add the time at which the cutover may begin")
        if self.pause_before and self.yes:
            fix = "leave --yes out: a person at the terminal is asked before the cutover"
            raise UsageError("--pause-before and --yes exclude each other", fix)
        for option, asked in _OF_THE_OLD_ONE.items():
            if self.rescues and asked(self):
                fix = "leave it out: the old one is not spoken to, its archive comes from elsewhere"
                raise UsageError(f"{option} does not go with --archive {self.archive}", fix)


# What is said to the old one, or of the way from it: senseless where it is dead.
_OF_THE_OLD_ONE: dict[str, Callable[[MigrateOptions], bool]] = {
    "--method": lambda o: o.method != "auto",
    "--route direct": lambda o: o.route == "direct",
    "--drain-timeout": lambda o: o.drain_timeout is not None,
    "--offline": lambda o: o.offline != "poweroff",
}


def _outlives(archive: str) -> bool:
    return archive.startswith("offsite:") or "/" in archive or "\\" in archive


def _with_hosts(values: dict[str, Any]) -> dict[str, Any]:
    if not values.get("to"):
        raise UsageError("--to is missing: which appliance is the new one?", "give --from OLD --to NEW")
    archive = str(values.get("archive", ""))
    if not values["from_"] and not _outlives(archive):
        fix = "give --from OLD --to NEW; or, where the old one is dead: --archive offsite:latest --to NEW"
        raise UsageError("--from is missing: which appliance is the old one?", fix)
    if values["from_"] and _outlives(archive):
        fix = "leave --from out: the archive comes from elsewhere, the old appliance is not touched"
        raise UsageError(f"--from and --archive {archive} exclude each other", fix)
    return values


def _choice(name: str, value: str, choices: Iterable[str]) -> str:
    if value not in choices:
        near = suggestion(value, choices)
        raise UsageError(f"--{name} {value!r} is unknown{near}", f"one of: {', '.join(choices)}")
    return value


def _archive(value: str) -> str:
    if value in {"new", "latest", "all"} or _ARCHIVE.match(value) or _OFFSITE.match(value):
        return value
    if _outlives(value) and _ARCHIVE.match(re.split(r"[/\\]", value)[-1]) and not value.startswith("offsite:"):
        return str(Path(value).expanduser().absolute())
    fix = (
        "new, latest, all, a bare file name such as threatstop_backup_2024-05-01_03_00_00.tsbak.gpg, "
        "offsite:latest, offsite:HOST/latest, or the path of a file: ./NAME"
    )
    raise UsageError(f"--archive {value!r} is no name of an archive", fix)


def seconds(option: str) -> Callable[[str | float], float]:
    """What makes a number of seconds of this option's value, or says that it is none."""

    def convert(value: str | float) -> float:
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number <= _LONGEST:
            raise UsageError(f"{option} {value!r} is no number of seconds", f"give one, as in {option} 1800")
        return number

    return convert


def _debug(value: str | int) -> int:
    text = str(value)
    if text not in {"1", "2", "3", "4", "5", "6", "7"}:
        raise UsageError(f"--debug {text!r} is no level", "1 to 7; it is handed to tsadmin")
    return int(text)


def _interface(value: str) -> str:
    if not _INTERFACE.match(value):
        raise UsageError(f"--interface {value!r} is no interface name", "as `ip link` shows it on the appliance: eth0")
    return value


def _devices(value: str | Iterable[str]) -> str | tuple[str, ...]:
    if value in {"all", "none"}:
        return str(value)
    names = tuple(part.strip() for part in (value.split(",") if isinstance(value, str) else value) if part.strip())
    wrong = [name for name in names if not _DEVICE.match(name)]
    if wrong or not names:
        raise UsageError(f"--devices {value!r} names no devices", "all, none, or names with commas: --devices A,B")
    return tuple(dict.fromkeys(names))


def device_names(text: str) -> tuple[str, ...]:
    """Return the names of devices that an option lists with commas.

    Raises:
        UsageError: they are not names of devices.
    """
    found = _devices(text)
    if isinstance(found, str):
        raise UsageError(f"--devices {text!r} names no devices", "names with commas: --devices A,B")
    return found


@functools.cache
def check_names() -> frozenset[str]:
    """Return the names that `--allow` may have, read from the source of the checks; empty where that is not there."""
    texts = [file.read_text(encoding="utf-8") for file in (Path(__file__).parent / "migration").rglob("*.py")]
    found = {name for text in texts for name in _FINDING.findall(text)}
    return frozenset(found | _BY_ERROR) if found else frozenset()


def _allowed(names: Iterable[str]) -> tuple[str, ...]:
    known = check_names()
    for name in names:
        if known and name not in known:
            fix = f"one of: {', '.join(sorted(known))}"
            raise UsageError(f"--allow {name!r} is not the name of a check{suggestion(name, known)}", fix)
    return tuple(dict.fromkeys(names))


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
}
