"""Interprets the lines above a question: known facts, log lines, or unknown text. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tscm_migrate.tsadmin import archive_list
from tscm_migrate.tsadmin.dialect import LABELS, REFUSED, YES_NO, Dialect, DialectRow, Kind, slots_of
from tscm_migrate.tsadmin.intent import IPV4, Intent
from tscm_migrate.tsadmin.spelling import is_rule, joined, plain, sentences, take_apart, vocabulary, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 100  # lines above a question that are read
_WANTED_FOR_ITSELF = frozenset({Kind.SSH, Kind.CRON, Kind.NETWORK, Kind.ENCRYPT})
_LONGEST = 30  # longest line in words that may be a fact with a changed word
_BOTH = re.compile(
    r"\by(?:es)?\W+(?:or\W+)?no?\b", re.IGNORECASE | re.ASCII
)  # "Answer yes or no." does not change what yes does
_LEGEND = re.compile(r"\b(?:y|yes|n)\b", re.IGNORECASE | re.ASCII)  # a word in "y = skip, n = restore"
# Words that say how to answer, and name no subject.
_HOW_TO_ANSWER = vocabulary(
    "please enter type choose select provide specify supply give fill use press hit return keep leave empty blank accept confirm ok done wait continue "
    "you your we us let s will would must may can have has need needs needed necessary necessarily require required requires asked ask question questions "
    "answer answers is are was were be the a an this that these those it its each all some few and or if with by as at on in of to for from now first next "
    "then when step start starting started begin beginning entering while below here following shown displayed brackets used using chosen chose selected "
    "selecting detected found set setting default defaults information info details section complete finish"
)
# A line above "Enter passphrase:" that consists only of these words and of our archive's name is about that archive.
_OF_ARCHIVE = _HOW_TO_ANSWER | vocabulary(
    "archive archives backup backups file decrypt decrypting decryption encrypt encrypting encrypted encryption protect protects protected "
    "protection gpg aes passphrase opening unpacking extracting reading checking verifying verified restoring restore created made least characters long "
    "checksum size preparing validating valid locating loading temporary directory working folder process bytes kb mb kib mib"
)
# A line above "IP Address:" that consists only of these words is about this system's own network settings.
_OF_NETWORK = _HOW_TO_ANSWER | vocabulary(
    "network networking configuration config settings parameters values value field fields interface interfaces adapter ethernet static manually dhcp "
    "template method mode manual permanent new current applying updating configure configuring reconfiguring changing restoring saving writing loading "
    "reading checking backing stopping restarting up down setup wizard tscm system machine appliance host ip ipv tcp address addressing ones service "
    "systemctl via etc file files valid accepted dotted notation format about"
)
_OF_VALUE = {  # words that are about one value only: "DNS" above "IP Address:" asks for another address
    Kind.DNS: (dns := vocabulary("dns server servers name nameserver nameservers one per line")), Kind.DNS_LIST: dns, Kind.MORE_DNS: dns,
    Kind.GATEWAY: vocabulary("default gateway router"), Kind.NETMASK: vocabulary("subnet netmask mask"), Kind.HOSTNAME: vocabulary("name hostname"),
}  # fmt: skip
_EACH_VALUE = (vocabulary("ip address"), *(_OF_VALUE[kind] for kind in (Kind.DNS, Kind.GATEWAY, Kind.NETMASK)))
NETWORK_VALUES = frozenset({
    Kind.DHCP, Kind.STATIC, Kind.METHOD, Kind.ADDRESS, Kind.CIDR, Kind.NETMASK, Kind.PREFIX, Kind.BROADCAST, Kind.NETWORK_ADDRESS, Kind.GATEWAY,
    Kind.DNS, Kind.DNS_LIST, Kind.MORE_DNS, Kind.HOSTNAME, Kind.INTERFACE,
})  # fmt: skip
_BELOW_NETWORK = frozenset({Kind.APPLY, Kind.REBOOT, *NETWORK_VALUES})
_FROM_ARCHIVE = re.compile(r"\b(?:from|of|in) (?:the )?(?:backup|archive)\b", re.IGNORECASE)
_INTERFACE = re.compile(r"\b(?:eth|ens|eno|enp|em)\d+(?:s\d+)?\b", re.ASCII)
# What else a secret or a network value can be for. Neither is sent below a line that names one of these.
_DEVICE = rf"\bdevice(?! configurations)\b|{'|'.join(map(re.escape, LABELS))}"
_OTHER_SECRET = re.compile(
    r"\bid_(?:rsa|dsa|ecdsa|ed25519)\b|\.(?:pem|key|crt|p12|pfx|jks|kdbx|asc|pgp)\b"
    r"|\b(?:keys?|keystore|keyring|keychain|host|certificate|cert|credentials?|password|login|vpn|proxy|wallet|token|account|administrator)\b"
    rf"|{_DEVICE}",
    re.IGNORECASE | re.ASCII,
)
_OTHER_NETWORK = re.compile(_DEVICE, re.IGNORECASE | re.ASCII)


class NotNow(Exception):
    """A row fits, but must not answer; the text is the reason."""


class Another(NotNow):
    """The question is about another address or archive than ours."""


def check_slots(intent: Intent, row: DialectRow, slots: dict[str, list[str]]) -> None:
    """Check that an address or an archive in a question is the expected one."""
    network = row.kind in (Kind.NETWORK, Kind.APPLY) or row.about in (Kind.NETWORK, Kind.APPLY)
    for number, shown in enumerate([*slots.get("ip", []), *(one.split("/")[0] for one in slots.get("cidr", []))]):
        role = row.ips[number] if number < len(row.ips) else "network" if network else "any"
        if not intent.may_show(shown, role):
            raise Another(f"{shown} is not the address that this question should show")
    for shown in slots.get("archive", []):
        if intent.archive is None or shown.rpartition("/")[2].lower() != intent.archive.lower():
            raise Another(f"{shown} is not the archive that is to be restored")


class Above(NotNow):
    """The question has no content of its own, and the lines above it do not make it known."""


class ChangedMeaning(Above, Another):
    """A line above the question may change what "yes" does; no answer is suggested."""


class StatedFacts:
    """The facts of some dialects, for one run."""

    def __init__(self, dialects: Sequence[Dialect], intent: Intent) -> None:
        self._rows = [row for dialect in dialects for row in dialect.facts]
        self._intent = intent
        self._seen: dict[str, list[str] | None] = {}

    def all_of(self, lines: Sequence[str], kind: Kind | None = None) -> list[str]:
        """Return the kinds of these lines, each of which must be a known fact; rows of the list are skipped.

        Lines that are only about the subject of a question of this `kind` are skipped, too.

        Raises:
            Above: a line is not known.
        """
        facts: list[str] = []
        at = 0
        while at < len(lines):
            if self._is_about(kind, plain(lines[at])) or is_rule(lines[at]) or archive_list.is_row(lines[at]):
                at += 1
                continue
            for size in (1, 2, 3):
                if (about := self.of(lines[at : at + size])) is not None:
                    facts += about
                    at += size
                    break
            else:
                raise Above(f"no row knows the line above it: {plain(lines[at])!r}")
        return facts

    def of(self, lines: Sequence[str]) -> list[str] | None:
        """Return the kinds of the facts in these lines, joined to one text; None if it is not a fact."""
        return self.in_text(joined(lines))

    def in_text(self, text: str) -> list[str] | None:
        """Return the kinds of a text that is a fact, or several sentences each of which is one; None if it is not."""
        if text not in self._seen:
            self._seen[text] = self._look_up(text)
        return self._seen[text]

    def is_refusal(self, line: str) -> bool:
        """Return whether a line states that the last answer was refused."""
        return self.of([line]) == [REFUSED]

    def check_subject(self, kind: Kind, lines: Sequence[str], head: str) -> None:
        """Check that the lines above and the first sentences of a question are known, and not about another intent.

        Raises:
            Above: there is such a line.
        """
        found = {*self.all_of(lines, kind), *(self.in_text(head) or [])}
        if other := found & _WANTED_FOR_ITSELF - {kind, Kind.NETWORK if kind in _BELOW_NETWORK else kind}:
            raise Above(f"the lines above it are about {', '.join(sorted(other))}")

    def check_above(self, kind: Kind, lines: Sequence[str], *, bare: bool = False) -> None:
        """Check the lines above a question with content of its own: they may be logs, but not a changed fact.

        A line that differs from a fact by one word means something else. With an address or an archive that is not
        ours, the question is another one. If a question for a secret or a network value does not name what it is for
        (`bare`), no line above it may name something else, not even a known fact.

        Raises:
            NotNow: there is such a line.
        """
        listed = any(
            self.of([line]) == [Kind.DEVICES_EXIST] for line in lines
        )  # the warning names devices, and asks nothing
        for line in lines[-_MOST:]:
            if is_rule(line) or archive_list.is_row(line):
                continue
            text = plain(line).rstrip(" .!")
            self._check_values(text)
            known = self.in_text(text) is not None
            if ((bare and not listed) or not known) and self._names_another(kind, text):
                raise Above(f"the line above it is about something else: {text!r}")
            if not known and not self._is_about(kind, text):
                self._check_unknown(kind, text)

    def _check_unknown(self, kind: Kind, text: str) -> None:
        if self._is_fact_with_a_word(text):
            raise NotNow(f"the line above it is a known line with another word: {text!r}")
        if kind in YES_NO and _LEGEND.search(_BOTH.sub(" ", text)):
            raise ChangedMeaning(f"the line above it may change what yes means: {text!r}")
        if (choice := take_apart(text).choice) and not choice.text[0].isalnum():
            raise NotNow(f"another question is above it: {text!r}")
        if kind in (Kind.NETWORK, Kind.APPLY) and re.search(IPV4, text):
            raise Above(f"no row knows the address above it: {text!r}")

    def _is_about(self, kind: Kind | None, text: str) -> bool:
        """Return whether a line has only words that describe what a question of this kind is about."""
        if kind in (Kind.PASSPHRASE, Kind.ENCRYPT):
            known, rest = _OF_ARCHIVE, self._without_archive(text)
        elif kind is Kind.ARCHIVE_NAME:
            return not archive_list.unknown_heading([text])
        elif kind in NETWORK_VALUES:
            known, rest = _OF_NETWORK | _OF_VALUE.get(kind, frozenset()), self._without_own_network(text)
        else:
            return False
        words = set(words_of(rest))
        if kind in NETWORK_VALUES and sum(not words.isdisjoint(value) for value in _EACH_VALUE) > 2:
            known = known.union(*_EACH_VALUE)  # a line that names all values: "IP address, netmask and gateway"
        return words <= known and not re.search(IPV4, rest)

    def _without_own_network(self, text: str) -> str:
        """Return a line without this system's interface and addresses, and without "from the backup"."""
        own = self._intent
        shown = {own.address, own.here, own.gateway, own.value(Kind.NETMASK, 0), *own.dns}
        text = re.sub(IPV4, lambda found: " " if found[0] in shown else found[0], _FROM_ARCHIVE.sub(" ", text))
        return _INTERFACE.sub(lambda found: " " if own.interface in (None, found[0]) else found[0], text)

    def _names_another(self, kind: Kind, text: str) -> bool:
        """Return whether a line names another secret or another archive; above a network value, whether a device."""
        if kind is Kind.PASSPHRASE:
            rest = self._without_archive(text)
            return _OTHER_SECRET.search(rest) is not None or bool(archive_list.names([rest]))
        return kind in NETWORK_VALUES and _OTHER_NETWORK.search(text) is not None

    def _without_archive(self, text: str) -> str:
        """Return a line without the archive that is to be restored, and without temporary folders."""
        name = re.escape(self._intent.archive or "threatstop_latest")
        return re.sub(
            rf"(?:/(?:[\w.-]+/)+)?{name}(?![\w.-]\w)|(?<!\S)/(?:var/)?tmp/[\w./-]*", "", text, flags=re.IGNORECASE
        )

    def _check_values(self, text: str) -> None:
        for row in self._rows:
            if match := row.pattern.fullmatch(text):
                check_slots(self._intent, row, slots_of(match))

    def _is_fact_with_a_word(self, text: str) -> bool:
        """Return whether a line without one of its words is a fact or a rule; a title between two rules is neither."""
        words = text.split(" ")
        if len(words) > _LONGEST:
            return False
        for at in range(len(words)):
            shorter = plain(" ".join([*words[:at], *words[at + 1 :]])).lstrip(" :")
            at_end = at in (0, len(words) - 1)
            if shorter and (at_end if is_rule(shorter) else self.in_text(shorter) is not None):
                return True
        return False

    def _look_up(self, text: str) -> list[str] | None:
        if not text:
            return []
        about = self._one(text.rstrip(" .!"))
        if about is not None:
            return [about]
        parts = [self._one(one) for one in sentences(text)]
        return [part for part in parts if part is not None] if len(parts) > 1 and None not in parts else None

    def _one(self, text: str) -> str | None:
        for row in self._rows:
            if match := row.pattern.fullmatch(text):
                try:
                    check_slots(self._intent, row, slots_of(match))
                except NotNow:
                    continue
                method = row.about in (Kind.DHCP, Kind.STATIC) and self._intent.wants(Kind(row.about)) is False
                return None if method else row.about
        return None
