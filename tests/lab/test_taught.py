"""Appliances of other words: refused untaught with both as before, taught by a scripted person, then without a stop."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.migrations import MIGRATE, all_output, keys_of, needed
from tests.support.person import NEWEST, Taught, learn
from tests.support.programs import install_program

if TYPE_CHECKING:
    import subprocess

    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab

pytestmark = needed(500)

PHRASE = "Grüße & 'Quotes' $HOME"
ENV = {"TSCM_PASSPHRASE": PHRASE}
# What a person types who has the migration in mind: the SSH identity is wanted, the schedule is not.
TINTO = (
    Taught("Protect the archive with a password", "yes", "encrypt"),
    Taught("New archive password|The same once more|Archive password", PHRASE, "passphrase"),
    Taught("Pick one", NEWEST, "archive"),
    Taught("secure shell identity", "yes", "ssh"),
    Taught("scheduled jobs", "no", "cron"),
    Taught("Type overwrite", "overwrite", "devices-exist"),
    Taught("Is the above correct", "yes", "network"),
)
QUAY = (
    Taught("Protect it, and all later ones", "y", "encrypt"),
    Taught("GPG secret|Once more", PHRASE, "passphrase"),
    Taught("-- more --", "", "pager"),
    Taught("lose what is set here", "y", "devices-exist"),
    Taught("present itself with it", "y", "ssh"),
    Taught("Put it in place", "n", "cron"),
    Taught("Take that address over", "y", "network"),
    Taught(r"threatstop_backup_[\d_-]+", NEWEST, "archive"),
)
PLOVER = (
    Taught(r"ENCRYPT \[E\], PLAIN", "e", "encrypt"),
    Taught("FILE NAME", "", "offered-name"),
    Taught("PASSPHRASE|ONCE MORE", PHRASE, "passphrase"),
    Taught("WHICH ONE", NEWEST, "archive"),
    Taught("USE THIS ONE", "y", "proceed"),
    Taught(r"3 \[X\] CRON", "3", "literal"),
    Taught(r"3 \[ \] CRON  4 \[ \]", "4", "literal"),
    Taught(r"3 \[ \] CRON  4 \[X\]", "g", "literal"),
    Taught(r"CONTINUE\? ", "y", "devices-exist"),
    Taught("IN PROGRESS", "y", "under-way"),
)
HAUS = (
    Taught("encrypted with a passphrase", "y", "encrypt"),
    Taught("the new passphrase|once more|Passphrase of this backup", PHRASE, "passphrase"),
    Taught("Which Nr", NEWEST, "archive"),
    Taught("Take over the network settings", "y", "network"),
    Taught("Go on all the same", "y", "devices-exist"),
    Taught("also the SSH configuration", "n", "ssh"),
    Taught("also the cron files", "n", "cron"),
)
CLERK = (
    Taught("protected by means of encryption", "yes", "encrypt"),
    Taught("Kindly specify the passphrase", PHRASE, "passphrase"),
    Taught("Kindly enter the number", NEWEST, "archive"),
    Taught("identity of the secure shell", "no", "ssh"),
    Taught("Cron configuration files", "no", "cron"),
    Taught("really wish to proceed", "yes", "devices-exist"),
    Taught("Shall the network configuration", "yes", "network"),
)
TERSE = (
    Taught("encrypt[?]", "y", "encrypt"),
    Taught("pw: ", PHRASE, "passphrase"),
    Taught("# ", NEWEST, "archive"),
    Taught("ip .* -> ", "y", "network"),
    Taught("devices exist, overwrite", "y", "devices-exist"),
    Taught("ssh[?]", "n", "ssh"),
    Taught("cron[?]", "n", "cron"),
)
# What may change although everything is put back: archives stay, logs grow, an appliance remembers how it encrypts.
SEEN = (
    "cd /; find etc opt home root tmp dev/shm var/lib/tscm-migrate -xdev ! -name 'threatstop_*' ! -path 'etc/mtab' "
    "! -name '.backup*' ! -name enc -printf '%p %y %m %u %g\\n' 2>/dev/null | sort; "
    "find etc opt home -xdev -type f ! -name 'threatstop_*' ! -name '.backup*' ! -name enc -exec sha256sum {} + 2>/dev/null | sort"
)


def seen(lab: NamespaceLab) -> dict[str, list[str]]:
    return {name: lab.on(name, SEEN).stdout.splitlines() for name in ("old", "new")}


def etc_of(lab: NamespaceLab, name: str) -> str:
    script = "cd /opt/threatstop/etc && find . -type f ! -name '.backup*' ! -name enc -exec sha256sum {} + | sort -k2"
    return lab.on(name, script).stdout


@dataclass(frozen=True)
class Case:
    """One stranger, its two appliances, and how the migration is asked for; each of the options occurs once."""

    known: tuple[Taught, ...]
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
MARK = "# of the old one"
DEVICES = {
    "haus": "fw-zentrale asa02 palo",
    "clerk": "munich berlin-2 10.9.8.7",
    "terse": "a10 edge core-sw",
    "quay": " ".join(f"quay-{number:02}" for number in range(1, 44)),
    "tinto": "hq-fw1 dmz-pa branch.7",
    "plover": "plv-asa plv-edge plv-7",
}


@pytest.mark.slow(160)
@pytest.mark.parametrize("stranger", CASES)
def test_a_stranger_is_refused_untaught_and_migrated_without_a_stop_once_it_is_taught(
    make_lab: MakeLab, stranger: str
) -> None:
    case = CASES[stranger]
    lab = make_lab(case.profile, case.profile)
    env = ENV | ({"TSCM_SUDO_PASSWORD": SUDO} if "sudo_password" in case.profile else {})
    install_program(lab, stranger, sudo_password="sudo_password" in case.profile, **case.settings)
    lab.on("old", f"echo '{MARK}' >> /etc/cron.d/multidevice-core")
    before, etc, keys = seen(lab), etc_of(lab, "old"), {name: keys_of(lab, name) for name in ("old", "new")}
    result = lab.run_tool(*MIGRATE, "--yes", *case.options, env=env, timeout=400)
    assert result.returncode == 3, all_output(result)
    assert "prompts learn tscm-new --from tscm-old" in result.stderr, all_output(result)
    as_before(lab, before, all_output(result))

    shown = learn(lab, case.known, env=env)
    assert PHRASE not in lab.inventory.with_name("dialect.toml").read_text()
    as_before(lab, before, shown)

    result = migrate(lab, case, env)
    assert result.returncode == 0, all_output(result)
    assert lab.addresses() == {"old": None, "new": "10.1.1.43"}
    assert lab.collisions() == []
    assert etc_of(lab, "new") == etc
    kept = "new" if "--no-restore-ssh" in case.options else "old"
    assert keys_of(lab, "new") == keys[kept], "what was taught serves whatever the options ask for"
    cron = lab.on("new", "cat /etc/cron.d/multidevice-core").stdout
    assert (MARK in cron) is ("--restore-cron" in case.options), cron
    assert (GRUMBLE in result.stdout + result.stderr) is ("grumble" in case.settings), all_output(result)
    told = lab.on("new", f"cat /var/log/threatstop/{stranger}.log").stdout
    assert set(re.findall(r"^updated (\S+)$", told, re.MULTILINE)) == set(DEVICES[stranger].split()), all_output(result)
    assert not re.search(r"^(?:chosen|key '') *$|^key '':", told, re.MULTILINE), "an end of input is not an answer"
    assert not re.search(re.escape(PHRASE), result.stdout + result.stderr)


def as_before(lab: NamespaceLab, before: dict[str, list[str]], told: str) -> None:
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}, told
    assert seen(lab) == before, told


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


def test_a_run_that_is_killed_between_two_questions_of_a_restore_is_resumed(make_lab: MakeLab) -> None:
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
    told = lab.on("new", "cat /var/log/threatstop/tinto.log").stdout
    assert set(re.findall(r"^updated (\S+)$", told, re.MULTILINE)) == set(DEVICES["tinto"].split()), all_output(result)
    assert lab.on("new", "ls -A /dev/shm").stdout == ""
