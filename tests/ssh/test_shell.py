from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.timeouts import growing_timeouts
from tscm_migrate.errors import CommandFailed, CommandTimeout, TooMuchOutput
from tscm_migrate.events import CommandRun, Event
from tscm_migrate.ssh.connect import NoSecrets, connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.sshd import Sshd
    from tscm_migrate.ssh.shell import Shell


def test_output_errors_and_status_are_returned(shell: Shell) -> None:
    result = shell.run("echo out; echo err >&2; exit 3", check=False)
    assert (result.stdout, result.stderr, result.status) == ("out\n", "err\n", 3)


def test_login_output_is_not_part_of_the_output(open_shell: Callable[..., Shell], noisy: Sshd) -> None:
    result = open_shell(noisy.host()).run("cat; echo err >&2; exit 3", stdin=b"out", check=False)
    assert (result.stdout, result.stderr, result.status) == ("out", "err\n", 3)


def test_a_failed_command_raises_an_error_with_its_output(shell: Shell) -> None:
    with pytest.raises(CommandFailed) as caught:
        shell.run("echo no such thing >&2; exit 4", display="look")
    assert caught.value.status == 4
    assert "no such thing" in str(caught.value)
    assert "`look`" in str(caught.value)


def test_the_locale_is_c_and_quotes_are_kept(shell: Shell) -> None:
    script = """printf '%s|' "$LC_ALL" 'single' "do\\\\uble" '!' "$(printf '%s' "it's")" \\\n  'next line'"""
    assert shell.run(script).stdout == "C|single|do\\uble|!|it's|next line|"


def test_standard_input_arrives_completely_and_ends(shell: Shell) -> None:
    data = bytes(range(256)) * 20_000
    assert shell.run("wc -c; echo done", stdin=data).stdout.split() == [str(len(data)), "done"]


def test_a_command_that_does_not_read_its_input_does_not_block(shell: Shell) -> None:
    assert shell.run("echo early", stdin=b"x" * 8_000_000).stdout == "early\n"


def test_large_output_on_both_streams_does_not_deadlock(shell: Shell) -> None:
    result = shell.run("head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2")
    assert (len(result.stdout), len(result.stderr)) == (3_000_000, 4_000_000)


def test_endless_output_is_cut_off(shell: Shell) -> None:
    with pytest.raises(TooMuchOutput):
        shell.run("yes", limit=1 << 20)
    assert shell.run("echo still here").stdout == "still here\n"


def test_a_command_is_ended_on_the_host_after_its_timeout(shell: Shell, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    for limit in growing_timeouts(1):
        with pytest.raises(CommandTimeout):
            shell.run(f"echo $$ >{note}; exec sleep 600", timeout=limit)
        if note.exists() and note.read_text():
            break
    assert shell.run(f"kill -0 {int(note.read_text())}", check=False).status != 0


def test_a_background_child_is_not_waited_for(shell: Shell) -> None:
    result = shell.run("sleep 600 & echo $!", timeout=60)
    ended = shell.run(f"kill {int(result.stdout)} && echo ended")  # only a process that still runs can be ended
    assert ended.stdout == "ended\n"


def test_a_command_killed_by_a_signal_keeps_the_connection(shell: Shell) -> None:
    with pytest.raises(CommandFailed):
        shell.run("kill -9 $$")
    assert shell.alive


def test_invalid_utf_8_is_replaced(shell: Shell) -> None:
    assert shell.run("printf 'a\\377b'").stdout == "a\ufffdb"


def test_a_command_event_does_not_contain_the_input(sshd: Sshd) -> None:
    events: list[Event] = []
    with connect(sshd.host(), credentials=NoSecrets(), emit=events.append) as shell:
        shell.run("cat >/dev/null; exit 7", stdin=b"hush", check=False, display="feed")
    (event,) = events
    assert isinstance(event, CommandRun)
    assert (event.host, event.display, event.status) == ("box", "feed", 7)


def test_several_threads_share_one_connection(shell: Shell) -> None:
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = shell.run(f"echo {number}").stdout.strip()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == {n: str(n) for n in range(8)}


def test_sftp_works_on_the_same_connection(shell: Shell) -> None:
    with shell.sftp() as sftp:
        assert sftp.normalize("/") == "/"
