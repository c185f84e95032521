"""The namespace lab: its hosts boot, accept logins, change addresses and collide; a closed lab leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.namespaces import NamespaceLab, available
from tests.harness.namespaces.controller import LabError
from tests.harness.profile import new_profile, old_profile
from tests.support.timeouts import growing_timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.skipif(available() is not None, reason=f"no namespace lab: {available()}"),
]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., NamespaceLab]]:
    made: list[NamespaceLab] = []

    def maker(old: dict[str, Any] | None = None, new: dict[str, Any] | None = None, **options: Any) -> NamespaceLab:
        fast = {"boot_seconds": 0.2}
        lab = NamespaceLab(
            tmp_path / f"lab{len(made)}",
            old_profile(**fast | (old or {})),
            new_profile(**fast | (new or {})),
            **options,
        )
        made.append(lab)
        return lab

    yield maker
    for lab in made:
        lab.close()


def ssh(
    lab: NamespaceLab, name: str, command: str, *options: str, stdin: str = "", address: str = ""
) -> subprocess.CompletedProcess[str]:
    station = lab.workstation
    known = lab.inventory.with_name("known_hosts")
    words = ["ssh", "-F", "none", "-i", str(station.key), "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}"]
    words += ["-o", "ConnectTimeout=5", *options, f"threatstop@{address or lab.profile(name).address}", command]
    return subprocess.run(
        station.inside(*words), capture_output=True, text=True, input=stdin, timeout=60, check=False, env=lab.env()
    )


def test_both_hosts_accept_the_client_key_and_show_their_host_keys(make: Callable[..., NamespaceLab]) -> None:
    lab = make()
    for name, hostname in (("old", "tsclient"), ("new", "tsclient-new")):
        for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512"):
            done = ssh(lab, name, "id -un; hostname", "-o", f"HostKeyAlgorithms={kind}")
            assert (done.returncode, done.stdout.split()) == (0, ["threatstop", hostname]), done
    other = lab.inventory.with_name("known_hosts").read_text().replace("10.1.1.43", "10.1.1.44")
    lab.inventory.with_name("known_hosts").write_text(other.replace("10.1.1.50", "10.1.1.43"))
    assert ssh(lab, "old", "true").returncode == 255


def test_sudo_asks_for_a_password_if_the_profile_says_so(make: Callable[..., NamespaceLab]) -> None:
    lab = make({"sudo_password": "s3cret word"})
    assert ssh(lab, "new", "sudo -n id -u").stdout == "0\n"
    assert ssh(lab, "old", "sudo -n id -u").returncode == 1
    assert ssh(lab, "old", "sudo -S -p '' id -u", stdin="s3cret word\n").stdout == "0\n"
    assert ssh(lab, "old", "sudo -S -p '' id -u", stdin="wrong\n").returncode == 1


def test_an_appliance_sees_only_its_own_processes_and_files(make: Callable[..., NamespaceLab]) -> None:
    lab = make()
    listing = lab.on(
        "old", "ps -e -o comm=; ls -A /tmp /root /opt; ls /sys/class/net; cat /etc/cron.d/*; df -h /"
    ).stdout
    assert {"sshd", "cron"} <= set(listing.split())
    assert "pytest" not in listing
    assert "threatstop" in listing
    assert "eth0" in listing.split()
    assert not any(Path(path).exists() for path in ("/run/lab.ssh", "/etc/cron.d/multidevice-core"))
    assert not list(Path(lab.live_root_of("old"), "tmp").iterdir())


def test_a_terminal_and_the_simulated_programs_work(make: Callable[..., NamespaceLab]) -> None:
    lab = make()
    done = ssh(lab, "old", "tty; tsadmin version --all; systemctl is-active cron; systemctl is-active nothing", "-tt")
    assert "/dev/pts/" in done.stdout
    assert "TSCM-Core" in done.stdout
    assert done.stdout.split()[-2:] == ["active", "inactive"]
    assert any("version" in str(entry) for entry in lab.journal("old"))


def test_only_root_may_power_off(make: Callable[..., NamespaceLab]) -> None:
    lab = make()
    refused = ssh(lab, "old", "PATH=$PATH:/usr/sbin; shutdown -h now")
    assert refused.returncode == 1
    assert "superuser" in refused.stderr
    assert lab.is_on("old")


def test_a_reboot_applies_the_saved_address_with_a_new_boot_id(make: Callable[..., NamespaceLab]) -> None:
    lab = make()
    lab.power_off("old")
    before, listing = lab.boot_id("new"), lab.on("new", "cat /proc/sys/kernel/random/boot_id").stdout.strip()
    assert listing == before
    keys = lab.on("new", "cat /etc/ssh/*.pub").stdout
    ssh(lab, "new", "touch ~/stays /tmp/goes; sudo sed -i s/10.1.1.50/10.1.1.43/ /etc/network/interfaces; ls /tmp/goes")
    assert lab.addresses() == {"old": None, "new": "10.1.1.50"}
    ssh(lab, "new", "sudo shutdown -r now")
    lab.wait_reboot("new", before)
    assert lab.addresses() == {"old": None, "new": "10.1.1.43"}
    known = lab.inventory.with_name("known_hosts")
    known.write_text(known.read_text().replace("10.1.1.43", "10.1.1.1").replace("10.1.1.50", "10.1.1.43"))
    done = ssh(lab, "new", "cat /etc/ssh/*.pub; ls ~/stays /tmp/goes", address="10.1.1.43")
    assert done.stdout == keys + "/home/threatstop/stays\n"
    assert ssh(lab, "new", "true").returncode == 255
    assert lab.collisions() == []


def test_dhcp_assigns_the_configured_address(make: Callable[..., NamespaceLab]) -> None:
    lab = make(new={"dhcp": True, "interface": "ens192"})
    assert lab.addresses()["new"] == "10.1.1.150"
    assert "ens192" in lab.on("new", "ip -4 addr show dev ens192 | grep 10.1.1.150").stdout


def test_a_host_that_is_off_does_not_answer(make: Callable[..., NamespaceLab]) -> None:
    lab = make()
    look = "arping -q -c 1 -w 1 10.1.1.43; echo $?; ping -q -c 1 -W 1 10.1.1.43 >&2; echo $?; "
    look += "timeout 1 bash -c ': </dev/tcp/10.1.1.43/22' 2>/dev/null; echo $?"
    assert lab.on("new", look).stdout.split() == ["0", "0", "0"]
    ssh(lab, "old", "sudo shutdown -h now")
    lab.wait_off("old")
    assert "0" not in lab.on("new", look).stdout.split()
    assert not lab.is_on("old")
    (lab.root_of("old") / "home/threatstop/while-off").write_text("written to the disk")
    lab.power_on("old")
    assert ssh(lab, "old", "cat while-off").stdout == "written to the disk"


def test_a_disconnected_host_is_unreachable_until_reconnected(make: Callable[..., NamespaceLab]) -> None:
    lab = make()
    lab.cut("old")
    assert ssh(lab, "old", "true", "-o", "ConnectTimeout=1").returncode == 255
    assert lab.on("old", "echo still here").stdout == "still here\n"
    lab.reconnect("old")
    lab.wait(lambda: ssh(lab, "old", "true").returncode == 0, "the reconnected host")


def test_an_address_collision_is_recorded_by_the_watcher(make: Callable[..., NamespaceLab]) -> None:
    lab = make()
    lab.wait(lambda: {one.ip for one in lab.heard()} >= {"10.1.1.43", "10.1.1.50"}, "both to be heard")
    assert lab.collisions() == []
    boot = lab.boot_id("new")
    lab.on("new", "sed -i s/10.1.1.50/10.1.1.43/ /etc/network/interfaces; reboot")
    lab.wait_reboot("new", boot)
    lab.wait(lambda: bool(lab.collisions()), "the collision")
    assert {(one.address, one.names) for one in lab.collisions()} == {("10.1.1.43", ("old", "new"))}


def test_two_labs_at_once_are_separate(make: Callable[..., NamespaceLab]) -> None:
    first, second = make(), make({"hostname": "elsewhere"})
    assert ssh(first, "old", "hostname").stdout == "tsclient\n"
    assert ssh(second, "old", "hostname").stdout == "elsewhere\n"
    first.power_off("old")
    assert ssh(second, "old", "hostname").stdout == "elsewhere\n"
    assert first.collisions() == second.collisions() == []


def test_a_reset_makes_new_disks(make: Callable[..., NamespaceLab]) -> None:
    lab = make()
    ssh(lab, "old", "touch stale; sudo rm /etc/cron.d/multidevice-core")
    lab.reset("old")
    assert ssh(lab, "old", "ls").stdout == ""
    assert (lab.root_of("old") / "etc/cron.d/multidevice-core").exists()


def test_reboot_faults_take_effect(make: Callable[..., NamespaceLab]) -> None:
    lab = make({"faults": {"reboot_never": True}}, {"faults": {"reboot_mute_seconds": 2}})
    boot = lab.boot_id("new")
    ssh(lab, "old", "sudo reboot")
    ssh(lab, "new", "sudo reboot")
    lab.wait_off("old")
    lab.wait(lambda: lab.boot_id("new") != boot and bool(lab.addresses()["new"]), "the reboot")
    silent = "exec 3<>/dev/tcp/10.1.1.50/22 && ! read -r -t 1 -u 3 line"
    words = lab.workstation.inside("bash", "-c", silent)
    lab.wait(lambda: subprocess.run(words, check=False, capture_output=True).returncode == 0, "a mute sshd")
    lab.wait_up("new")
    assert ssh(lab, "new", "true").returncode == 0


@pytest.mark.slow
def test_cron_starts_ts_update(make: Callable[..., NamespaceLab]) -> None:
    lab = make()

    def updates() -> list[str]:
        return [str(entry) for entry in lab.journal("old") if "ts-update" in str(entry)]

    lab.wait(lambda: bool(updates()), "cron", 70)
    assert updates()


def processes_in(lab: NamespaceLab) -> set[int]:
    """Return the pids, on this machine, of all processes in the lab's namespaces."""
    pid_space = Path(f"/proc/{lab.controller.process.pid}/ns/pid_for_children").readlink()
    pids, net = (
        set(),
        {(lab.controller.proc / str(lab.status(name)["pid"]) / "ns/net").readlink() for name in lab.profiles},
    )
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "ns/pid").readlink() == pid_space or (folder / "ns/net").readlink() in net:
                pids.add(int(folder.name))
        except OSError:
            continue
    return pids


