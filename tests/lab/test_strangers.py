"""Whole migrations between appliances that we have not simulated ourselves: other words, other layouts, other habits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.migrations import MIGRATE as REHEARSED
from tests.support.migrations import keys_of, needed, said
from tests.support.strangers import move_in
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    import subprocess

    from tests.lab.conftest import MakeLab
    from tscm_migrate.lab.namespaces import NamespaceLab

pytest.skip("these appliances are taught from now on: rewritten with `prompts learn`", allow_module_level=True)

pytestmark = needed(240)

MIGRATE = (*REHEARSED, "--no-rehearsal")  # each question as often as the two real passes ask it

PASSPHRASE = "Grüße & 'Quotes' $HOME"
SUDO = "hunter2-of-the-lab"
LAYOUT = {
    "haus": ("fw-zentrale asa02 palo", "haus.log"),
    "clerk": ("munich berlin-2 10.9.8.7", "clerk.log"),
    "terse": ("a10 edge core-sw", "terse.log"),
    "quay": (" ".join(f"quay-{number:02}" for number in range(1, 44)), "quay.log"),
    "tinto": ("hq-fw1 dmz-pa branch.7", "tinto.log"),
    "plover": ("plv-asa plv-edge plv-7", "plover.log"),
}


def migrate(lab: NamespaceLab, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    words = (*MIGRATE, "--yes", *options)
    return lab.run_tool(*words, env={"TSCM_PASSPHRASE": PASSPHRASE, **env}, timeout=120)


def etc_of(lab: NamespaceLab, name: str) -> str:
    """The devices' files: what the appliance notes about its own backups is not among them."""
    script = "cd /opt/threatstop/etc && find . -type f ! -name '.backup*' ! -name enc -exec sha256sum {} + | sort -k2"
    return lab.on(name, script).stdout


@pytest.mark.parametrize(
    ("stranger", "options", "profile"),
    [
        pytest.param("haus", (), {}, id="haus-encrypted"),
        pytest.param("clerk", (), {"hostname": "tsclient", "login_shell": "/usr/bin/dash"}, id="clerk-encrypted"),
        pytest.param("clerk", ("--no-encrypt", "--restore-cron"), {}, id="clerk-plain"),
        pytest.param("terse", (), {"sudo_password": SUDO, "login_shell": "/usr/bin/zsh"}, id="terse-encrypted-sudo"),
        pytest.param("quay", (), {}, id="quay-encrypted"),
        pytest.param("quay", ("--no-encrypt", "--restore-cron", "--no-restore-ssh"), {}, id="quay-plain"),
        pytest.param("quay", (), {"sudo_password": SUDO, "login_shell": "/usr/bin/zsh"}, id="quay-encrypted-sudo"),
        pytest.param("tinto", (), {}, id="tinto-encrypted"),
        pytest.param("tinto", ("--no-encrypt", "--restore-cron"), {}, id="tinto-plain-cron"),
        pytest.param("tinto", ("--no-restore-ssh",), {}, id="tinto-own-keys"),
        pytest.param("plover", (), {}, id="plover-encrypted"),
        pytest.param("plover", ("--no-encrypt", "--restore-cron", "--no-restore-ssh"), {}, id="plover-plain"),
    ],
)
def test_a_stranger_is_migrated(
    rooms: MakeLab, stranger: str, options: tuple[str, ...], profile: dict[str, Any]
) -> None:
    lab = rooms(profile, profile)
    move_in(lab, stranger, sudo_password="sudo_password" in profile)
    etc, keys = etc_of(lab, "old"), {name: keys_of(lab, name) for name in ("old", "new")}
    cron = lab.on("old", "cat /etc/cron.d/multidevice-core").stdout
    assert etc
    words = (*REHEARSED, "--yes", *options)
    env = {"TSCM_PASSPHRASE": PASSPHRASE} | ({"TSCM_SUDO_PASSWORD": SUDO} if "sudo_password" in profile else {})
    result = lab.run_tool(*words, env=env, timeout=180)
    assert result.returncode == 0, said(result)

    assert lab.addresses() == {"old": None, "new": "10.1.1.43"}
    assert lab.collisions() == []
    assert etc_of(lab, "new") == etc
    assert keys_of(lab, "new") == keys["new" if "--no-restore-ssh" in options else "old"]
    assert lab.on("new", "cat /etc/cron.d/multidevice-core").stdout == cron
    devices, log = LAYOUT[stranger]
    told = lab.on("new", f"cat /var/log/threatstop/{log}").stdout
    assert set(re.findall(r"^updated (\S+)$", told, re.MULTILINE)) == set(devices.split()), said(result)
    assert not re.search(r"^(?:chosen|key '') *$|^key '':", told, re.MULTILINE), told  # an end of input is no answer
    leftovers = lab.on("new", "ls -A /dev/shm /tmp; ls /var/lib/tscm-migrate; cat /home/threatstop/.ssh/*|wc -l")
    assert leftovers.stdout.split() == ["/dev/shm:", "/tmp:", "own-settings.tar", "1"]
    assert PASSPHRASE not in result.stdout + result.stderr


