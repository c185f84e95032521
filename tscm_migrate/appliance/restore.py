"""`tsadmin restore`: its questions answered by rule, in any order; the archive chosen from its list by file name."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tscm_migrate.appliance import archives, backup, listing, named
from tscm_migrate.appliance.backup import PassphraseFile, sudo_answer
from tscm_migrate.appliance.base import quote
from tscm_migrate.appliance.common_rules import UNDER_WAY
from tscm_migrate.appliance.prompts import Choice, Table
from tscm_migrate.appliance.rules import restore_rules
from tscm_migrate.appliance.talk import Asked, Limits, converse
from tscm_migrate.errors import RestoreFailed, UnknownPrompt
from tscm_migrate.tsadmin import output

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tscm_migrate.appliance.base import Appliance
    from tscm_migrate.site import Secret


# The rules whose questions are about the network settings.
NETWORK = frozenset(
    {"network", "address", "dhcp", "apply-settings", "static", "dhcp-or-static", "under-way", "parts", "reboot"}
)


@dataclass(frozen=True)
class Request:
    """What to restore, and the old appliance's network settings for a dialogue that asks for them one by one.

    `devices`: names that are known, so that none is read as a word of what tsadmin prints. `continues`: a pass of this
    run has chosen its archive before, so one that is said to be in progress is ours.
    `limits`: when to give it up.
    """

    archive: str
    folder: str
    passphrase: Secret | None
    interface: str
    restore_ssh: bool
    restore_cron: bool
    bypass_netconf: bool
    force_apply_netconf: bool
    debug: int | None
    leave_tmp_files: bool
    address: str
    prefix: int
    gateway: str
    dns: tuple[str, ...]
    dhcp: bool | None
    hostname: str
    devices: tuple[str, ...] = ()
    continues: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Outcome:
    """How a pass ended: names of the rules that answered, whether the connection went away, what was printed.

    `stopped_at`: the question about the network at which it was hung up; "" where it ended by itself.
    """

    answered: tuple[str, ...]
    lost: bool
    status: int | None
    printed: output.Output
    text: str = field(repr=False)
    stopped_at: str = ""

    def devices(self, known: Collection[str] = ()) -> tuple[str, ...]:
        """Devices that the output names.

        Args:
            known: names of the old one's etc tree: each that is mentioned counts; where there are none, what stands
                behind the word device does ("restoring device edge-asa").
        """
        if known:
            return named.in_text(self.text, known)
        found = re.findall(r"\bdevice\b\s*[:=]?\s*['\"]?([A-Za-z0-9][\w.-]*)", self.text, re.IGNORECASE)
        return tuple(dict.fromkeys(name for name in found if not re.fullmatch(r"[a-z]+", name)))

    def files(self, most: int = 200) -> tuple[str, ...]:
        """Absolute paths of files that the output names."""
        found = re.findall(r"(?<![\w./-])/(?:[\w@+.-]+/)+[\w@+.-]*\w", self.text)
        return tuple(dict.fromkeys(found))[:most]

    def did(self, *rules: str) -> bool:
        """Whether any of these rules answered a question."""
        return any(rule in self.answered for rule in rules)

    @property
    def said(self) -> str:
        """The line that tells best how it ended."""
        return (self.printed.failures or (self.printed.last,))[-1]

    @property
    def ended_well(self) -> bool:
        """Exit codes are not documented: a status other than 0 is a failure only where a line speaks of trouble."""
        return not self.printed.failures and (self.status == 0 or not self.printed.troubles)


def options(request: Request, passphrase_file: str = "") -> list[str]:
    """The documented options: those that a backup takes too, and what becomes of the network settings."""
    shared = backup.Request(request.interface, debug=request.debug, leave_tmp_files=request.leave_tmp_files)
    given = backup.options(shared, passphrase_file)
    if request.bypass_netconf:
        given.append("--bypass_netconf=1")
    if request.force_apply_netconf:
        given.append("--force_apply_netconf=1")
    return given


def command(appliance: Appliance, request: Request) -> str:
    """The command as a person would type it."""
    encrypted = request.archive.endswith(".gpg") and request.passphrase
    return " ".join(
        [appliance.paths.tsadmin, "restore", *options(request, "(a 0600 file in memory)" if encrypted else "")]
    )


def table(appliance: Appliance, request: Request) -> Table:
    """The rules and values for one pass."""
    network = ipaddress.ip_interface(f"{request.address}/{request.prefix}").network
    values: dict[str, str | Secret | Sequence[str] | None] = {
        "passphrase": request.passphrase,
        "sudo": sudo_answer(appliance),
        "archive": request.archive,
        "archive_path": f"{request.folder}/{request.archive}",
        "address": request.address,
        "here": appliance.host.address,
        "netmask": str(network.netmask),
        "network": str(network.network_address),
        "broadcast": str(network.broadcast_address),
        "cidr": f"{request.address}/{request.prefix}",
        "prefix": str(request.prefix),
        "gateway": request.gateway or None,
        "dns": request.dns,
        "hostname": request.hostname or None,
        "interface": request.interface or None,
    }
    site = tuple(rule for rule in appliance.host.prompts if rule.dialogue in ("restore", "any"))
    rules = restore_rules(
        restore_ssh=request.restore_ssh,
        restore_cron=request.restore_cron,
        bypass_netconf=request.bypass_netconf,
        dhcp=request.dhcp,
        address=request.address,
        continues=request.continues,
    )
    wishes = {
        "network": not request.bypass_netconf,
        "ssh": request.restore_ssh,
        "cron": request.restore_cron,
        "devices": True,
    }
    return Table(rules, values, site, wishes)


def run(
    appliance: Appliance,
    request: Request,
    operator: Asked,
    *,
    chosen: Callable[[], None] = lambda: None,
    only: Collection[str] | None = None,
) -> Outcome:
    """Run one pass.

    Args:
        appliance: the new one.
        request: what to restore.
        operator: asked about unknown prompts.
        chosen: called when the archive is about to be chosen from the list: from then on a restore that is under way
            is ours, for a program that goes on with another's shows no list.
        only: rules that may answer; it is hung up, without an answer, at a question of any other rule, and at one about
            the network. None: all may.

    Raises:
        RestoreFailed: the archive is not in the list that is shown.
        UnknownPrompt, DialogueSilent, SshError: see there. A connection that goes away is no error here.
    """
    missing: list[str] = []
    there = {archive.name for archive in archives.listed(appliance)}

    def pick(question: str, lines: Sequence[str]) -> str | None:
        if not listing.asks_for_archive(question, lines):
            return None
        entry = listing.pick(lines, request.archive, request.folder, there)
        if entry is None:
            missing.append(_not_listed(request.archive, lines))
            return None
        chosen()
        return entry.number

    secret = request.passphrase if request.archive.endswith(".gpg") else None
    rules = table(appliance, request)
    if only is not None:
        rules = _Stops(rules.rules, rules.values, rules.site_rules, rules.wishes, only=frozenset(only) - NETWORK)
    with PassphraseFile(appliance, secret) as file:
        words = [appliance.paths.tsadmin, "restore", *(quote(word) for word in options(request, file.path))]
        try:
            talked = converse(
                appliance, file.guarded(" ".join(words)), rules, operator,
                picker=pick, display=command(appliance, request), limits=request.limits,
            )  # fmt: skip
        except _Stopped as seen:
            return Outcome((), False, None, output.read(""), "", stopped_at=seen.question)  # noqa: FBT003
        except Exception as error:
            if missing:
                raise RestoreFailed(appliance.name, f"{missing[-1]}; nothing was chosen") from error
            raise
    printed = output.read(
        talked.text, questions=[exchange.prompt for exchange in talked.exchanges], names=request.devices
    )
    return Outcome(
        tuple(exchange.rule for exchange in talked.exchanges), talked.lost, talked.status, printed, talked.text
    )


class _Stopped(Exception):
    """A question has been asked at which a dialogue is to be hung up."""

    def __init__(self, question: str) -> None:
        super().__init__(question)
        self.question = question


@dataclass
class _Stops(Table):
    """The same rules, of which only some may answer; the others end the dialogue."""

    only: frozenset[str] = frozenset()

    def choose(self, question: str, before: Sequence[str] = ()) -> Choice | None:
        """As for any table, unless another rule would answer."""
        choice = super().choose(question, before)
        if choice is not None and choice.rule not in self.only:
            raise _Stopped(choice.asked or question.strip())
        return choice


def look_at_list(appliance: Appliance, request: Request) -> str:
    """Start a restore, see whether the archive is in its list, and hang up without having answered anything.

    The network settings are bypassed, so that nothing can be applied meanwhile.

    Returns:
        "" where it is listed; else a known question that is asked before the list is shown.

    Raises:
        RestoreFailed: the archive is not in the list, or the restore ends without asking anything.
        UnknownPrompt: an unknown question is asked before the list is shown.
    """
    looking = replace(request, bypass_netconf=True, force_apply_netconf=False, passphrase=None)
    words = [appliance.paths.tsadmin, "restore", *(quote(word) for word in options(looking))]
    rules = tuple(rule for rule in table(appliance, looking).rules if rule.name in ("sudo-password", "more"))
    asks = Table(rules, {"sudo": sudo_answer(appliance)})
    there = {archive.name for archive in archives.listed(appliance)}

    def look(question: str, lines: Sequence[str]) -> str | None:
        if listing.asks_for_archive(question, lines):
            ours = listing.pick(lines, request.archive, request.folder, there) if listing.dated(lines) else None
            listed = ours is not None or request.archive in listing.names(lines)
            raise _ListSeen("" if listed else _not_listed(request.archive, lines))
        return None

    try:
        talked = converse(
            appliance, f"exec {' '.join(words)}", asks, _Nobody(), picker=look,
            display=f"{command(appliance, looking)}, only to look", limits=request.limits,
        )  # fmt: skip
    except _ListSeen as seen:
        if seen.missing:
            raise RestoreFailed(appliance.name, seen.missing) from None
        return ""
    except UnknownPrompt as unknown:
        if UNDER_WAY.about(unknown.prompt, unknown.prompt):
            detail = (
                f"another restore is under way on it, of an archive that nobody here knows; it asks: {unknown.prompt}"
            )
            raise RestoreFailed(appliance.name, detail) from None
        if table(appliance, request).choose(unknown.prompt, tuple(unknown.transcript.splitlines()[:-1])) is None:
            raise
        return unknown.prompt
    raise RestoreFailed(appliance.name, f"its restore ends at once: {output.read(talked.text).gist}")


def _not_listed(archive: str, lines: Sequence[str]) -> str:
    if listing.dated(lines):
        return f"the list that its restore shows has times and no names, and none of its rows is surely {archive}"
    return f"{archive} is not in the list that its restore shows"


class _ListSeen(Exception):
    """The list has been shown; `missing`: what is to be said where our archive is not in it."""

    def __init__(self, missing: str) -> None:
        super().__init__(missing)
        self.missing = missing


class _Nobody:
    """Answers nothing."""

    attended = False

    def answer(self, _host: str, _prompt: str, _context: str) -> str | None:
        return None
