"""Output and status of a login that does not run the command are never taken for those of the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.sshd import Sshd, make_key
from tests.support.servers import SESSION
from tscm_migrate.errors import (
    CommandNotRun,
    ConnectionLost,
    MigrateError,
    NoSftp,
    NoTerminal,
    OutputCut,
    PasswordExpired,
    SudoFailed,
)
from tscm_migrate.ssh.dialogue import WAIT
from tscm_migrate.ssh.exceptions import replacing_line
from tscm_migrate.ssh.quoting import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tscm_migrate.ssh.shell import Shell

pytestmark = pytest.mark.slow

# replacements of the login shell; each ends at the end of its input
LOGINS = {
    "another shell": "exec dash",
    "nothing": "exit 0",
    "words": "echo 'Welcome to the menu'; exit 0",
    "repeats": 'echo "unknown command: $SSH_ORIGINAL_COMMAND"; exit 0',
    "traces": 'echo "+ $SSH_ORIGINAL_COMMAND" >&2; exit 1',
    "nologin": "exec /usr/sbin/nologin",
    "multiplexer": "echo 'open terminal failed: not a terminal' >&2; exit 1",
    "menu": "echo '1) status 2) quit'; while read choice; do echo 'no such choice'; done",
}


@pytest.fixture(scope="module")
def server_with_logins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server with a key for each of LOGINS and OTHERS."""
    folder = tmp_path_factory.mktemp("odd")
    with Sshd(folder) as server:
        for number, text in enumerate([*LOGINS.values(), *OTHERS.values()]):
            key = make_key(folder / f"key{number}")
            script = folder / f"login{number}"
            script.write_text(f"#!/bin/bash\n{text}\n")
            script.chmod(0o755)
            with (folder / "authorized_keys").open("a") as file:
                file.write(f'command="{script}" {key.with_name(key.name + ".pub").read_text()}')
        yield server


OTHERS = {
    "expired": "echo 'WARNING: Your password has expired.' >&2; echo 'Password change required but no TTY available.'"
    " >&2; exit 1",
    "exit trap": "trap 'echo goodbye; exit 0' EXIT; sh -c \"$SSH_ORIGINAL_COMMAND\"",
    "cut": 'sh -c "$SSH_ORIGINAL_COMMAND" | head -c 60; exit 0',
    "sudo": 'PATH="$(dirname "$0")/bin:$PATH" exec sh -c "$SSH_ORIGINAL_COMMAND"',
}


@pytest.fixture
def login(server_with_logins: Sshd, open_shell: Callable[..., Shell]) -> Callable[[str], Shell]:
    def open_as(name: str) -> Shell:
        number = [*LOGINS, *OTHERS].index(name)
        return open_shell(server_with_logins.host(identity_file=server_with_logins.folder / f"key{number}"))

    return open_as


@pytest.mark.parametrize("name", LOGINS)
def test_a_login_that_does_not_run_the_command_is_an_error_for_all_calls(
    login: Callable[[str], Shell], name: str, tmp_path: Path
) -> None:
    shell = login(name)
    with pytest.raises(CommandNotRun) as caught:
        shell.run("echo here", check=False)
    assert "the login did not run the command" in caught.value.message()
    assert "ssh -p " in caught.value.remedy()
    with pytest.raises(CommandNotRun):
        shell.run("cat", stdin=f"touch {tmp_path}/run\n".encode(), check=False, timeout=-5)
    with pytest.raises(CommandNotRun), shell.reader("cat /etc/passwd") as reader:
        b"".join(reader)
    with shell.writer("cat >/dev/null", idle=2.0) as writer, pytest.raises(CommandNotRun):
        writer.write(f"touch {tmp_path}/written\n".encode())
    if name not in {"another shell", "menu"}:  # on a terminal these wait for input
        with pytest.raises(CommandNotRun):
            shell.converse("echo here", lambda _pending: WAIT)
    with pytest.raises(MigrateError):
        shell.sudo_ready()
    assert not list(tmp_path.iterdir()), "the replacement of the shell must not get the script's input"


