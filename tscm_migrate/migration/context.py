"""The state of a running migration: both appliances, their facts, the options, the journal, the operator."""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

from tscm_migrate.appliance.appliance import Appliance, TimedDial
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.events import Emit, silent
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.migration.interrupt import Interrupts
from tscm_migrate.migration.journal import Journal
from tscm_migrate.model import Hooks, Host, Policy, Secret
from tscm_migrate.offsite.restore_source import RestoreSource
from tscm_migrate.options import MigrateOptions
from tscm_migrate.secrets import Secrets
from tscm_migrate.ssh.connect import connect
from tscm_migrate.ssh.shell import DEFAULT_TIMEOUTS, Shell
from tscm_migrate.tsadmin.dialect import Kind
from tscm_migrate.tsadmin.intent import Understood
from tscm_migrate.tsadmin.session import Limits, OperatorPort


def place_key(name: str, address: str) -> str:
    """Return the key of `expected_keys`: both appliances can be at one address in turn, each with its own keys."""
    return f"{name}@{address}"


class Dialler:
    """Connects to hosts; has the expected host keys of appliances that have moved (see `place_key`)."""

    def __init__(self, secrets: Secrets, emit: Emit) -> None:
        self._secrets = secrets
        self._emit = emit
        self.expected_keys: dict[str, tuple[str, ...]] = {}

    def __call__(self, host: Host, expect: Sequence[str] | None = None, *, within: float | None = None) -> Shell:
        """Connect, with `within` seconds for the TCP connection; see `ssh.connect.connect`."""
        keys = expect if expect is not None else self.expected_keys.get(place_key(host.name, host.address))
        timeouts = DEFAULT_TIMEOUTS if within is None else replace(DEFAULT_TIMEOUTS, connect=within)
        return connect(
            host, credentials=self._secrets, emit=self._emit, timeouts=timeouts, expect=keys,
            foreseen=self.expected_keys,
        )  # fmt: skip


class Operator(OperatorPort, Protocol):
    """The person at the terminal; `attended` is False without a terminal."""

    def confirm(self, question: str) -> bool:
        """Ask for yes or no; False without a terminal."""

    def instruct(self, text: str) -> bool:
        """Ask the operator to do something manually, and wait for the confirmation; False: it was not done."""


@dataclass(frozen=True)
class Session:
    """What a process works on a run with: the site, its secrets, who receives the events, and who is asked."""

    inventory: Inventory
    secrets: Secrets
    emit: Emit
    operator: Operator

    def watched(self, interrupts: Interrupts) -> "Session":
        """Return the same, with events that also check for a signal, and an operator whose answers are timed."""
        return replace(self, emit=interrupts.emit, operator=TimedOperator(self.operator, self.secrets))


@dataclass(frozen=True)
class Action:
    """One change (or wait) on a host: what a dry run prints and a run does.

    `describes` reads like an instruction; the result of `do` is sent to the step's generator, in a dry run `planned`
    is sent in its place. `beside`: checks on the other appliance that are made at the same time, in threads; they
    change nothing, and write no notes.
    """

    host: str
    describes: str
    do: Callable[[], Any]
    planned: Any = None
    beside: "tuple[Action, ...]" = ()


Actions: TypeAlias = "Generator[Action, Any, None]"


