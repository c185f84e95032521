"""What a hostile source can do with the key that it is lent for one transfer: nothing else. On real sshd's."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.pair import NAME, Box, available, box, sha
from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import MigrateError, TransferError, TransferKeyMisused
from tscm_migrate.transfer import api, authorise, keyfiles
from tscm_migrate.transfer.base import TransferJob
from tscm_migrate.transfer.endpoints.shell import ShellEnd
from tscm_migrate.transfer.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(available() is not None, reason=f"no pair of appliances: {available()}"),
]
MB = 1_000_000
ASKED = "rsync --server -e.LsfxCIvu --append --timeout=120 . "


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Box, Box]]:
    folder = tmp_path_factory.mktemp("pair")
    with box(folder / "old", "old") as old, box(folder / "new", "new") as new:
        yield old, new


@pytest.fixture
def pair(boxes: tuple[Box, Box]) -> tuple[Box, Box]:
    for one in boxes:
        one.reset()
    return boxes


def send(old: Box, new: Box, size: int = MB) -> None:
    job = TransferJob(ShellEnd(old.appliance), ShellEnd(new.appliance), (old.put(NAME, size),), "direct")
    METHODS["rsync"].send(job)


def begun(new: Box) -> Path:
    new.backups.mkdir(exist_ok=True)
    part = new.part(NAME)
    part.touch()
    return part


def rsync_of(old: Box, body: str) -> None:
    """The source's rsync answers honestly what it will ask for, and then does something else."""
    real = shutil.which("rsync")
    fake = old.folder / "bin/rsync"
    fake.write_text(f'#!/bin/sh\ncase "$*" in */ask*) exec {real} "$@" ;; esac\n{body}\n')
    fake.chmod(0o755)


def clean(new: Box, before: str) -> None:
    assert new.authorized.read_text().rstrip("\n") == before
    assert not list((new.folder / "shm").iterdir())
    assert [p.name for p in new.backups.iterdir() if "transfer" in p.name] == []


@pytest.mark.parametrize(
    "words",
    ["rm -rf /", "rsync --server --sender -e.L --append --timeout=120 . {part}",
     "rsync --server -se.L --append --timeout=120 . {part}", "rsync --server -le.L --append --timeout=120 . {part}",
     "rsync --server -rlogDpe.L --append --timeout=120 . {part}", "rsync --server -e.iL --append --timeout=120 . {part}",
     "rsync --server -e.L --append --timeout=120 --log-file=/etc/x . {part}", "rsync --server -e.L --timeout=120 . {part}",
     "rsync --server -e.L --append --timeout=120 . /etc/passwd", "rsync --server -e.L --append --timeout=120 . {part} ; id",
     "rsync --server -e.L --append --timeout=120 --inplace . {part}", "rsync --server --daemon ."],
)  # fmt: skip
def test_the_source_cannot_ask_for_another_command(pair: tuple[Box, Box], words: str) -> None:
    old, new = pair
    fake = old.folder / "bin/rsync"
    # the path is taken from the honest call, since the folder's name cannot be guessed
    body = 'for w; do last=$w; done; part=${last#*:}; printf "%s\\n" "' + words.replace("{part}", "$part") + '" >&2'
    fake.write_text(f"#!/bin/sh\n{body}; exit 1\n")
    fake.chmod(0o755)
    with pytest.raises(TransferError, match="unexpected"):
        send(old, new)
    assert "tscm-migrate" not in new.authorized.read_text()


WORDS = ["", "id", "sh -c id", "scp -t {part}", "internal-sftp", "rsync --server --daemon .", "{asked} ", "{asked}\nid",
         "{asked} {part}2", "rsync --server -logDpre.LsfxCIvu --append --timeout=120 . {part}"]  # fmt: skip


