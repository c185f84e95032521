"""The embedded lab, tested with paramiko: commands, sudo, terminals, cron, reboots that change the address."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import paramiko
import pytest

from tests.harness.any_lab import Lab
from tests.harness.embedded import EmbeddedLab
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tscm_migrate.demo.embedded.machine import can_confine, is_due
from tscm_migrate.demo.embedded.shims.proc import pids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, needs_embedded_lab]

OLD, NEW = "127.0.1.43", "127.0.1.50"
PASSWORD = "s3cret of the lab"


def until(condition: Callable[[], Any], limit: float = 90) -> Any:
    """Wait until a condition is true, or fail; return its value."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("the condition was not true within the timeout")


class Client:
    """A connection that accepts only the pinned host keys."""

    def __init__(self, lab: EmbeddedLab, address: str, known: Path | None = None) -> None:
        self.ssh = paramiko.SSHClient()
        self.ssh.load_host_keys(str(known or lab.folder / "known_hosts"))
        self.ssh.set_missing_host_key_policy(paramiko.RejectPolicy())
        self.ssh.connect(
            address,
            lab.port,
            "threatstop",
            key_filename=str(lab.folder / "client_key"),
            allow_agent=False,
            look_for_keys=False,
            timeout=100,
        )

    def run(self, command: str, stdin: str = "") -> tuple[int, str, str]:
        send, out, err = self.ssh.exec_command(command, timeout=100)
        send.write(stdin)
        send.channel.shutdown_write()
        shown, complained = out.read().decode(), err.read().decode()
        return out.channel.recv_exit_status(), shown, complained

    def talk(self, command: str, *exchange: tuple[str, str]) -> tuple[int, str]:
        """Run a command on a terminal; for each (text, answer) wait for the text, and type the answer."""
        channel = self.ssh.get_transport().open_session()
        channel.get_pty(width=120, height=40)
        channel.settimeout(90)
        channel.exec_command(command)
        shown = ""
        for wanted, answer in exchange:
            while wanted not in shown:
                data = channel.recv(4096)
                assert data, shown
                shown += data.decode()
            shown = shown.split(wanted, 1)[1]
            channel.sendall(answer.encode() + b"\n")
        while data := channel.recv(4096):
            shown += data.decode()
        return channel.recv_exit_status(), shown

    def close(self) -> None:
        self.ssh.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedLab]:
    """A lab for tests that do not change it."""
    with EmbeddedLab(tmp_path_factory.mktemp("lab"), old_profile(sudo_password=PASSWORD), new_profile()) as lab:
        yield lab


@pytest.fixture
def old(shared: EmbeddedLab) -> Iterator[Client]:
    client = Client(shared, OLD)
    yield client
    client.close()


@pytest.fixture
def new(shared: EmbeddedLab) -> Iterator[Client]:
    client = Client(shared, NEW)
    yield client
    client.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[EmbeddedLab]:
    """A lab for a test that changes it."""
    with EmbeddedLab(tmp_path / "lab", old_profile(), new_profile(boot_seconds=0.2)) as made:
        yield made


def test_the_embedded_lab_implements_lab(shared: EmbeddedLab) -> None:
    assert isinstance(shared, Lab)
    assert shared.addresses() == {"old": OLD, "new": NEW}


def test_the_inventory_of_the_lab_can_be_loaded(shared: EmbeddedLab) -> None:
    from tscm_migrate.inventory.read import load

    host = load(shared.inventory).host("tscm-new")
    assert (host.address, host.port, host.user, host.interface) == (NEW, shared.port, "threatstop", "eth0")
    assert host.paths.backup_dir == str(shared.root_of("new") / "opt/threatstop/backup")


def test_commands_run_with_separate_streams(old: Client) -> None:
    assert old.run("cat; echo oops >&2; exit 7", "in") == (7, "in", "oops\n")


