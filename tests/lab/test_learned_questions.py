"""Appliances with unknown questions: refused without changes, learned, then migrated.

One program is learned with `prompts learn`, which takes minutes: each unknown question is asked only after some seconds
of silence, and it restores several times. The dialects of the others are learned from their recorded questions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.migrations import MIGRATE, all_output, keys_of, needed
from tests.support.person import FRAMED, NEWEST, TaughtAnswer, learn
from tests.support.programs import install_program
from tests.support.taught import PASSPHRASE, teach

if TYPE_CHECKING:
    import subprocess

    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab

pytestmark = needed(500)

ENV = {"TSCM_PASSPHRASE": PASSPHRASE}
# Answers of an operator who restores neither the SSH identity nor the cron files.
HAUS = (
    TaughtAnswer("encrypted with a passphrase", "y", "encrypt"),
    TaughtAnswer("the new passphrase|once more|Passphrase of this backup", PASSPHRASE, "passphrase"),
    TaughtAnswer("Which Nr", NEWEST, "archive"),
    TaughtAnswer("Take over the network settings", "y", "network"),
    TaughtAnswer("Go on all the same", "y", "devices-exist"),
    TaughtAnswer("also the SSH configuration", "n", "ssh"),
    TaughtAnswer("also the cron files", "n", "cron"),
)
# All files except those that may change in a refused run: archives, logs, and the stored encryption settings.
FILES = (
    "cd /; find etc opt home root tmp dev/shm var/lib/tscm-migrate -xdev ! -name 'threatstop_*' ! -path 'etc/mtab' "
    "! -name '.backup*' ! -name enc -printf '%p %y %m %u %g\\n' 2>/dev/null | sort; "
    "find etc opt home -xdev -type f ! -name 'threatstop_*' ! -name '.backup*' ! -name enc -exec sha256sum {} + 2>/dev/null | sort"
)


def files_of(lab: NamespaceLab) -> dict[str, list[str]]:
    return {name: lab.on(name, FILES).stdout.splitlines() for name in ("old", "new")}


def etc_of(lab: NamespaceLab, name: str) -> str:
    script = "cd /opt/threatstop/etc && find . -type f ! -name '.backup*' ! -name enc -exec sha256sum {} + | sort -k2"
    return lab.on(name, script).stdout


@dataclass(frozen=True)
class Case:
    """The two appliances of one simulated program, and the options of the migration; each option occurs once."""

    profile: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ("--no-rehearsal",)

    @property
    def env(self) -> dict[str, str]:
        return ENV | ({"TSCM_SUDO_PASSWORD": SUDO} if "sudo_password" in self.profile else {})


SUDO = "hunter2-of-the-lab"
BUSY, GRUMBLE = "quay-09", "The portal could not be reached (error 7)."
CASES = {
    "haus": Case(settings={"grumble": GRUMBLE}, options=("--no-restore-ssh",)),
    "tinto": Case(settings={"forgets_file": "yes"}),
    "quay": Case(settings={"busy": BUSY}),
    "plover": Case(),
    "clerk": Case(
        {"hostname": "tsclient", "login_shell": "/usr/bin/dash"}, options=("--restore-cron", "--no-rehearsal")
    ),
    "terse": Case({"sudo_password": SUDO, "login_shell": "/usr/bin/zsh"}),
}
MARK = "# from tscm-old"
DEVICES = {
    "haus": "fw-zentrale asa02 palo",
    "clerk": "munich berlin-2 10.9.8.7",
    "terse": "a10 edge core-sw",
    "quay": " ".join(f"quay-{number:02}" for number in range(1, 44)),
    "tinto": "hq-fw1 dmz-pa branch.7",
    "plover": "plv-asa plv-edge plv-7",
}


def lab_of(make_lab: MakeLab, program: str) -> NamespaceLab:
    case = CASES[program]
    lab = make_lab(case.profile, case.profile)
    install_program(lab, program, sudo_password="sudo_password" in case.profile, **case.settings)
    lab.on("old", f"echo '{MARK}' >> /etc/cron.d/multidevice-core")
    return lab


@pytest.mark.slow(160)
def test_unknown_questions_are_refused_learned_and_then_answered(make_lab: MakeLab) -> None:
    case, lab = CASES["haus"], lab_of(make_lab, "haus")
    before = files_of(lab)
    result = migrate(lab, case)
    assert result.returncode == 3, all_output(result)
    assert "prompts learn tscm-new --from tscm-old" in result.stderr, all_output(result)
    assert_unchanged(lab, before, all_output(result))

    shown = learn(lab, HAUS, env=case.env)
    questions = FRAMED.findall(shown)
    assert len(questions) == len(set(questions)), "a learned answer is used when the question is asked again"
    assert PASSPHRASE not in lab.inventory.with_name("dialect.toml").read_text()
    assert_unchanged(lab, before, shown)
    assert_migrates(lab, "haus")


@pytest.mark.slow(40)
@pytest.mark.parametrize("program", [program for program in CASES if program != "haus"])
def test_learned_dialect_answers_all_questions_of_a_migration(make_lab: MakeLab, program: str) -> None:
    lab = lab_of(make_lab, program)
    teach(program, lab.inventory.with_name("dialect.toml"))
    assert_migrates(lab, program)


def assert_migrates(lab: NamespaceLab, program: str) -> None:
    """Migrate with the learned answers, and check the result."""
    case, etc, keys = CASES[program], etc_of(lab, "old"), {name: keys_of(lab, name) for name in ("old", "new")}
    result = migrate(lab, case)
    assert result.returncode == 0, all_output(result)
    assert lab.addresses() == {"old": None, "new": "10.1.1.43"}
    assert lab.collisions() == []
    assert etc_of(lab, "new") == etc
    side = "new" if "--no-restore-ssh" in case.options else "old"
    assert keys_of(lab, "new") == keys[side], "the learned answers do not depend on the options of the migration"
    cron = lab.on("new", "cat /etc/cron.d/multidevice-core").stdout
    assert (MARK in cron) is ("--restore-cron" in case.options), cron
    assert (GRUMBLE in result.stdout + result.stderr) is ("grumble" in case.settings), all_output(result)
    log = lab.on("new", f"cat /var/log/threatstop/{program}.log").stdout
    assert set(re.findall(r"^updated (\S+)$", log, re.MULTILINE)) == set(DEVICES[program].split()), all_output(result)
    assert not re.search(r"^(?:chosen|key '') *$|^key '':", log, re.MULTILINE), (
        "the end of input was not used as an answer"
    )
    assert not re.search(re.escape(PASSPHRASE), result.stdout + result.stderr)


def assert_unchanged(lab: NamespaceLab, before: dict[str, list[str]], message: str) -> None:
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}, message
    assert files_of(lab) == before, message


def migrate(lab: NamespaceLab, case: Case) -> subprocess.CompletedProcess[str]:
    return lab.run_tool(*MIGRATE, "--yes", *case.options, env=case.env, timeout=400)


TINTO_TAUGHT = """
[[question]]
kind = "archive"
text = "Pick one (q quits)"
dialogue = "restore"

