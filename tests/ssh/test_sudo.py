"""Real sudo with passwords, through an sshd in a separate mount namespace with a temporary copy of /etc."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.sshd import Sshd
from tests.support.timeouts import growing_timeouts
from tscm_migrate.errors import CommandFailed, CommandNotRun, CommandTimeout, SudoFailed
from tscm_migrate.events import Event
from tscm_migrate.model import Host, Secret
from tscm_migrate.ssh.connect import NoSecrets
from tscm_migrate.ssh.dialogue import WAIT, Answer, DialoguePace, Pending, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tscm_migrate.ssh.shell import Shell

pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not (shutil.which("unshare") and shutil.which("sudo")), reason="needs unshare and sudo"),
]

PASSWORD = "it's a $ecret \\ w0rd"

_STAGE = r"""
set -e
mount -t tmpfs tmpfs "$STAGE"
mkdir -p "$STAGE/up" "$STAGE/work" "$STAGE/home"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$STAGE/up,workdir=$STAGE/work" /etc
rm -rf /etc/sudoers.d/*
printf 'Defaults env_reset\nDefaults lecture=always\n@includedir /etc/sudoers.d\n' >/etc/sudoers
for one in free:/bin/sh asks:/bin/bash bare:/bin/sh tty:/bin/sh csh:/bin/csh zsh:/bin/zsh fish:/usr/bin/fish; do
    shell=${one#*:}; [ -x "$shell" ] || continue
    useradd -m -d "$STAGE/home/${one%%:*}" -s "$shell" "x${one%%:*}"
    printf 'x%s:%s\n' "${one%%:*}" "$PASSWORD" | chpasswd
done
{
    echo 'xfree ALL=(ALL) NOPASSWD: ALL'
    echo 'xasks ALL=(ALL) ALL'
    echo 'xtty ALL=(ALL) ALL'
    echo 'Defaults:xtty requiretty'
} >/etc/sudoers.d/test
chmod 755 "$STAGE" "$STAGE/home"
exec "$@"
"""


class KnownPassword(NoSecrets):
    def __init__(self, password: str | None) -> None:
        self.password = password
        self.asked = 0

    def sudo_password(self, host: Host) -> Secret | None:
        self.asked += 1
        return None if self.password is None else Secret(self.password)

    def login_password(self, host: Host) -> Secret | None:
        return self.sudo_password(host)


@pytest.fixture(scope="module")
def staged() -> Iterator[Sshd]:
    # Not tmp_path: other users log in here, and pytest's temporary folder is closed to them.
    with tempfile.TemporaryDirectory(prefix="tscm-staged-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        stage = folder / "stage"
        stage.mkdir()
        env = ["env", f"STAGE={stage}", f"PASSWORD={PASSWORD}"]
        wrap = [*env, "unshare", "-m", "--propagation", "private", "sh", "-c", _STAGE, "sh"]
        with Sshd(folder / "sshd", wrap=wrap) as server:
            yield server


def test_passwordless_sudo_asks_for_no_password(staged: Sshd, open_shell: Callable[..., Shell]) -> None:
    credentials = KnownPassword(PASSWORD)
    shell = open_shell(staged.host(user="xfree"), credentials=credentials)
    assert shell.sudo_ready() == "passwordless"
    assert shell.run("id -un; cat", sudo=True, stdin=b"data").stdout == "root\ndata"
    assert credentials.asked == 0


def test_only_sudo_gets_the_password(staged: Sshd, open_shell: Callable[..., Shell]) -> None:
    credentials, events = KnownPassword(PASSWORD), list[Event]()
    shell = open_shell(staged.host(user="xasks"), credentials=credentials, emit=events.append)
    assert shell.sudo_ready() == "password"
    result = shell.run("id -un; cat; tr '\\0' ' ' </proc/$PPID/cmdline; echo err >&2", sudo=True, stdin=b"line\ndata")
    assert result.stdout.startswith("root\nline\ndata")
    assert result.stderr.endswith("err\n")
    assert "tscm-" not in result.stderr
    shell.run("true", sudo=True)
    assert credentials.asked == 1
    assert PASSWORD not in result.stdout + result.stderr + repr(events)


def test_streams_and_dialogues_can_run_as_root(staged: Sshd, open_shell: Callable[..., Shell]) -> None:
    shell = open_shell(staged.host(user="xasks"), credentials=KnownPassword(PASSWORD))
    with shell.writer("id -un >&2; sha256sum | cut -c1-8", sudo=True) as writer:
        writer.write(b"x" * 3_000_000)
        outcome = writer.finish()
    assert outcome.stdout.strip() == hashlib.sha256(b"x" * 3_000_000).hexdigest()[:8]
    assert outcome.stderr.endswith("root\n")
    with shell.reader("head -c 2000000 /dev/zero; id -un >&2", sudo=True) as reader:
        assert sum(map(len, reader)) == 2_000_000
        assert reader.finish().stderr.endswith("root\n")

    def decide(pending: Pending) -> Answer | Wait:
        assert "password" not in pending.line.lower()
        return Answer("me") if pending.line == "Who? " else WAIT

    result = shell.converse("printf 'Who? '; read a; id -un", decide, sudo=True, pace=DialoguePace(idle=60))
    assert result.text == "Who? me\nroot\n"


def test_a_failed_command_under_sudo_is_not_a_sudo_failure(staged: Sshd, open_shell: Callable[..., Shell]) -> None:
    for user in ("xfree", "xasks"):
        shell = open_shell(staged.host(user=user), credentials=KnownPassword(PASSWORD))
        with pytest.raises(CommandFailed) as caught:
            shell.run("echo sudo: a password is required >&2; exit 1", sudo=True)
        assert caught.value.status == 1


def test_a_command_of_root_is_ended_after_its_timeout(staged: Sshd, open_shell: Callable[..., Shell]) -> None:
    shell = open_shell(staged.host(user="xasks"), credentials=KnownPassword(PASSWORD))
    shell.sudo_ready()
    for limit in growing_timeouts(1):
        with pytest.raises(CommandTimeout):
            shell.run("echo $$ >/etc/pid; exec sleep 600", sudo=True, timeout=limit)
        if pid := shell.run("cat /etc/pid", sudo=True, check=False).stdout:
            break
    assert shell.run(f"kill -0 {int(pid)}", sudo=True, check=False).status != 0


@pytest.mark.parametrize(
    ("user", "password", "reason"),
    [
        ("xasks", "wrong", "not accepted"),
        ("xasks", None, "none is known"),
        ("xbare", PASSWORD, "may not use sudo"),
        ("xtty", PASSWORD, "requiretty"),
    ],
)
def test_the_reason_of_a_refusal_by_sudo_is_reported(
    staged: Sshd, open_shell: Callable[..., Shell], user: str, password: str | None, reason: str
) -> None:
    shell = open_shell(staged.host(user=user), credentials=KnownPassword(password))
    with pytest.raises(SudoFailed, match=reason) as caught:
        shell.run("id", sudo=True)
    assert password is None or password not in repr(caught.value) + str(caught.value)
    assert shell.run("id -un").stdout.strip() == user


def test_revoked_sudo_is_noticed(staged: Sshd, open_shell: Callable[..., Shell]) -> None:
    shell = open_shell(staged.host(user="xfree"))
    shell.run("cp -p /etc/sudoers.d/test /etc/kept", sudo=True)
    as_root = open_shell(staged.host(user="root"))
    as_root.run("sed -i /xfree/d /etc/sudoers.d/test")
    try:
        for attempt in (
            lambda: shell.run("id", sudo=True),
            lambda: shell.run("id", sudo=True, check=False),
            lambda: shell.reader("id", sudo=True).finish(),
            lambda: shell.writer("cat", sudo=True).finish(),
            lambda: shell.converse("id", lambda _p: WAIT, sudo=True),
        ):
            with pytest.raises(SudoFailed):
                attempt()
    finally:
        as_root.run("cp -p /etc/kept /etc/sudoers.d/test")
    assert shell.run("id -un", sudo=True).stdout == "root\n"


def test_a_login_password_is_asked_for_after_the_keys(staged: Sshd, open_shell: Callable[..., Shell]) -> None:
    credentials = KnownPassword(PASSWORD)
    missing = staged.folder / "nowhere"
    shell = open_shell(staged.host(user="xasks", identity_file=missing), credentials=credentials)
    assert (shell.run("id -un").stdout, credentials.asked) == ("xasks\n", 1)


@pytest.mark.parametrize("shell", ["bash", *(name for name in ("csh", "zsh", "fish") if shutil.which(name))])
def test_commands_run_with_any_login_shell(staged: Sshd, open_shell: Callable[..., Shell], shell: str) -> None:
    login_shell = open_shell(
        staged.host(user={"bash": "xasks"}.get(shell, f"x{shell}")), credentials=KnownPassword(PASSWORD)
    )
    script = """x='a b'; for i in 1 2; do printf '%s|' "$x!$i"; done; printf '%s' "it's 100% " '\\\\é'
echo ' #'"""
    for sudo in (False, shell == "bash"):
        assert login_shell.run(script, sudo=sudo).stdout == "a b!1|a b!2|it's 100% \\\\é #\n"


def test_a_start_up_file_that_prevents_commands_is_named(staged: Sshd, open_shell: Callable[..., Shell]) -> None:
    root = open_shell(staged.host(user="xfree"))
    root.run("printf 'umask 022\nexec sh\n' >~xasks/.bashrc", sudo=True)
    try:
        with pytest.raises(CommandNotRun) as caught:
            open_shell(staged.host(user="xasks"), credentials=KnownPassword(PASSWORD)).run(
                "id -un", sudo=True, check=False
            )
    finally:
        root.run("rm ~xasks/.bashrc", sudo=True)
    assert caught.value.startup == "~/.bashrc line 2: exec sh"
    assert "~/.bashrc" in caught.value.remedy()