def test_large_data_passes_unchanged_in_both_directions(old: Client) -> None:
    channel = old.ssh.get_transport().open_session()
    channel.settimeout(90)
    channel.exec_command("tee copy; rm copy")
    sent, got = os.urandom(4_000_000), bytearray()
    writer = threading.Thread(target=lambda: (channel.sendall(sent), channel.shutdown_write()))
    writer.start()
    while data := channel.recv(1 << 20):
        got += data
    writer.join(60)
    assert bytes(got) == sent
    assert channel.eof_received  # the stream was not cut
    assert channel.recv_exit_status() == 0


def test_sudo_reads_only_the_password_from_stdin(old: Client) -> None:
    assert old.run("sudo -S -p '' sh -c 'id -un; cat'", f"{PASSWORD}\nrest") == (0, "root\nrest", "")


def test_sudo_refuses_without_a_password_and_after_three_attempts(old: Client) -> None:
    assert old.run("sudo -n true") == (1, "", "sudo: a password is required\n")
    status, _, complained = old.run("sudo -S -p 'pw:' true", "a\nb\nc\n")
    assert status == 1
    assert complained.count("pw:") == 3
    assert "3 incorrect password attempts" in complained


def test_sudo_without_a_terminal_is_refused(old: Client) -> None:
    status, _, complained = old.run("sudo true")
    assert status == 1
    assert "a terminal is required" in complained


def test_sudo_asks_for_the_password_on_a_terminal(old: Client) -> None:
    status, shown = old.talk("sudo id -un; tty; stty size", ("password for threatstop: ", PASSWORD))
    assert status == 0
    assert shown.split()[:1] == ["root"]
    assert "/dev/" in shown
    assert "40 120" in shown
    assert PASSWORD not in shown


def test_passwordless_sudo_runs_the_command(new: Client) -> None:
    assert new.run("sudo -n id -un") == (0, "root\n", "")


def test_ps_shows_only_processes_of_the_appliance(shared: EmbeddedLab, old: Client, new: Client) -> None:
    channel = old.ssh.get_transport().open_session()
    channel.exec_command("exec sleep 4711")
    for form in ("ps -ef", "ps -e -o pid=,ppid=,args=", "ps aux", "ps axww -o pid,args", "ps -augx", "ps -eo args="):
        until(lambda form=form: "sleep 4711" in old.run(form)[1])
        assert "sleep 4711" not in new.run(form)[1]
        assert (
            "-m pytest" not in old.run(form)[1]
        )  # pytest's folder is in the path of ts-update, which runs at the start of a minute
    assert old.run("pgrep -f 'sleep 4711'")[0] == 0
    assert new.run("pgrep -f 'sleep 4711'")[0] == 1
    (pid,) = old.run("pgrep -x sleep")[1].split()
    assert old.run(f"kill {pid}")[0] == 0


def test_programs_of_the_machine_are_not_available(old: Client) -> None:
    for program in ("dpkg", "arping", "mount", "su", "crontab"):
        assert old.run(f"command -v {program}")[0] != 0, program
    assert old.run("shutdown -h now")[0] == 1  # without sudo


def test_files_have_the_owners_of_an_appliance(shared: EmbeddedLab, old: Client) -> None:
    root = shared.root_of("old")
    _, shown, _ = old.run(f"stat -c '%U:%G' {root}/opt/threatstop/backup {root}/etc/cron.d/multidevice-core")
    assert shown.split() == ["threatstop:threatstop", "root:root"]


def test_ping_is_answered_only_by_running_appliances(new: Client) -> None:
    assert new.run(f"ping -c 1 -W 1 {OLD}")[0] == 0
    assert new.run("ping -c 1 -W 1 127.0.1.77")[0] == 1


def test_an_appliance_shows_its_own_files_under_the_other_root(shared: EmbeddedLab, old: Client) -> None:
    other = shared.root_of("new") / "etc/hostname"
    assert old.run(f"cat {other}")[1] == "tsclient\n"
    with old.ssh.open_sftp() as sftp, sftp.open(str(other)) as file:
        assert file.read() == b"tsclient\n"