def test_a_closed_lab_leaves_no_process_mount_or_network(make: Callable[..., NamespaceLab]) -> None:
    links = sorted(Path("/sys/class/net").iterdir())
    lab = make()
    tool = lab.workstation.spawn(*lab.workstation.inside("sleep", "60"))
    running = processes_in(lab)
    assert len(running) > 8
    lab.close()
    assert tool.poll() is not None
    gone = lambda: not any(Path(f"/proc/{pid}").exists() for pid in running)  # noqa: E731
    lab.wait(gone, "the processes to be gone")
    assert str(lab.folder) not in Path("/proc/self/mountinfo").read_text()
    assert sorted(Path("/sys/class/net").iterdir()) == links


MAKE_ONE = """
import pathlib, subprocess, sys
from tests.harness.namespaces import NamespaceLab
from tests.harness.profile import new_profile, old_profile
lab = NamespaceLab(pathlib.Path(sys.argv[1]), old_profile(), new_profile())
keeper = lab.controller.process
if len(sys.argv) > 2:
    keeper = subprocess.Popen(["sleep", "100"], pass_fds=[lab.controller.process.stdin.fileno()])
print(lab.controller.process.pid, keeper.pid, flush=True)
sys.stdin.read()
"""


def kill_the_owner(folder: Path, *words: str) -> tuple[list[int], int]:
    """Make a lab in another process and kill that; return the controller's processes, and the process with its pipe."""
    run = subprocess.Popen(
        [sys.executable, "-c", MAKE_ONE, str(folder), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout
    controller, keeper = map(int, run.stdout.readline().split())
    children = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
    run.kill()
    run.wait(60)
    assert run.stdin
    run.stdin.close()
    run.stdout.close()
    return [controller, *map(int, children)], keeper


def alive(pids: list[int]) -> bool:
    """Return whether one of these processes still runs; zombies do not count."""
    states = [Path(f"/proc/{pid}/stat") for pid in pids]
    return any(state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z" for state in states)


def test_a_lab_ends_with_its_killed_test_run(tmp_path: Path) -> None:
    pids, _ = kill_the_owner(tmp_path)
    NamespaceLab.wait(lambda: not alive(pids), "the lab to end")


def test_cleanup_ends_only_labs_without_a_test_run(tmp_path: Path, make: Callable[..., NamespaceLab]) -> None:
    mine = make()
    pids, keeper = kill_the_owner(tmp_path / "lost", "keep it")
    try:
        assert alive(pids)
        done = subprocess.run(
            [sys.executable, "-m", "tests.harness.namespaces", "--cleanup"],
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        )
        assert str(tmp_path / "lost") in done.stdout
        NamespaceLab.wait(lambda: not alive(pids), "the lab to end")
        assert mine.is_on("old")
    finally:
        os.kill(keeper, signal.SIGKILL)


def test_the_tool_runs_on_the_workstation_with_and_without_a_terminal(make: Callable[..., NamespaceLab]) -> None:
    lab = make()
    station = lab.workstation
    show = "import os, sys, pathlib; print(sys.stdin.isatty(), input(), os.environ['TSCM_INVENTORY'], os.environ['X'])"
    command = station.inside(sys.executable, "-c", show)
    plain = station.run(*command, stdin="fed\n", env={"X": "1"})
    assert plain.stdout.split() == ["False", "fed", str(lab.inventory), "1"], plain
    typed = station.run(*command, stdin="typed\n", env={"X": "2"}, tty=True)
    assert typed.stdout.splitlines()[-1].split() == ["True", "typed", str(lab.inventory), "2"], typed
    secret = station.inside(sys.executable, "-c", "import getpass; print(len(getpass.getpass('pw: ')))")
    assert station.run(*secret, stdin="1234\n", tty=True).stdout.split()[-1] == "4"
    assert station.run(*station.inside("ip", "-4", "-o", "addr"), env={}).stdout.count("10.1.1.10/24") == 1
    for tty in (False, True):
        for limit in growing_timeouts(1):
            with pytest.raises(subprocess.TimeoutExpired) as late:
                station.run(*station.inside("sh", "-c", "echo started; sleep 600"), timeout=limit, tty=tty)
            if late.value.output:
                break
        assert "started" in str(late.value.output)


def test_an_abrupt_shutdown_leaves_sessions_open(make: Callable[..., NamespaceLab]) -> None:
    lab = make(shutdown="abrupt")
    known = lab.inventory.with_name("known_hosts")
    words = ["ssh", "-F", "none", "-i", str(lab.workstation.key), "-o", f"UserKnownHostsFile={known}"]
    session = lab.workstation.spawn(*lab.workstation.inside(*words, "threatstop@10.1.1.43", "echo in; sleep 600"))
    assert session.stdout
    assert session.stdout.readline() == "in\n"
    lab.on("old", "poweroff")
    lab.wait_off("old")
    assert session.poll() is None


def test_disk_free_limits_the_disk(make: Callable[..., NamespaceLab]) -> None:
    lab = make({"disk_free": 5_000_000})
    free = int(lab.on("old", "df --output=avail -B1 /opt | tail -1").stdout)
    assert 4_500_000 < free < 5_500_000


def test_a_missing_login_shell_is_reported(make: Callable[..., NamespaceLab]) -> None:
    with pytest.raises(LabError, match="/bin/never"):
        make({"login_shell": "/bin/never"})
