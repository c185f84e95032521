"""Runs `tsadmin restore`: questions are answered in any order; the archive is chosen from its list by file name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tscm_migrate.appliance import archives, device_discovery
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.errors import RestoreFailed, UnknownPrompt
from tscm_migrate.tsadmin import backup, output
from tscm_migrate.tsadmin.backup import PassphraseFile, sudo_answer
from tscm_migrate.tsadmin.dialect import Kind
from tscm_migrate.tsadmin.intent import Intent, Understood
from tscm_migrate.tsadmin.reader import QuestionReader, dialects
from tscm_migrate.tsadmin.session import Limits, NoOperator, OperatorPort, converse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tscm_migrate.model import Secret


# The kinds of questions about the network settings.
NETWORK = frozenset(
    {
        Kind.NETWORK,
        Kind.ADDRESS,
        Kind.CIDR,
        Kind.DHCP,
        Kind.STATIC,
        Kind.METHOD,
        Kind.APPLY,
        Kind.UNDER_WAY,
        Kind.REBOOT,
        Kind.PREFIX,
        Kind.NETMASK,
        Kind.NETWORK_ADDRESS,
        Kind.BROADCAST,
        Kind.GATEWAY,
        Kind.DNS,
        Kind.DNS_LIST,
        Kind.MORE_DNS,
    }
)
# A taught text is not sent to such a question if the network settings must not change.
_MAY_BE_NETWORK = re.compile(
    r"\b(?:net(?:work|conf)\w*|address\w*|ip|dhcp|interfaces?|re-?boot|re-?start)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class RestoreRequest:
    """Options of a restore, and the network settings of the old appliance for a dialogue that asks for them.

    Attributes:
        devices: known names, so that none is read as a word of the output.
        continues: an earlier pass of this run has chosen its archive, so a restore in progress is ours.
        limits: timeouts.
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
class RestoreOutcome:
    """How a pass ended.

    Attributes:
        answered: kinds of the answered questions; "operator" for an answer of a person, "literal:ROW" for a taught
            text.
        stopped_at: the question at which the pass was ended; "" if it ended by itself.
    """

    answered: tuple[str, ...]
    lost: bool
    status: int | None
    printed: output.Output
    text: str = field(repr=False)
    stopped_at: str = ""

    def devices(self, known: Collection[str] = ()) -> tuple[str, ...]:
        """Return the devices that the output names.

        Args:
            known: names of the old appliance's etc tree: each that is printed counts; if there are none, the words
                after
                "device" count ("restoring device edge-asa").
        """
        if known:
            return device_discovery.in_text(self.text, known)
        found = re.findall(r"\bdevice\b\s*[:=]?\s*['\"]?([A-Za-z0-9][\w.-]*)", self.text, re.IGNORECASE)
        return tuple(dict.fromkeys(name for name in found if not re.fullmatch(r"[a-z]+", name)))

    def files(self, most: int = 200) -> tuple[str, ...]:
        """Return the absolute paths of files that the output names."""
        found = re.findall(r"(?<![\w./-])/(?:[\w@+.-]+/)+[\w@+.-]*\w", self.text)
        return tuple(dict.fromkeys(found))[:most]

    def did(self, *kinds: str) -> bool:
        """Return whether a question of one of these kinds was answered."""
        return any(kind in self.answered for kind in kinds)

    @property
    def may_restart(self) -> bool:
        """Whether the appliance may be about to restart: the output or an answer says so, or a signal ended the pass."""
        return self.status is None or self.did(Kind.REBOOT) or output.announces_restart(self.text)

    @property
    def gist(self) -> str:
        """The line that describes the result best."""
        return (self.printed.failures or (self.printed.last,))[-1]

    @property
    def clean(self) -> bool:
        """Whether it ended with status 0, and no line reports trouble."""
        return self.status == 0 and not self.printed.troubles

    @property
    def ended_well(self) -> bool:
        """Whether it ended by itself and well: a status other than 0 is a failure only if a line reports trouble."""
        ended = self.status is not None and not self.printed.failures
        return ended and (self.status == 0 or not self.printed.troubles)


def options(request: RestoreRequest, passphrase_file: str = "") -> list[str]:
    """Return the documented options: those of a backup, and those for the network settings."""
    shared = backup.BackupRequest(request.interface, debug=request.debug, leave_tmp_files=request.leave_tmp_files)
    given = backup.options(shared, passphrase_file)
    if request.bypass_netconf:
        given.append("--bypass_netconf=1")
    if request.force_apply_netconf:
        given.append("--force_apply_netconf=1")
    return given


def command(appliance: Appliance, request: RestoreRequest) -> str:
    """Return the command as a person would type it."""
    encrypted = request.archive.endswith(".gpg") and request.passphrase
    return " ".join(
        [appliance.paths.tsadmin, "restore", *options(request, "(a 0600 file in memory)" if encrypted else "")]
    )


def reader_for(appliance: Appliance, request: RestoreRequest) -> QuestionReader:
    """Return a reader for one pass: with the intent, the values, and the dialects of this appliance."""
    intent = Intent(
        address=request.address, prefix=request.prefix, here=appliance.host.address, gateway=request.gateway or None,
        dns=request.dns, dhcp=request.dhcp, hostname=request.hostname or None, interface=request.interface or None,
        archive=request.archive, folder=request.folder, passphrase=request.passphrase, sudo=sudo_answer(appliance),
        restore_ssh=request.restore_ssh, restore_cron=request.restore_cron, bypass_netconf=request.bypass_netconf,
        continues=request.continues, there=frozenset(archive.name for archive in archives.listed(appliance)),
    )  # fmt: skip
    return QuestionReader(intent, dialects(appliance.host.dialect), "restore")


