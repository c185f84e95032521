"""A hostile source can use the key of a direct transfer for this transfer only; on real sshd's."""

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


def partial_file_of(new: Box) -> Path:
    new.backups.mkdir(exist_ok=True)
    partial_file = new.partial_file(NAME)
    partial_file.touch()
    return partial_file


def replace_rsync(old: Box, body: str) -> None:
    """Replace the source's rsync: it announces the right command, and then runs `body`."""
    real = shutil.which("rsync")
    fake = old.folder / "bin/rsync"
    fake.write_text(f'#!/bin/sh\ncase "$*" in */ask*) exec {real} "$@" ;; esac\n{body}\n')
    fake.chmod(0o755)


def assert_clean(new: Box, before: str) -> None:
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
def test_a_source_that_announces_another_command_is_refused(pair: tuple[Box, Box], words: str) -> None:
    old, new = pair
    fake = old.folder / "bin/rsync"
    # the path comes from the real call, because the folder's name is random
    body = 'for w; do last=$w; done; part=${last#*:}; printf "%s\\n" "' + words.replace("{part}", "$part") + '" >&2'
    fake.write_text(f"#!/bin/sh\n{body}; exit 1\n")
    fake.chmod(0o755)
    with pytest.raises(TransferError, match="unexpected"):
        send(old, new)
    assert "tscm-migrate" not in new.authorized.read_text()


WORDS = ["", "id", "sh -c id", "scp -t {part}", "internal-sftp", "rsync --server --daemon .", "{asked} ", "{asked}\nid",
         "{asked} {part}2", "rsync --server -logDpre.LsfxCIvu --append --timeout=120 . {part}"]  # fmt: skip


def test_the_key_runs_one_command_once(pair: tuple[Box, Box]) -> None:
    old, new = pair
    partial_file, before = partial_file_of(new), new.authorized.read_text()
    with authorise.key_on(old.appliance, new.appliance) as key:
        landing = f"{key.landing(new.appliance)}/{partial_file.name}"
        opens = authorise.Opens(ASKED + landing, f"sh -c 'echo ran; cat >> {landing}'", str(partial_file), 1000)
        ssh = f"{key.ssh(new.appliance.host.port)} {new.appliance.host.user}@127.0.0.1"
        for words in WORDS:
            with authorise.authorised(new.appliance, key, ["127.0.0.1"], opens):
                line = new.authorized.read_text().splitlines()[-1]
                assert all(word in line for word in ("restrict", 'from="127.0.0.1"', "command=", "expiry-time="))
                command = words.format(asked=opens.asked, part=landing)
                refused = old.appliance.run(f"{ssh} {quote(command)} </dev/null", check=False)
                assert (refused.status, "ran" in refused.stdout) == (126, False), (words, refused)
                again = old.appliance.run(f"{ssh} {quote(opens.asked)} </dev/null", check=False)
                assert (again.status, "used already" in again.stderr) == (126, True), words
            assert_clean(new, before)
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
        assert partial_file.read_text() == "good\n"
        with authorise.authorised(new.appliance, key, ["127.0.0.1"], opens):
            old.appliance.run(f"head -c 100000 /dev/zero | {ssh} {quote(opens.asked)}", check=False)
        assert partial_file.stat().st_size < 4000, "it writes no more than was announced"
    assert_clean(new, before)