def updated(lab: NamespaceLab, log: str) -> set[str]:
    return set(re.findall(r"^updated (\S+)$", lab.on("new", f"cat /var/log/threatstop/{log}").stdout, re.MULTILINE))


def test_devices_that_the_new_one_has_already_are_overwritten_and_updated_too(rooms: MakeLab) -> None:
    lab = rooms()
    move_in(lab, "tinto", forgets_file="yes")
    etc = etc_of(lab, "old")
    other = "cd /opt/threatstop/etc/multidevice; mkdir asa; echo other > asa/hq-fw1.conf; chown -R threatstop: asa"
    lab.on("new", other)
    result = migrate(lab)
    assert result.returncode == 0, said(result)
    assert etc_of(lab, "new") == etc
    assert updated(lab, "tinto.log") == {"hq-fw1", "dmz-pa", "branch.7"}, said(result)
    assert PASSPHRASE not in result.stdout + result.stderr


def test_a_run_killed_between_two_questions_of_a_restore_is_resumed(rooms: MakeLab) -> None:
    lab = rooms()
    move_in(lab, "tinto", forgets_file="yes")
    etc = etc_of(lab, "old")
    tool = lab.spawn_tool(*MIGRATE, "--yes", env={"TSCM_PASSPHRASE": PASSPHRASE})
    assert tool.stdout is not None
    seen = 0
    for line in tool.stdout:
        seen += "Replace the secure shell identity" in line
        if seen == 2:  # in the second pass
            break
    tool.kill()
    tool.wait(10)
    result = lab.run_tool("resume", "--yes", env={"TSCM_PASSPHRASE": PASSPHRASE}, timeout=120)
    assert result.returncode == 0, said(result)
    assert etc_of(lab, "new") == etc
    assert updated(lab, "tinto.log") == {"hq-fw1", "dmz-pa", "branch.7"}, said(result)
    assert lab.on("new", "ls -A /dev/shm").stdout == ""


def test_a_person_answers_what_no_rule_knows_and_the_run_goes_on(rooms: MakeLab) -> None:
    lab = rooms()
    move_in(lab, "tinto", decoy_restore="Attach the site banner text? (none)")
    screen = Terminal(lab.workstation.tool(*MIGRATE), {**lab.env(), "TSCM_PASSPHRASE": PASSPHRASE})
    try:
        screen.wait_for("Migrate tscm-old to tscm-new now?", limit=60)
        screen.type("y")
        for _ in ("first pass", "second pass"):
            screen.wait_for("your answer to 'Attach the site banner text? (none)'", limit=60)
            screen.wait_for("stops the run")
            screen.type("plain")
        assert screen.finish(60) == 0, screen.shown
    finally:
        screen.close()
    told = lab.on("new", "cat /var/log/threatstop/tinto.log").stdout
    assert told.count("Attach the site banner text? (none) plain\n") == 2
    assert updated(lab, "tinto.log") == {"hq-fw1", "dmz-pa", "branch.7"}


DECOY = "Restore complete. Send the SSH log to support? [y/n] "


