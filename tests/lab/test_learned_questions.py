"""Appliances with unknown questions: refused without changes, learned with `prompts learn`, then migrated."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.migrations import MIGRATE, all_output, keys_of, needed
from tests.support.person import NEWEST, TaughtAnswer, learn
from tests.support.programs import install_program

if TYPE_CHECKING:
    import subprocess

    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab

pytestmark = needed(500)

PHRASE = "Grüße & 'Quotes' $HOME"
ENV = {"TSCM_PASSPHRASE": PHRASE}
# Answers of an operator who restores the SSH identity, and not the cron files.
TINTO = (
    TaughtAnswer("Protect the archive with a password", "yes", "encrypt"),
    TaughtAnswer("New archive password|The same once more|Archive password", PHRASE, "passphrase"),
    TaughtAnswer("Pick one", NEWEST, "archive"),
    TaughtAnswer("secure shell identity", "yes", "ssh"),
    TaughtAnswer("scheduled jobs", "no", "cron"),
    TaughtAnswer("Type overwrite", "overwrite", "devices-exist"),
    TaughtAnswer("Is the above correct", "yes", "network"),
)
QUAY = (
    TaughtAnswer("Protect it, and all later ones", "y", "encrypt"),
    TaughtAnswer("GPG secret|Once more", PHRASE, "passphrase"),
    TaughtAnswer("-- more --", "", "pager"),
    TaughtAnswer("lose what is set here", "y", "devices-exist"),
    TaughtAnswer("present itself with it", "y", "ssh"),
    TaughtAnswer("Put it in place", "n", "cron"),
    TaughtAnswer("Take that address over", "y", "network"),
    TaughtAnswer(r"threatstop_backup_[\d_-]+", NEWEST, "archive"),
)
PLOVER = (
    TaughtAnswer(r"ENCRYPT \[E\], PLAIN", "e", "encrypt"),
    TaughtAnswer("FILE NAME", "", "offered-name"),
    TaughtAnswer("PASSPHRASE|ONCE MORE", PHRASE, "passphrase"),
    TaughtAnswer("WHICH ONE", NEWEST, "archive"),
    TaughtAnswer("USE THIS ONE", "y", "proceed"),
    TaughtAnswer(r"3 \[X\] CRON", "3", "literal"),
    TaughtAnswer(r"3 \[ \] CRON  4 \[ \]", "4", "literal"),
    TaughtAnswer(r"3 \[ \] CRON  4 \[X\]", "g", "literal"),
    TaughtAnswer(r"CONTINUE\? ", "y", "devices-exist"),
    TaughtAnswer("IN PROGRESS", "y", "under-way"),
)
HAUS = (
    TaughtAnswer("encrypted with a passphrase", "y", "encrypt"),
    TaughtAnswer("the new passphrase|once more|Passphrase of this backup", PHRASE, "passphrase"),
    TaughtAnswer("Which Nr", NEWEST, "archive"),
    TaughtAnswer("Take over the network settings", "y", "network"),
    TaughtAnswer("Go on all the same", "y", "devices-exist"),
    TaughtAnswer("also the SSH configuration", "n", "ssh"),
    TaughtAnswer("also the cron files", "n", "cron"),
)
CLERK = (
    TaughtAnswer("protected by means of encryption", "yes", "encrypt"),
    TaughtAnswer("Kindly specify the passphrase", PHRASE, "passphrase"),
    TaughtAnswer("Kindly enter the number", NEWEST, "archive"),
    TaughtAnswer("identity of the secure shell", "no", "ssh"),
    TaughtAnswer("Cron configuration files", "no", "cron"),
    TaughtAnswer("really wish to proceed", "yes", "devices-exist"),  # prose: keep
    TaughtAnswer("Shall the network configuration", "yes", "network"),
)
TERSE = (
    TaughtAnswer("encrypt[?]", "y", "encrypt"),
    TaughtAnswer("pw: ", PHRASE, "passphrase"),
    TaughtAnswer("# ", NEWEST, "archive"),
    TaughtAnswer("ip .* -> ", "y", "network"),
    TaughtAnswer("devices exist, overwrite", "y", "devices-exist"),
    TaughtAnswer("ssh[?]", "n", "ssh"),
    TaughtAnswer("cron[?]", "n", "cron"),
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
    """One simulated program, its two appliances, and the options of the migration; each option occurs once."""

    known: tuple[TaughtAnswer, ...]
    profile: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


SUDO = "hunter2-of-the-lab"
BUSY, GRUMBLE = "quay-09", "The portal could not be reached (error 7)."
CASES = {
    "tinto": Case(TINTO, settings={"forgets_file": "yes"}),
    "quay": Case(QUAY, settings={"busy": BUSY}),
    "plover": Case(PLOVER),
    "haus": Case(HAUS, settings={"grumble": GRUMBLE}, options=("--no-restore-ssh",)),
    "clerk": Case(CLERK, {"hostname": "tsclient", "login_shell": "/usr/bin/dash"}, options=("--restore-cron",)),
    "terse": Case(TERSE, {"sudo_password": SUDO, "login_shell": "/usr/bin/zsh"}),
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


@pytest.mark.slow(160)
@pytest.mark.parametrize("program", CASES)
def test_unknown_questions_are_refused_learned_and_then_answered(make_lab: MakeLab, program: str) -> None:
    case = CASES[program]
    lab = make_lab(case.profile, case.profile)
    env = ENV | ({"TSCM_SUDO_PASSWORD": SUDO} if "sudo_password" in case.profile else {})
    install_program(lab, program, sudo_password="sudo_password" in case.profile, **case.settings)
    lab.on("old", f"echo '{MARK}' >> /etc/cron.d/multidevice-core")
    before, etc, keys = files_of(lab), etc_of(lab, "old"), {name: keys_of(lab, name) for name in ("old", "new")}
    result = lab.run_tool(*MIGRATE, "--yes", *case.options, env=env, timeout=400)
    assert result.returncode == 3, all_output(result)
    assert "prompts learn tscm-new --from tscm-old" in result.stderr, all_output(result)
    assert_unchanged(lab, before, all_output(result))

    shown = learn(lab, case.known, env=env)
    assert PHRASE not in lab.inventory.with_name("dialect.toml").read_text()
    assert_unchanged(lab, before, shown)

    result = migrate(lab, case, env)
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
    assert not re.search(re.escape(PHRASE), result.stdout + result.stderr)


def assert_unchanged(lab: NamespaceLab, before: dict[str, list[str]], message: str) -> None:
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}, message
    assert files_of(lab) == before, message


def migrate(lab: NamespaceLab, case: Case, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return lab.run_tool(*MIGRATE, "--yes", *case.options, env=env, timeout=400)


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