def test_sftp_reads_only_files_of_the_appliance(shared: EmbeddedLab, old: Client, tmp_path: Path) -> None:
    root = shared.root_of("old")
    with old.ssh.open_sftp() as sftp:
        (name,) = [name for name in sftp.listdir(f"{root}/opt/threatstop/backup") if "_backup_" in name]
        sftp.get(f"{root}/opt/threatstop/backup/{name}", str(tmp_path / name))
        for outside in ("/etc/passwd", f"{root}/../lib/shims.json", "../../../../lib/shims.json"):
            with pytest.raises(PermissionError):
                sftp.open(outside)
    assert (tmp_path / name).read_bytes() == (root / "opt/threatstop/backup" / name).read_bytes()


def test_another_user_or_key_is_refused(shared: EmbeddedLab) -> None:
    for user, key in (("root", None), ("threatstop", paramiko.RSAKey.generate(2048))):
        client = paramiko.SSHClient()
        client.load_host_keys(str(shared.folder / "known_hosts"))
        with pytest.raises(paramiko.AuthenticationException):
            client.connect(
                OLD,
                shared.port,
                user,
                pkey=key or paramiko.Ed25519Key(filename=str(shared.folder / "client_key")),
                allow_agent=False,
                look_for_keys=False,
                timeout=100,
            )
        client.close()


def test_a_client_can_query_the_methods_before_it_offers_a_key(shared: EmbeddedLab) -> None:
    with paramiko.Transport((OLD, shared.port)) as transport:
        transport.start_client(timeout=100)
        with pytest.raises(paramiko.BadAuthenticationType) as refused:
            transport.auth_none("threatstop")
        assert refused.value.allowed_types == ["publickey"]
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey("threatstop", paramiko.ECDSAKey.generate())
        transport.auth_publickey("threatstop", paramiko.Ed25519Key(filename=str(shared.folder / "client_key")))
        assert transport.is_authenticated()


def test_tsadmin_backup_runs_over_ssh(shared: EmbeddedLab, old: Client) -> None:
    status, shown = old.talk("tsadmin backup", ("[y/n]: ", "n"))
    assert status == 0, shown
    assert "Backup complete" in shown
    assert shared.journal("old")[-1]["status"] == 0


def test_a_reboot_applies_the_saved_address_and_a_new_boot_id(lab: EmbeddedLab) -> None:
    from tscm_migrate.demo.guest import Net, net_text

    before, keys = lab.boot_id("new"), lab.root_of("new") / "etc/ssh"
    expected_keys = [path.read_text().split()[1] for path in sorted(keys.glob("*.pub"))]
    lab.power_off("old")
    assert lab.addresses() == {"old": None, "new": NEW}
    client = Client(lab, NEW)
    client.run("sh -c 'nohup sleep 4712 >/dev/null 2>&1 &'")
    lab.guest("new").path("interfaces").write_text(net_text(Net("eth0", OLD)))
    assert client.run("sudo -n shutdown -r now")[0] == 0
    until(lambda: lab.addresses()["new"] == OLD)
    until(lambda: not client.ssh.get_transport().is_active())
    assert lab.boot_id("new") != before
    known = lab.folder / "foreseen"
    pinned = [line for line in (lab.folder / "known_hosts").read_text().splitlines() if line.startswith(f"[{NEW}]")]
    known.write_text("\n".join(pinned).replace(NEW, OLD) + "\n")
    again = Client(lab, OLD, known)
    assert again.run("pgrep -f 'sleep 4712'")[0] == 1
    assert again.ssh.get_transport().get_remote_server_key().get_base64() in expected_keys
    again.close()


def test_a_second_appliance_at_an_address_is_refused_and_recorded(lab: EmbeddedLab) -> None:
    from tscm_migrate.demo.guest import Net, net_text

    lab.guest("new").path("interfaces").write_text(net_text(Net("eth0", OLD)))
    client = Client(lab, NEW)
    client.run("sudo -n reboot")
    until(lab.collisions)
    assert lab.addresses() == {"old": OLD, "new": None}
    assert lab.collisions()[0].names == ("old", "new")
    lab.power_off("old")
    until(lambda: lab.addresses()["new"] == OLD)