@pytest.mark.parametrize("stranger", ["terse", "tinto"])
def test_a_question_with_our_words_that_is_not_ours_is_never_answered(rooms: MakeLab, stranger: str) -> None:
    lab = rooms()
    move_in(lab, stranger, decoy_backup="Backup is ready. Upload an encrypted archive to the vendor? [y/n] ")
    etc, cron = etc_of(lab, "old"), lab.on("old", "cat /etc/cron.d/multidevice-core").stdout
    result = migrate(lab, "--no-encrypt")
    assert (result.returncode, "Upload an encrypted archive" in result.stderr) == (3, True), said(result)
    assert (etc_of(lab, "old"), lab.on("old", "cat /etc/cron.d/multidevice-core").stdout) == (etc, cron)
    for name in ("old", "new"):
        (lab.root_of(name) / "etc/stranger").write_text(f"decoy_restore='{DECOY}'\n")
    result = migrate(lab, "--no-encrypt")
    assert (result.returncode, "Send the SSH log" in result.stderr) == (5, True), said(result)
    told = "".join(lab.on("new", f"cat /var/log/threatstop/{LAYOUT[stranger][1]}").stdout)
    assert "Send" not in told
    assert "tscm-migrate resume" in result.stdout + result.stderr
    assert "add a rule to [hosts.tscm-new]" in result.stderr, "to resume alone would only ask the same again"


def test_an_issue_beside_the_devices_is_told_and_holds_nothing_up(rooms: MakeLab) -> None:
    lab = rooms()
    grumble = "The portal could not be reached (error 7)."
    move_in(lab, "haus", grumble=grumble)
    etc = etc_of(lab, "old")
    result = migrate(lab, "--no-encrypt", "--no-restore-ssh")
    assert (result.returncode, grumble in result.stdout + result.stderr) == (0, True), said(result)
    assert etc_of(lab, "new") == etc


def test_a_person_answers_a_single_key_and_the_next_question_is_asked_in_its_turn(rooms: MakeLab) -> None:
    lab = rooms()
    move_in(lab, "quay", extra="Shall the old fish be sold?")
    command = [*lab.workstation.inside(), *lab.workstation.tool(*MIGRATE, "--no-encrypt")]
    screen = Terminal(command, {**lab.env(), "TERM": "xterm", "COLUMNS": "200", "LINES": "50"})
    try:
        screen.wait_for("now?", limit=60)
        screen.type("y")
        screen.wait_for("| Shall the old fish be sold? [y/n]", limit=60)
        screen.wait_for("your answer")
        screen.type("y")
        assert screen.finish(60) == 0, screen.shown
    finally:
        screen.close()
    keys = [line for line in lab.on("new", "cat /var/log/threatstop/quay.log").stdout.splitlines() if "key" in line]
    assert [line.split(":")[0] for line in keys] == ["key y", "key y", "key y", "key n"], keys


def test_a_restore_that_ends_with_a_status_and_has_restored_nothing_is_not_taken_for_done(rooms: MakeLab) -> None:
    lab = rooms()
    move_in(lab, "quay", quits="Left as it was.")
    result = migrate(lab, "--no-encrypt")
    assert (result.returncode, "exit status 4: Left as it was." in result.stderr) == (5, True), said(result)
    for name in ("old", "new"):
        (lab.root_of(name) / "etc/stranger").write_text("")
    result = lab.run_tool("resume", "--yes")
    assert result.returncode == 0, said(result)
    assert etc_of(lab, "new").count("target.conf") == 43


def test_an_update_that_failed_with_status_0_is_told_and_a_busy_device_is_waited_for(rooms: MakeLab) -> None:
    lab = rooms()
    move_in(lab, "quay", broken="quay-07", busy="quay-09")
    result = migrate(lab, "--no-encrypt", "--no-restore-ssh")
    assert (result.returncode, result.stderr.count("push aborted")) == (4, 1), said(result)
    assert "quay-09" not in result.stderr, said(result)
    told = lab.on("new", "cat /var/log/threatstop/quay.log").stdout
    assert set(LAYOUT["quay"][0].split()) - set(re.findall(r"^updated (\S+)$", told, re.MULTILINE)) == {"quay-07"}


def test_an_old_core_of_a_stranger_is_refused_and_nothing_is_changed(rooms: MakeLab) -> None:
    lab = rooms()
    move_in(lab, "haus", core="1.5-03")
    before = [
        etc_of(lab, name) + lab.on(name, "ls -lA /etc/cron.d /opt/threatstop/*").stdout for name in ("old", "new")
    ]
    result = migrate(lab, "--no-encrypt")
    assert (result.returncode, "[error] core-too-old:" in result.stdout) == (3, True), said(result)
    after = [etc_of(lab, name) + lab.on(name, "ls -lA /etc/cron.d /opt/threatstop/*").stdout for name in ("old", "new")]
    assert after == before