@dataclass
class Migration:
    """One run. The notes in the journal outlive the process; everything else is built again by `resume`."""

    run: str
    options: MigrateOptions
    old: Appliance
    new: Appliance
    old_facts: Facts
    new_facts: Facts
    journal: Journal
    dial: TimedDial
    operator: Operator
    policy: Policy
    passphrase: Secret | None = None
    interface: str = ""
    expected_keys: dict[str, tuple[str, ...]] = field(default_factory=dict)  # NAME@ADDRESS → fingerprints
    emit: Emit = field(default=silent)
    old_answers: bool | None = None  # after a resume: whether the old appliance answers; None: unknown
    interrupts: Interrupts = field(default_factory=lambda: Interrupts(silent))
    hooks: Hooks = field(default_factory=Hooks)
    only_rehearsal: str = ""  # the command that undoes everything after the rehearsal: rehearse, prompts learn
    restore_source: RestoreSource | None = None  # in disaster recovery: the backup that is restored

    def keys_of(self, *roles: Literal["old", "new"]) -> list[str]:
        """Return the host key fingerprints of the old or the new appliance, or of both, before the run."""
        facts = {"old": self.old_facts, "new": self.new_facts}
        keys = [key for role in roles for _, key in facts[role].host_keys]
        return list(dict.fromkeys([*keys, *(key for role in roles for key in self.get_note(f"{role}_keys", []))]))

    @property
    def reachable(self) -> tuple[Appliance, ...]:
        """The appliances that can be connected to: old (unless it is dead) and new."""
        return (self.new,) if self.restore_source is not None else (self.old, self.new)

    def set_note(self, key: str, value: Any) -> None:
        """Write a note to the journal, for later steps, a resume or the report; JSON types only."""
        self.journal.write("noted", key=key, value=value)

    def get_note(self, key: str, default: Any = None) -> Any:
        """Return the note `key` from the journal."""
        return self.journal.record.notes.get(key, default)

    def expect_keys(self, address: str, keys: Sequence[str]) -> None:
        """Expect one of these host keys of the new appliance at `address`, in place of those in known_hosts."""
        place, wanted = place_key(self.new.name, address), list(dict.fromkeys(keys))
        known = self.get_note("foreseen", {})
        if known.get(place) != wanted:
            self.set_note("foreseen", {**known, place: wanted})
        self.expected_keys[place] = tuple(wanted)

    @property
    def drain_timeout(self) -> float:
        """Seconds to wait for running updates: the option's, else the inventory's."""
        given = self.options.drain_timeout
        return given if given is not None else self.policy.drain_timeout

    @property
    def limits(self) -> Limits:
        """Timeouts of a backup or a restore."""
        return Limits(self.policy.tsadmin_silence, self.policy.tsadmin_timeout)

    @property
    def revert_after(self) -> float:
        """Seconds until an isolated old appliance returns by itself: the option's, else the inventory's."""
        given = self.options.revert_after
        return given if given is not None else self.policy.revert_after

    @property
    def paused_entries(self) -> tuple[str, ...]:
        """The cron entries of the old appliance that this run has paused."""
        undo = self.journal.record.undo.get("hold-updates", {})
        updates = (self.old.paths.cron_entry,) if undo.get("in_place") else ()
        return (*updates, *((self.old.paths.backup_cron,) if undo.get("backup_in_place") else ()))

    @property
    def restores_network(self) -> bool:
        """Whether the new appliance has to take the old address; False if it has it already."""
        has = {interface.address for interface in self.new_facts.interfaces} | {self.new_facts_address}
        return not self.options.bypass_netconf and self.old.host.address not in has

    @property
    def new_facts_address(self) -> str:
        """The address of the new appliance when its facts were gathered."""
        return str(self.get_note("new_address", self.new.host.address))


def waited(operator: Operator) -> float:
    """Return the seconds in which this process waited for the operator's answers; 0 where they are not measured."""
    return operator.waited if isinstance(operator, TimedOperator) else 0.0


@dataclass
class TimedOperator:
    """Pass every question on to `operator`, and add up how long the answers took; prompts of `secrets` count, too."""

    operator: Operator
    secrets: Secrets
    _waited: float = 0.0

    @property
    def waited(self) -> float:
        """Seconds in which a question stood open."""
        return self._waited + self.secrets.waited

    @property
    def attended(self) -> bool:
        """Whether there is anybody to ask."""
        return self.operator.attended

    def confirm(self, question: str) -> bool:
        """Ask for yes or no."""
        with self._open_question():
            return self.operator.confirm(question)

    def instruct(self, text: str) -> bool:
        """Ask the operator to do something manually."""
        with self._open_question():
            return self.operator.instruct(text)

    def answer(self, host: str, understood: Understood, shown: Sequence[str], *, unseen: bool = False) -> str | None:
        """Ask for the answer to a question of `tsadmin`."""
        with self._open_question():
            return self.operator.answer(host, understood, shown, unseen=unseen)

    def remember(self, host: str, question: str, kinds: Sequence[Kind]) -> Kind | None:
        """Ask whether and as what an answer is remembered."""
        with self._open_question():
            return self.operator.remember(host, question, kinds)

    def inform(self, text: str, question: str = "", *, saved: bool = True) -> None:
        """Show a line."""
        self.operator.inform(text, question, saved=saved)

    @contextlib.contextmanager
    def _open_question(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._waited += time.monotonic() - began