def test_the_key_runs_one_command_once_and_nothing_else(pair: tuple[Box, Box]) -> None:
    old, new = pair
    part, before = begun(new), new.authorized.read_text()
    with authorise.key_on(old.appliance, new.appliance) as key:
        landed = f"{key.landing(new.appliance)}/{part.name}"
        opens = authorise.Opens(ASKED + landed, f"sh -c 'echo ran; cat >> {landed}'", str(part), 1000)
        ssh = f"{key.ssh(new.appliance.host.port)} {new.appliance.host.user}@127.0.0.1"
        for words in WORDS:
            with authorise.authorised(new.appliance, key, ["127.0.0.1"], opens):
                line = new.authorized.read_text().splitlines()[-1]
                assert all(word in line for word in ("restrict", 'from="127.0.0.1"', "command=", "expiry-time="))
                tried = words.format(asked=opens.asked, part=landed)
                got = old.appliance.run(f"{ssh} {quote(tried)} </dev/null", check=False)
                assert (got.status, "ran" in got.stdout) == (126, False), (words, got)
                again = old.appliance.run(f"{ssh} {quote(opens.asked)} </dev/null", check=False)
                assert (again.status, "used already" in again.stderr) == (126, True), words
            clean(new, before)
        with authorise.authorised(new.appliance, key, ["127.0.0.1"], opens):
            sftp = old.appliance.run(f"{ssh} -s sftp </dev/null", check=False)
            assert sftp.status == 126
        with authorise.authorised(new.appliance, key, ["127.0.0.1"], opens):
            tunnel = old.appliance.run(f"{ssh} -W 127.0.0.1:{new.appliance.host.port} </dev/null", check=False)
            assert tunnel.status != 0
        with authorise.authorised(new.appliance, key, ["127.0.0.1"], opens):
            good = old.appliance.run(f"echo good | {ssh} {quote(opens.asked)}", check=False)
            assert "ran" in good.stdout
            again = old.appliance.run(f"{ssh} {quote(opens.asked)} </dev/null", check=False)
            assert (again.status, "ran" in again.stdout) == (126, False)
        assert part.read_text() == "good\n"
        with authorise.authorised(new.appliance, key, ["127.0.0.1"], opens):
            old.appliance.run(f"head -c 100000 /dev/zero | {ssh} {quote(opens.asked)}", check=False)
        assert part.stat().st_size < 4000, "it writes no more than was announced"
    clean(new, before)


# The attack that got in: another client behind the very command that was agreed on.
@pytest.mark.parametrize("what", ["link", "link to a folder", "folder", "device", "several"])
def test_links_folders_and_devices_of_the_source_reach_nothing(
    pair: tuple[Box, Box], what: str, tmp_path: Path
) -> None:
    old, new = pair
    evil, victim = tmp_path / "evil", tmp_path / "victim"
    evil.mkdir()
    victim.mkdir()
    (victim / "authorized_keys").write_text("mine\n")
    name = evil / f".{NAME}.part"
    match what:
        case "link":
            name.symlink_to(victim / "authorized_keys")
        case "link to a folder":
            name.symlink_to(victim)
        case "device":
            os.mkfifo(name)
        case "folder" | "several":
            (name / "x").mkdir(parents=True)
            (name / "x/authorized_keys").write_text("evil\n")
    several = f"{evil}/.{NAME}.part {victim}/authorized_keys" if what == "several" else f"{evil}/.{NAME}.part"
    before = new.authorized.read_text()
    wrap = old.folder / "wrap"
    rsync_of(
        old,
        f"""while [ "$1" != -e ]; do shift; done; shell=$2; for w; do there=$w; done
path=${{there#*:}}; host=${{there%%:*}}; want="{ASKED}$path"
printf '#!/bin/sh\\nexec %s %s "%s"\\n' "$shell" "$host" "$want" > {wrap}; chmod +x {wrap}
{shutil.which("rsync")} -rlD --append --timeout=20 -e {wrap} {several} x:/y; echo "first $?" >> {wrap}.log
{shutil.which("rsync")} -rlD --append --timeout=20 -e {wrap} {victim}/authorized_keys x:/y; echo "second $?" >> {wrap}.log
exit 0""",
    )
    with pytest.raises((TransferKeyMisused, TransferError)):
        send(old, new)
    log = (old.folder / "wrap.log").read_text()
    assert "second 0" not in log, log
    assert [p.name for p in victim.iterdir()] == ["authorized_keys"]
    assert (victim / "authorized_keys").read_text() == "mine\n"
    assert not new.part(NAME).is_symlink()
    assert not (new.backups / NAME).exists()
    clean(new, before)