def test_an_expired_password_is_reported(login: Callable[[str], Shell]) -> None:
    with pytest.raises(PasswordExpired) as caught:
        login("expired").run("true")
    assert caught.value.remedy().endswith("passwd")


def test_text_printed_at_logout_changes_neither_output_nor_status(login: Callable[[str], Shell]) -> None:
    shell = login("exit trap")
    result = shell.run("echo out; exit 7", check=False)
    assert (result.stdout, result.status) == ("out\n", 7)
    with shell.reader("printf abc") as reader:
        assert b"".join(reader) == b"abc"
        assert reader.finish().status == 0


def test_output_without_its_end_mark_is_an_error(login: Callable[[str], Shell], server_with_logins: Sshd) -> None:
    shell = login("cut")
    with pytest.raises(OutputCut):
        shell.run("seq 1 1000", check=False)
    with pytest.raises(OutputCut), shell.reader("seq 1 1000") as reader:
        b"".join(reader)
    lost = login("exit trap")
    with pytest.raises(ConnectionLost):
        lost.run(f"echo half; kill -9 {SESSION}; sleep 9", check=False)
    assert server_with_logins.pid


def test_a_sudo_that_does_not_run_the_command_is_an_error(
    login: Callable[[str], Shell], server_with_logins: Sshd
) -> None:
    (server_with_logins.folder / "bin").mkdir()
    (server_with_logins.folder / "bin/sudo").write_text("#!/bin/sh\nexit 0\n")
    (server_with_logins.folder / "bin/sudo").chmod(0o755)
    with pytest.raises(SudoFailed, match="did not run the command"):
        login("sudo").run("echo here", sudo=True, check=False)


@pytest.mark.parametrize("line", ["Subsystem sftp /no/such/sftp-server", "Subsystem other internal-sftp"])
def test_a_server_without_sftp_is_reported(tmp_path: Path, open_shell: Callable[..., Shell], line: str) -> None:
    with Sshd(tmp_path / "s", options=[line], sftp="") as server:
        shell = open_shell(server.host())
        with pytest.raises(NoSftp) as caught:
            shell.sftp()
        assert "Subsystem sftp internal-sftp" in caught.value.remedy()
        assert shell.run("echo still").stdout == "still\n"


def test_a_server_that_refuses_terminals_is_reported(tmp_path: Path, open_shell: Callable[..., Shell]) -> None:
    with Sshd(tmp_path / "s", options=["PermitTTY no"]) as server:
        shell = open_shell(server.host())
        with pytest.raises(NoTerminal) as caught:
            shell.converse("true", lambda _pending: WAIT)
        assert "PermitTTY" in caught.value.remedy()
        with pytest.raises(NoTerminal):
            shell.terminal_ready()
        assert shell.run("echo still").stdout == "still\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# exec zsh\nexec zsh\n", "2: exec zsh"),
        ("if [ -x /bin/zsh ]; then exec /bin/zsh -l; fi", "1: if [ -x /bin/zsh ]; then exec /bin/zsh -l; fi"),
        ('[ -z "$TMUX" ] && exec tmux new -A', '1: [ -z "$TMUX" ] && exec tmux new -A'),
        ("case $- in *i*) ;; *) return ;; esac\nalias x='exec zsh'\nexec 2>/dev/null\nexec >>log\n", ""),
        ("tmux attach", "1: tmux attach"),
        ("  then exit 0", "1: then exit 0"),
        ("", ""),
    ],
)
def test_the_start_up_line_that_replaces_the_shell_is_found(text: str, expected: str) -> None:
    assert replacing_line(text) == expected


def test_marks_are_recognised_in_pieces_of_any_size() -> None:
    whole = b"hello\ntscm-out-1:data tscm-end- tscm-end-2:007bye"
    for size in range(1, len(whole)):
        frame = Frame("tscm-out-1:", "tscm-end-2:")
        own = b"".join(frame.take(whole[at : at + size]) for at in range(0, len(whole), size))
        assert (own + frame.rest(), frame.status) == (b"data tscm-end- ", 7)
