"""An appliance with dropbear and busybox in place of OpenSSH and the GNU tools."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.harness.sshd import make_key
from tests.support.pair import NAME, OTHER
from tscm_migrate.appliance import facts, processes
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.demo.base import free_port
from tscm_migrate.errors import NoSftp
from tscm_migrate.model import Host, Paths
from tscm_migrate.ssh.connect import NoSecrets, connect
from tscm_migrate.transfer import api

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tscm_migrate.ssh.shell import Shell

DROPBEAR = shutil.which("dropbear", path=f"{os.environ['PATH']}:/usr/sbin")
pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.skipif(
        not (DROPBEAR and shutil.which("dropbearkey") and shutil.which("busybox")) or os.geteuid() != 0,
        reason="no dropbear or no busybox here, or not root",
    ),
]
# The real sudo would find the GNU tools on its secure_path; this one keeps the PATH.
SUDO = '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do [ "$1" != -- ] || { shift; break; }; shift; done; exec "$@"\n'


def tools(folder: Path) -> None:
    folder.mkdir()
    for name in subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
        (folder / name).symlink_to(str(shutil.which("busybox")))
    for name in ("sudo", "rsync", "install"):  # busybox has none of them
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(SUDO if name == "sudo" else "#!/bin/sh\nexit 127\n")
        (folder / name).chmod(0o755)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Run dropbear with another folder mounted on the user's home: it reads keys only from the home in /etc/passwd."""
    tools(tmp_path / "bin")
    login, ssh = tmp_path / "login", tmp_path / "home/.ssh"
    no_sftp = "case $SSH_ORIGINAL_COMMAND in *sftp-server*) exit 127 ;; esac"
    login.write_text(f'#!/bin/sh\n{no_sftp}\nPATH={tmp_path}/bin:$PATH exec busybox sh -c "$SSH_ORIGINAL_COMMAND"\n')
    login.chmod(0o755)
    ssh.mkdir(parents=True, mode=0o700)
    key = make_key(tmp_path / "client")
    (ssh / "authorized_keys").write_text(f'command="{login}" {key.with_suffix(".pub").read_text()}')
    made = subprocess.run(
        ["dropbearkey", "-t", "ed25519", "-f", str(tmp_path / "key")], capture_output=True, text=True, check=True
    )
    public = next(line for line in made.stdout.splitlines() if line.startswith("ssh-ed25519"))
    port = free_port()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {public}\n")
    home = pwd.getpwuid(os.getuid()).pw_dir
    stage = f'mount --bind {ssh.parent} {home} && exec {DROPBEAR} -F -E -r {tmp_path}/key -p 127.0.0.1:{port} -P ""'
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", stage], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 60
        while server.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield Host(
            "box", address="127.0.0.1", port=port, user=getpass.getuser(), identity_file=key, use_agent=False,
            known_hosts=tmp_path / "known",
        )  # fmt: skip
    finally:
        server.terminate()
        server.wait(60)


def test_an_appliance_with_dropbear_and_busybox_is_read_and_copied(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path / "state"))
    etc = tmp_path / "etc"
    (etc / "asa-edge").mkdir(parents=True)
    (etc / "bind_stock_configs.tgz").touch()
    sides = {}
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        paths = Paths(backup_dir=str(tmp_path / name), etc_dir=str(etc), tmpfs=str(tmp_path))
        sides[name] = replace(host, name=name, paths=paths)
    for number, name in enumerate((NAME, OTHER)):
        (tmp_path / "old" / name).write_bytes(os.urandom(300_000 + number))

    def dial(host: Host, expect: Sequence[str] | None = None) -> Shell:
        return connect(host, credentials=NoSecrets(), expect=expect)

    old, new = Appliance(sides["old"], dial), Appliance(sides["new"], dial)
    with contextlib.closing(old), contextlib.closing(new):
        assert "BusyBox" in old.run("find --help 2>&1", check=False).stdout
        facts_of_old = facts.gather(old)
        assert {one.name for one in facts_of_old.archives} == {NAME, OTHER}
        assert facts_of_old.dns_server == ("bind_stock_configs.tgz",)
        assert any("dropbear" in one.args for one in processes.look(old, "look").processes)
        with (tmp_path / "new" / f".{NAME}.part").open("wb") as part:  # like the writer of a lost connection
            writer = subprocess.Popen(["sleep", "100"], stdout=part)
        api.copy(old, new, api.chosen(old, "all"), options=api.TransferOptions(method="tar"))
        assert writer.wait(60) == -signal.SIGKILL
        for name in (NAME, OTHER):
            assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "old" / name).read_bytes()
        (tmp_path / "new" / NAME).unlink()
        with pytest.raises(NoSftp) as caught:
            api.push(tmp_path / "old" / NAME, new, sftp=True)
        assert "sshd_config" not in caught.value.remedy()
        assert not list((tmp_path / "new").glob(".*")), "no partial file is left"