@pytest.mark.parametrize("file", ["authorized_keys", "authorized_keys2", "rc", "environment", "mode"])
def test_a_change_of_who_may_log_in_is_told_as_an_attack(pair: tuple[Box, Box], file: str) -> None:
    old, new = pair
    changed = new.folder / "home/.ssh" / ("authorized_keys" if file == "mode" else file)
    # the old one of the test is on the same machine: it stands for whoever got in by another hole
    how = f"chmod 666 {changed}" if file == "mode" else f"echo 'ssh-ed25519 BBBB evil' >> {changed}"
    rsync_of(old, f'{how}; exec {shutil.which("rsync")} "$@"')
    with pytest.raises(TransferKeyMisused) as told:
        api.copy(old.appliance, new.appliance, (old.put(NAME, MB),), options=api.TransferOptions("rsync", "direct"))
    assert str(changed) in told.value.message()
    assert "possible attack" in told.value.message()
    assert "tscm-migrate-transfer" not in new.authorized.read_text()


def test_a_linked_file_of_keys_stays_a_link_and_gets_back_what_it_had(pair: tuple[Box, Box]) -> None:
    old, new = pair
    kept = new.folder / "home/kept_keys"
    kept.write_text("# the operator's own\nssh-ed25519 AAAA keep@me\n")
    kept.chmod(0o640)
    new.authorized.unlink()
    new.authorized.symlink_to("../kept_keys")
    send(old, new)
    assert new.authorized.is_symlink()
    assert kept.read_text() == "# the operator's own\nssh-ed25519 AAAA keep@me\n"
    assert kept.stat().st_mode & 0o777 == 0o640
    assert sha(new.backups / NAME) == sha(old.backups / NAME)


def test_what_a_killed_transfer_left_is_named_removed_and_compared(pair: tuple[Box, Box]) -> None:
    old, new = pair
    part, before = begun(new), new.authorized.read_text()
    with authorise.key_on(old.appliance, new.appliance) as key:
        opens = authorise.Opens("x", "cat", str(part), 10)
        with authorise.authorised(new.appliance, key, ["127.0.0.1"], opens):
            # the process is killed here: nothing of ours is run again until the next start
            found = authorise.left(new.appliance)
            assert [file for file, _ in found.keys] == [str(new.authorized)]
            expires = datetime.strptime(found.keys[0][1], "%Y%m%d%H%MZ").replace(tzinfo=UTC)
            assert timedelta(hours=11, minutes=50) < expires - datetime.now(UTC) <= timedelta(hours=12)
            assert found.folders == (f"{new.folder}/shm/.{keyfiles.MARK}-{key.token}",)
            assert authorise.left(old.appliance).folders == (key.folder,)
            api.leftovers(old.appliance, new.appliance)
            clean(new, before)
            assert not list((old.folder / "shm").iterdir())
            assert authorise.left(new.appliance) == authorise.Left((), ())
    with (
        authorise.key_on(old.appliance, new.appliance) as key,
        contextlib.suppress(TransferKeyMisused),
        authorise.authorised(new.appliance, key, ["127.0.0.1"], opens),
    ):
        (new.folder / "home/.ssh/authorized_keys2").write_text("evil\n")
        with pytest.raises(TransferKeyMisused, match="authorized_keys2"):
            authorise.leftovers(new.appliance)
        assert authorise.left(new.appliance) == authorise.Left((), ())


def test_folders_and_pid_files_of_others_end_no_process(pair: tuple[Box, Box]) -> None:
    old, _new = pair
    shm = old.folder / "shm"
    victim = subprocess.Popen(["sleep", "60"])
    try:
        for number, text in enumerate(
            [str(victim.pid), f"-1 {victim.pid}", f"1\n{victim.pid}", "../../x", "$(id)", "²"]
        ):
            folder = shm / f".{keyfiles.MARK}-{number:016x}"
            folder.mkdir()
            (folder / "pid").write_text(text)
        (shm / f".{keyfiles.MARK}-{99:016x}").symlink_to(old.backups)
        old.backups.mkdir()
        (old.backups / "pid").write_text(str(victim.pid))
        (shm / f".{keyfiles.MARK}-a b; id").mkdir()
        os.mkfifo(shm / f".{keyfiles.MARK}-{0:016x}/file")
        api.leftovers(old.appliance)
        assert victim.poll() is None
        assert (old.backups / "pid").exists()
    finally:
        victim.kill()
        victim.wait()