def test_restored_host_keys_are_used_after_a_restart_of_sshd(lab: EmbeddedLab) -> None:
    client = Client(lab, NEW)
    for path in (lab.root_of("old") / "etc/ssh").glob("ssh_host_*"):
        (lab.root_of("new") / "etc/ssh" / path.name).write_bytes(path.read_bytes())
    assert client.run("sudo -n systemctl restart ssh")[0] == 0
    assert client.run("echo alive")[1] == "alive\n"
    with pytest.raises(paramiko.BadHostKeyException):
        Client(lab, NEW)
    client.close()


def test_an_appliance_is_unreachable_while_its_interface_is_down(lab: EmbeddedLab) -> None:
    client = Client(lab, OLD)
    inside = "ip link set dev eth0 down; sleep 1.5; ip link set dev eth0 up"
    client.run(f"sudo -n sh -c \"nohup sh -c '{inside}' >/dev/null 2>&1 &\"")
    until(lambda: lab.addresses()["old"] is None)
    assert lab.is_on("old")
    until(lambda: lab.addresses()["old"] == OLD)
    Client(lab, OLD).close()


def test_a_closed_lab_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    with EmbeddedLab(tmp_path / "lab", old_profile(), new_profile()) as lab:
        client = Client(lab, OLD)
        client.run("nohup setsid sleep 4713 >/dev/null 2>&1 &")
        markers = [machine.marker for machine in lab._machines.values()]
        until(lambda: any(pids(marker) for marker in markers))
        run_folder = lab._run
        client.close()
    assert [pids(marker) for marker in markers] == [[], []]
    assert not run_folder.exists()
    with pytest.raises(OSError, match=r"."):
        Client(lab, OLD)


@pytest.mark.slow
def test_cron_starts_updates_unless_the_entry_is_moved(tmp_path: Path) -> None:
    with EmbeddedLab(tmp_path / "lab", old_profile(ts_update_seconds=0.2), new_profile()) as lab:
        entry = lab.root_of("new") / "etc/cron.d/multidevice-core"
        entry.rename(entry.with_name("multidevice-core.held"))  # cron ignores files with a dot in the name
        events = until(lambda: [e for e in lab.journal("old") if e["event"] == "ts-update-end"], 70)
        assert len(events) == 1
        assert not [e for e in lab.journal("new") if e["event"].startswith("ts-update")]


@pytest.mark.parametrize(
    ("fields", "when", "due"),
    [
        ("* * * * *", "2026-11-22T10:03", True),
        ("55 0 1,15 * *", "2026-12-15T00:55", True),
        ("55 0 1,15 * *", "2026-12-15T01:55", False),
        ("*/20 8-10 * * *", "2026-12-15T09:40", True),
        ("0 4 13 * 5", "2026-11-20T04:00", True),  # either day is enough, as in cron
        ("0 4 * * 7", "2026-11-22T04:00", True),
        ("0 4 * * 1-5", "2026-11-22T04:00", False),
    ],
)
def test_cron_fields_are_due_like_in_cron(fields: str, when: str, *, due: bool) -> None:
    from datetime import datetime

    assert is_due(fields.split(), datetime.fromisoformat(when + "+00:00")) == due


@pytest.mark.skipif(not can_confine(), reason="this system cannot confine a process")
@pytest.mark.parametrize("over_ssh", [False, True])
def test_a_script_cannot_write_outside_the_lab_folder(
    shared: EmbeddedLab, old: Client, tmp_path: Path, *, over_ssh: bool
) -> None:
    file, root = tmp_path / "kept", shared.root_of("old")
    file.write_text("as it was")
    script = f"rm -f {file}; echo x >{file}; mkdir {tmp_path}/new; mv {root}/etc/hostname {tmp_path}; :"
    inside = f"cd {root}/tmp && echo a >a && mv a ../etc/a && : >../etc/a && rm ../etc/a && echo done"
    for each, printed in ((script, ""), (inside, "done\n")):
        assert (old.run(each)[1] if over_ssh else shared.on("old", each).stdout) == printed
    assert file.read_text() == "as it was"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