[[question]]
kind = "network"
text = "-- Network settings host tsclient interface eth0 address {cidr} Is the above correct"
yes = "does"
ips = ["address"]
dialogue = "restore"
"""


def test_a_run_killed_between_two_questions_of_a_restore_is_resumed(make_lab: MakeLab) -> None:
    lab = make_lab()
    install_program(lab, "tinto")
    lab.inventory.with_name("dialect.toml").write_text(TINTO_TAUGHT)
    etc = etc_of(lab, "old")
    tool = lab.spawn_tool(*MIGRATE, "--yes", "--no-encrypt", "--no-rehearsal")
    assert tool.stdout is not None
    shown, in_second_pass = [], False
    for line in tool.stdout:
        shown.append(line)
        in_second_pass = "secure shell identity" in line and lab.addresses()["new"] == "10.1.1.43"
        if in_second_pass:
            break
    tool.kill()
    tool.wait(60)
    assert in_second_pass, "".join(shown)
    result = lab.run_tool("resume", "--yes", timeout=400)
    assert result.returncode == 0, all_output(result)
    assert etc_of(lab, "new") == etc
    log = lab.on("new", "cat /var/log/threatstop/tinto.log").stdout
    assert set(re.findall(r"^updated (\S+)$", log, re.MULTILINE)) == set(DEVICES["tinto"].split()), all_output(result)
    assert lab.on("new", "ls -A /dev/shm").stdout == ""
