"""`prompts record` and `prompts replay`: learn how an appliance asks, with a person who answers; check it later."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tscm_migrate.appliance import facts, listing, recording
from tscm_migrate.appliance.base import Appliance
from tscm_migrate.appliance.names import newest
from tscm_migrate.appliance.prompts import Rule, Table
from tscm_migrate.appliance.rules import backup_rules, restore_rules
from tscm_migrate.appliance.talk import converse
from tscm_migrate.errors import UnknownPrompt, UsageError
from tscm_migrate.site import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tscm_migrate.appliance.facts import Facts
    from tscm_migrate.migration.context import Operator
    from tscm_migrate.site import Archive, Host
    from tscm_migrate.ssh.shell import Shell

_SECRET = re.compile(r"pass\s*-?(?:phrase|word|code)|secret|\bkey\b|\bpin\b", re.IGNORECASE)
DIALOGUES = ("restore", "backup")


class _Recorder:
    """Stands between the dialogue and the person: proposes what the rules would say, and writes down what is said."""

    attended = True

    def __init__(
        self, operator: Operator, table: Table, record: recording.Recording, archives: Sequence[Archive]
    ) -> None:
        self._operator, self._table, self._record = operator, table, record
        latest = newest(archives)
        self._archive, self._archives = latest.name if latest else "", [archive.name for archive in archives]
        self._shown: list[str] = []

    def answer(self, host: str, prompt: str, context: str) -> str | None:
        before = tuple(context.splitlines()[:-1])
        self._shown += before
        choice = self._table.choose(prompt, before)
        there = self._archives
        entry = (
            listing.pick(self._shown, self._archive, "", there)
            if listing.asks_for_archive(prompt, self._shown)
            else None
        )
        rule, text = ("archive", entry.number) if entry else (choice.rule, choice.text) if choice else ("", "")
        secret = bool(choice and choice.secret) or bool(_SECRET.search(prompt))
        hint = f"the rule {rule!r} would answer {'a secret' if secret else repr(text)}; empty takes it" if rule else ""
        typed = self._operator.answer(host, prompt, context, hint=hint)
        if typed is None:
            return None
        said, by = (text, rule) if rule and not typed else (typed, "operator")
        if choice is not None and by == choice.rule:
            self._table.sent(choice, prompt)
        self._record.asked.append(recording.Asked(prompt.strip(), before, by, "" if secret else said))
        return said


def record(host: Host, dialogue: str, operator: Operator) -> recording.Recording:
    """Run one dialogue on an appliance, every question answered by the person at the terminal.

    Args:
        host: where; what the person answers really happens there.
        dialogue: restore or backup.
        operator: must be attended.

    Returns:
        What was asked and answered, without secrets, also where the person stopped in the middle.

    Raises:
        UsageError: nobody is there, or there is no such dialogue. SshError: see there.
    """
    if dialogue not in DIALOGUES:
        raise UsageError(f"--dialogue {dialogue!r} is unknown", f"one of: {', '.join(DIALOGUES)}")
    if not operator.attended:
        raise UsageError("a dialogue is recorded with a person who answers", "run it on a terminal")
    from tscm_migrate.secrets import Secrets

    secrets = Secrets(interactive=True)

    def dial(host: Host, expect: Sequence[str] | None = None) -> Shell:
        from tscm_migrate.ssh.connect import connect

        return connect(host, credentials=secrets, expect=expect)

    appliance = Appliance(host, dial)
    made = recording.Recording(host.name, dialogue)
    try:
        known = facts.gather(appliance)
        recorder = _Recorder(operator, table_for(known, host, dialogue), made, known.archives)
        command = f"{appliance.paths.tsadmin} {dialogue}"
        talked = converse(appliance, command, Table(()), recorder, display=command)
        made.status = talked.status
    except UnknownPrompt:
        pass  # the person stopped it: what was seen until then is worth keeping
    finally:
        appliance.close()
    return made


def table_for(known: Facts | None, host: Host, dialogue: str) -> Table:
    """Today's rules for a dialogue, with values that only stand for those of a real run."""
    site = tuple(rule for rule in host.prompts if rule.dialogue in (dialogue, "any"))
    rules: tuple[Rule, ...] = backup_rules(encrypt=True)
    if dialogue == "restore":
        rules = restore_rules(
            restore_ssh=True, restore_cron=False, bypass_netconf=False, dhcp=bool(known and known.dhcp),
            address=host.address,
        )  # fmt: skip
    own = next((i for i in known.interfaces if i.address == host.address), None) if known else None
    latest = newest(known.archives) if known else None
    values: dict[str, str | Secret | Sequence[str] | None] = {
        "passphrase": Secret("(the passphrase)"), "sudo": Secret("(the sudo password)"), "address": host.address,
        "archive": latest.name if latest else None, "interface": own.name if own else "eth0",
        "gateway": (known.gateway if known else "") or host.address,
        "dns": (known.dns if known else ()) or (host.address,),
        "netmask": "255.255.255.0", "prefix": str(own.prefix if own else 24),
        "hostname": known.hostname if known else host.name,
    }  # fmt: skip
    # a replay has the rules' own wishes: SSH, no cron
    return Table(rules, values, site, {"network": True, "ssh": True, "cron": False, "devices": True})