@pytest.mark.parametrize(("version", "zone"), [("9.2", "Z"), ("9.1", "Z"), ("10.0", "Z"), ("9.0", ""), ("8.2", "")])
def test_the_expiry_is_what_sshd_reads_whatever_zone_the_login_has(tmp_path: Path, version: str, zone: str) -> None:
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(f"#!/bin/sh\necho OpenSSH_{version}p1 >&2\n")
    ssh.chmod(0o755)
    env = {"HOME": str(tmp_path), "PATH": f"{ssh.parent}:{os.environ['PATH']}", "TZ": "Etc/GMT+12"}
    subprocess.run(["sh", "-c", keyfiles.add('from="::1" ssh-ed25519 A', "m")], env=env, check=True, timeout=100)
    line = (tmp_path / ".ssh/authorized_keys").read_text()
    told = line.partition('expiry-time="')[2].partition('"')[0]
    here = datetime.now(UTC) if zone else datetime.now().astimezone()
    assert told.endswith("Z") == bool(zone)
    expires = datetime.strptime(told.removesuffix("Z"), "%Y%m%d%H%M").replace(tzinfo=here.tzinfo)
    assert timedelta(hours=11, minutes=50) < expires - here <= timedelta(hours=12)


def test_no_key_is_lent_where_sshd_runs_a_command_of_its_own_instead(pair: tuple[Box, Box], tmp_path: Path) -> None:
    """ForceCommand comes before a key's command: a wrapper that runs what was asked for would run anything."""
    old, _new = pair
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    wrapper.chmod(0o755)
    with box(tmp_path / "forced", "forced", options=(f"ForceCommand {wrapper}",)) as new:
        before = new.authorized.read_text()
        with pytest.raises(TransferError, match="ForceCommand") as told:
            send(old, new)
        assert "--method tar" in told.value.remedy()
        clean(new, before)
        assert keyfiles.MARK not in new.authorized.read_text()
        sshd_t = new.folder / "bin/sshd"
        sshd_t.write_text("#!/bin/sh\necho 'forcecommand /x/y'\n")
        sshd_t.chmod(0o755)
        done = subprocess.run(
            ["sh", "-c", f"PATH={sshd_t.parent}:$PATH; {keyfiles.forced('u', '::1')}"], timeout=100, check=False
        )
        assert done.returncode == keyfiles.FORCED


@pytest.mark.parametrize(("version", "known"), [("6.6.1", False), ("7.1", False), ("7.2", True), ("7.4", True)])
def test_a_line_has_no_option_that_its_sshd_does_not_know(tmp_path: Path, version: str, known: bool) -> None:  # noqa: FBT001
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(f"#!/bin/sh\necho OpenSSH_{version}p1 >&2\n")
    ssh.chmod(0o755)
    env = {"HOME": str(tmp_path), "PATH": f"{ssh.parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", keyfiles.add('from="::1" ssh-ed25519 A', "m")], env=env, check=True, timeout=100)
    line = (tmp_path / ".ssh/authorized_keys").read_text()
    assert "expiry-time" not in line
    assert line.startswith("restrict," if known else "no-pty,no-port-forwarding,no-agent-forwarding,")


def test_a_login_without_a_file_of_keys_has_none_that_counts_afterwards(pair: tuple[Box, Box]) -> None:
    old, new = pair
    shutil.rmtree(new.folder / "home/.ssh")
    send(old, new)
    assert new.authorized.read_text() == ""
    assert sha(new.backups / NAME) == sha(old.backups / NAME)


def test_a_refused_source_leaves_the_part_for_the_next_method(pair: tuple[Box, Box]) -> None:
    old, new = pair
    rsync_of(old, "exit 23")
    with pytest.raises(MigrateError):
        send(old, new)
    assert new.part(NAME).stat().st_size == 0