def run(
    appliance: Appliance,
    request: RestoreRequest,
    operator: OperatorPort,
    *,
    chosen: Callable[[], None] = lambda: None,
    only: Collection[str] | None = None,
) -> RestoreOutcome:
    """Run one pass.

    Args:
        appliance: the new appliance.
        request: what to restore.
        operator: answers unknown questions; what is taught takes effect at once, and is saved in the host's dialect.
        chosen: called when the archive is about to be chosen from the list: a later "restore in progress" is then ours,
            since
            a program that continues the restore of another run shows no list.
        only: kinds of `RestoreOutcome.answered` of other passes: the pass is ended, without an answer, at a question
            that is
            not among these, and at one about the network. None: all are answered.

    Raises:
        RestoreFailed: the archive is not in the list.
        UnknownPrompt: a question was not answered. DialogueSilent: a timeout. SshError: the connection failed; a
            connection
            that is lost later is not an error.
    """
    missing: list[str] = []

    def look(understood: Understood) -> None:
        missing[:] = [understood.not_listed] if understood.not_listed else []
        if only is not None and understood.kind is not None and not _may_answer(understood, only):
            raise _RestoreObserver(understood)
        if understood.kind is Kind.ARCHIVE:
            chosen()

    secret = request.passphrase if request.archive.endswith(".gpg") else None
    with PassphraseFile(appliance, secret) as file:
        words = [appliance.paths.tsadmin, "restore", *(quote(word) for word in options(request, file.path))]
        try:
            talked = converse(
                appliance, file.guarded(" ".join(words)), reader_for(appliance, request), operator, look=look,
                display=command(appliance, request), limits=request.limits,
            )  # fmt: skip
        except _RestoreObserver as seen:
            question = seen.understood.question
            return RestoreOutcome((), False, None, output.read(""), "", stopped_at=question)  # noqa: FBT003
        except UnknownPrompt as error:
            if missing:
                raise RestoreFailed(appliance.name, f"{missing[-1]}; no archive was chosen") from error
            raise
    printed = output.read(
        talked.text, questions=[exchange.prompt for exchange in talked.exchanges], names=request.devices
    )
    return RestoreOutcome(
        tuple(exchange.rule for exchange in talked.exchanges), talked.lost, talked.status, printed, talked.text
    )


def _may_answer(understood: Understood, only: Collection[str]) -> bool:
    """Return whether a restore that is followed up to the network question answers this question."""
    if understood.kind in NETWORK or understood.rule not in only:
        return False
    return understood.kind is not Kind.LITERAL or not _MAY_BE_NETWORK.search(understood.question)


class Unsent:
    """Lets a person teach an answer that is not sent: the dialogue is ended after it."""

    def __init__(self, operator: OperatorPort) -> None:
        self._operator = operator
        self.kind: Kind | None = None  # of what was taught
        self.asked: Understood | None = None

    @property
    def attended(self) -> bool:
        """Whether a person can be asked."""
        return self._operator.attended

    def answer(self, host: str, understood: Understood, shown: Sequence[str], *, unseen: bool = False) -> str | None:
        """Ask for the answer to teach."""
        self.asked = understood
        self._operator.inform("the network settings may be next: your answer is saved, and not sent now")
        return self._operator.answer(host, understood, shown, unseen=unseen)

    def remember(self, host: str, question: str, kinds: Sequence[Kind]) -> Kind | None:
        """Ask for the kind; the dialogue ends here if the answer is not to be remembered."""
        self.kind = self._operator.remember(host, question, kinds)
        if self.kind is None:
            raise _RestoreObserver(self.asked or Understood(question))
        return self.kind

    def inform(self, text: str, question: str = "", *, saved: bool = True) -> None:
        """Show the result, and end the dialogue."""
        self._operator.inform(text, question, saved=saved)
        raise _RestoreObserver(self.asked or Understood(text))


def look_at_list(appliance: Appliance, request: RestoreRequest) -> str:
    """Start a restore, look for the archive in its list, and end the dialogue before the first answer.

    The network settings are bypassed, so that nothing can be applied meanwhile.

    Returns:
        "" if it is listed; else a known question that is asked before the list is shown.

    Raises:
        RestoreFailed: the archive is not in the list, or the restore ends without a question.
        UnknownPrompt: an unknown question is asked before the list is shown.
    """
    looking = replace(request, bypass_netconf=True, force_apply_netconf=False, continues=True)
    words = [appliance.paths.tsadmin, "restore", *(quote(word) for word in options(looking))]

    def look(understood: Understood) -> None:
        if understood.not_listed or understood.kind not in (None, Kind.SUDO, Kind.PAGER):
            raise _RestoreObserver(understood)

    try:
        talked = converse(
            appliance, f"exec {' '.join(words)}", reader_for(appliance, looking), NoOperator(), look=look,
            display=f"{command(appliance, looking)}, only to look", limits=request.limits,
        )  # fmt: skip
    except _RestoreObserver as seen:
        question = seen.understood
        if question.not_listed:
            raise RestoreFailed(appliance.name, question.not_listed) from None
        if question.kind is Kind.UNDER_WAY:
            detail = (
                f"another restore is under way on it, of an archive that is not known; it asks: {question.question}"
            )
            raise RestoreFailed(appliance.name, detail) from None
        return "" if question.kind is Kind.ARCHIVE else question.question
    raise RestoreFailed(appliance.name, f"its restore ended without a question: {output.read(talked.text).gist}")


class _RestoreObserver(Exception):
    """Raised at a question at which a dialogue is ended without an answer."""

    def __init__(self, understood: Understood) -> None:
        super().__init__(understood.question)
        self.understood = understood