# A real attack: another client behind the command that was announced.
@pytest.mark.parametrize("what", ["link", "link to a folder", "folder", "device", "several"])
def test_links_folders_and_devices_of_the_source_write_nothing(
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
    replace_rsync(
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
    assert not new.partial_file(NAME).is_symlink()
    assert not (new.backups / NAME).exists()
    assert_clean(new, before)


@pytest.mark.parametrize("file", ["authorized_keys", "authorized_keys2", "rc", "environment", "mode"])
def test_a_change_of_login_files_is_reported_as_an_attack(pair: tuple[Box, Box], file: str) -> None:
    old, new = pair
    changed = new.folder / "home/.ssh" / ("authorized_keys" if file == "mode" else file)
    # both appliances are on this machine, so the source can write the file directly, as after another intrusion
    how = f"chmod 666 {changed}" if file == "mode" else f"echo 'ssh-ed25519 BBBB evil' >> {changed}"
    replace_rsync(old, f'{how}; exec {shutil.which("rsync")} "$@"')
    with pytest.raises(TransferKeyMisused) as error:
        api.copy(old.appliance, new.appliance, (old.put(NAME, MB),), options=api.TransferOptions("rsync", "direct"))
    assert str(changed) in error.value.message()
    assert "possible attack" in error.value.message()
    assert "tscm-migrate-transfer" not in new.authorized.read_text()


def test_a_linked_authorized_keys_stays_a_link_with_its_old_content(pair: tuple[Box, Box]) -> None:
    old, new = pair
    key_file = new.folder / "home/kept_keys"
    key_file.write_text("# the operator's own\nssh-ed25519 AAAA keep@me\n")
    key_file.chmod(0o640)
    new.authorized.unlink()
    new.authorized.symlink_to("../kept_keys")
    send(old, new)
    assert new.authorized.is_symlink()
    assert key_file.read_text() == "# the operator's own\nssh-ed25519 AAAA keep@me\n"
    assert key_file.stat().st_mode & 0o777 == 0o640
    assert sha(new.backups / NAME) == sha(old.backups / NAME)


def test_leftovers_of_a_killed_transfer_are_found_compared_and_removed(pair: tuple[Box, Box]) -> None:
    old, new = pair
    partial_file, before = partial_file_of(new), new.authorized.read_text()
    with authorise.key_on(old.appliance, new.appliance) as key:
        opens = authorise.Opens("x", "cat", str(partial_file), 10)
        with authorise.authorised(new.appliance, key, ["127.0.0.1"], opens):
            # as if the process were killed here: no clean-up runs until the next start
            leftovers = authorise.left(new.appliance)
            assert [file for file, _ in leftovers.keys] == [str(new.authorized)]
            expires = datetime.strptime(leftovers.keys[0][1], "%Y%m%d%H%MZ").replace(tzinfo=UTC)
            assert timedelta(hours=11, minutes=50) < expires - datetime.now(UTC) <= timedelta(hours=12)
            assert leftovers.folders == (f"{new.folder}/shm/.{keyfiles.MARK}-{key.token}",)
            assert authorise.left(old.appliance).folders == (key.folder,)
            api.leftovers(old.appliance, new.appliance)
            assert_clean(new, before)
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


def test_forged_pid_files_end_no_process(pair: tuple[Box, Box]) -> None:
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
def test_the_expiry_time_is_right_in_every_time_zone(tmp_path: Path, version: str, zone: str) -> None:
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(f"#!/bin/sh\necho OpenSSH_{version}p1 >&2\n")
    ssh.chmod(0o755)
    env = {"HOME": str(tmp_path), "PATH": f"{ssh.parent}:{os.environ['PATH']}", "TZ": "Etc/GMT+12"}
    subprocess.run(["sh", "-c", keyfiles.add('from="::1" ssh-ed25519 A', "m")], env=env, check=True, timeout=100)
    line = (tmp_path / ".ssh/authorized_keys").read_text()
    expiry = line.partition('expiry-time="')[2].partition('"')[0]
    here = datetime.now(UTC) if zone else datetime.now().astimezone()
    assert expiry.endswith("Z") == bool(zone)
    expires = datetime.strptime(expiry.removesuffix("Z"), "%Y%m%d%H%M").replace(tzinfo=here.tzinfo)
    assert timedelta(hours=11, minutes=50) < expires - here <= timedelta(hours=12)


def test_no_key_is_authorized_where_sshd_has_a_forced_command(pair: tuple[Box, Box], tmp_path: Path) -> None:
    """sshd runs ForceCommand instead of the key's command: a wrapper that runs the requested command would run any."""
    old, _new = pair
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    wrapper.chmod(0o755)
    with box(tmp_path / "forced", "forced", options=(f"ForceCommand {wrapper}",)) as new:
        before = new.authorized.read_text()
        with pytest.raises(TransferError, match="ForceCommand") as error:
            send(old, new)
        assert "--method tar" in error.value.remedy()
        assert_clean(new, before)
        assert keyfiles.MARK not in new.authorized.read_text()
        sshd_t = new.folder / "bin/sshd"
        sshd_t.write_text("#!/bin/sh\necho 'forcecommand /x/y'\n")
        sshd_t.chmod(0o755)
        done = subprocess.run(
            ["sh", "-c", f"PATH={sshd_t.parent}:$PATH; {keyfiles.forced('u', '::1')}"], timeout=100, check=False
        )
        assert done.returncode == keyfiles.FORCED


@pytest.mark.parametrize(("version", "known"), [("6.6.1", False), ("7.1", False), ("7.2", True), ("7.4", True)])
def test_a_key_line_has_only_options_that_its_sshd_knows(tmp_path: Path, version: str, known: bool) -> None:  # noqa: FBT001
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(f"#!/bin/sh\necho OpenSSH_{version}p1 >&2\n")
    ssh.chmod(0o755)
    env = {"HOME": str(tmp_path), "PATH": f"{ssh.parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", keyfiles.add('from="::1" ssh-ed25519 A', "m")], env=env, check=True, timeout=100)
    line = (tmp_path / ".ssh/authorized_keys").read_text()
    assert "expiry-time" not in line
    assert line.startswith("restrict," if known else "no-pty,no-port-forwarding,no-agent-forwarding,")


def test_a_missing_authorized_keys_is_empty_afterwards(pair: tuple[Box, Box]) -> None:
    old, new = pair
    shutil.rmtree(new.folder / "home/.ssh")
    send(old, new)
    assert new.authorized.read_text() == ""
    assert sha(new.backups / NAME) == sha(old.backups / NAME)


def test_a_failed_source_leaves_the_partial_file_for_the_next_method(pair: tuple[Box, Box]) -> None:
    old, new = pair
    replace_rsync(old, "exit 23")
    with pytest.raises(MigrateError):
        send(old, new)
    assert new.partial_file(NAME).stat().st_size == 0
