from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.timeouts import growing_timeouts
from tscm_migrate.errors import DialogueSilent
from tscm_migrate.events import Event, Prompted
from tscm_migrate.ssh.connect import NoSecrets, connect
from tscm_migrate.ssh.dialogue import WAIT, Answer, Decide, DialoguePace, HangUp, Pending, Wait
from tscm_migrate.ssh.terminal import MASK

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.sshd import Sshd
    from tscm_migrate.ssh.shell import Shell

FAST = DialoguePace(quiet=0.2, doubtful=0.5, terminated=0.5, idle=60, total=100)


def table(**rules: Answer) -> Decide:
    """Return a decide function: an answer is given to a line that ends with the words of its name."""

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        for name, answer in rules.items():
            if re.search(name.replace("_", ".") + r"\W*$", pending.line):
                return answer
        return HangUp(f"unknown: {pending.line}") if pending.settled else WAIT

    return decide


def test_prompts_are_answered_in_order(shell: Shell) -> None:
    script = "printf 'Use DHCP[y/n]: '; read a; echo Applying; printf 'IP Address: '; read b; echo \"<$a|$b>\"; exit 3"
    result = shell.converse(script, table(y_n=Answer("n", "dhcp"), IP_Address=Answer("172.16.2.100", "ip")), pace=FAST)
    assert result.status == 3
    assert [(e.prompt, e.rule, e.shown) for e in result.exchanges] == [
        ("Use DHCP[y/n]:", "dhcp", "n"),
        ("IP Address:", "ip", "172.16.2.100"),
    ]
    assert result.text == "Use DHCP[y/n]: n\nApplying\nIP Address: 172.16.2.100\n<n|172.16.2.100>\n"


def test_a_secret_that_the_program_prints_is_masked_in_the_transcript(shell: Shell) -> None:
    script = (
        "printf 'Passphrase: '; read p; echo \"you said $p\"; printf 'Passphrase: '; stty -echo; read p; echo; echo $p"
    )
    result = shell.converse(script, table(Passphrase=Answer("tr0ub4dor", "pass", secret=True)), pace=FAST)
    assert result.status == 0
    assert "tr0ub4dor" not in repr(result)
    assert result.text.count(f"Passphrase: {MASK}\n") == 2
    assert f"you said {MASK}" in result.text


def test_a_prompt_printed_in_pieces_is_answered_once(shell: Shell) -> None:
    script = "for c in P r o c e e d; do printf $c; sleep 0.05; done; printf '? '; read a; echo got $a; read b"
    answered: list[str] = []

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        if pending.line == "Proceed? ":
            answered.append(pending.line)
            return Answer("yes")
        return HangUp("second") if answered and pending.settled else WAIT

    result = shell.converse(script, decide, pace=FAST)
    assert answered == ["Proceed? "]
    assert result.stopped == "second"
    assert "got yes" in result.text


def test_a_prompt_on_a_complete_line_is_offered_after_a_pause(shell: Shell) -> None:
    offered: list[Pending] = []

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        offered.append(pending)
        return Answer("7") if pending.terminated else WAIT

    result = shell.converse("echo 'Choose a number'; echo; read n; echo chose $n", decide, pace=FAST)
    assert result.text.endswith("chose 7\n")
    assert [(p.line, p.settled) for p in offered if p.terminated] == [("Choose a number", True)]


def test_changing_progress_output_is_not_treated_as_a_prompt(shell: Shell) -> None:
    offered: list[str] = []

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        if pending.settled:
            offered.append(pending.line)
            return Answer("ok")
        return WAIT

    script = "for i in 1 2 3 4 5 6 7 8; do printf '\\r %s0%%' $i; sleep 0.1; done; printf '\\r\\033[KRestart? '; read a"
    assert shell.converse(script, decide, pace=DialoguePace(quiet=0.3, doubtful=20, idle=60)).status == 0
    assert offered == ["Restart? "]


def test_a_prompt_without_an_answer_is_offered_again(shell: Shell) -> None:
    offers: list[float] = []

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        if pending.settled:
            offers.append(pending.quiet)
        return Answer("at last") if len(offers) == 3 else WAIT

    assert shell.converse("printf 'Well? '; read a", decide, pace=FAST).status == 0
    assert offers == sorted(offers)


def test_an_answer_is_dropped_when_its_prompt_has_changed(shell: Shell, tmp_path) -> None:  # type: ignore[no-untyped-def]
    flag = tmp_path / "go"
    asked: list[str] = []

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        if pending.line.endswith("first? "):
            asked.append("first")
            shell.run(f"touch {flag}; while [ -e {flag} ]; do sleep 0.05; done")  # the next prompt appears meanwhile
            return Answer("for the first")
        if pending.line.endswith("second? "):
            asked.append("second")
            return Answer("for the second")
        return WAIT

    script = (
        f"printf 'first? '; while [ ! -e {flag} ]; do sleep 0.05; done; "
        f"printf '\\nsecond? '; rm {flag}; read a; echo got $a"
    )
    result = shell.converse(script, decide, pace=FAST)
    assert result.text.endswith("got for the second\n")
    assert asked == ["first", "second"]


def test_a_silent_program_is_stopped_with_its_transcript(shell: Shell) -> None:
    for idle in growing_timeouts(1):
        with pytest.raises(DialogueSilent) as caught:
            shell.converse("echo working on it; sleep 600", lambda _p: WAIT, pace=DialoguePace(idle=idle, total=300))
        if caught.value.transcript:
            break
    assert "working on it" in caught.value.transcript


def test_endless_output_is_stopped(shell: Shell) -> None:
    with pytest.raises(DialogueSilent, match="not ended"):
        shell.converse("while :; do echo tick; sleep 0.1; done", lambda _p: WAIT, pace=DialoguePace(idle=30, total=1))


def test_stopping_a_dialogue_ends_the_program(shell: Shell, tmp_path) -> None:  # type: ignore[no-untyped-def]
    note = tmp_path / "pid"
    result = shell.converse(f"echo $$ >{note}; printf 'Sure? '; read a", lambda _p: HangUp("not me"), pace=FAST)
    assert (result.stopped, result.status, result.exchanges) == ("not me", None, ())
    pid = int(note.read_text())
    gone = shell.run(
        f"for i in $(seq 600); do kill -0 {pid} 2>/dev/null || exit 0; sleep 0.1; done; exit 1", check=False
    )
    assert gone.status == 0


def test_an_exception_of_decide_is_raised(shell: Shell) -> None:
    def decide(_pending: Pending) -> Answer | Wait | HangUp:
        raise LookupError("no rule")

    with pytest.raises(LookupError):
        shell.converse("printf 'Sure? '; read a", decide, pace=FAST)
    assert shell.alive


def test_a_lost_connection_is_reported_with_the_transcript(open_shell: Callable[..., Shell], sshd: Sshd) -> None:
    shell = open_shell(sshd.host())
    result = shell.converse("echo Rebooting now; sleep 0.3; kill -9 $PPID; sleep 5", lambda _p: WAIT, pace=FAST)
    assert (result.lost, result.status) == (True, None)
    assert "Rebooting now" in result.text


def test_a_daemon_that_keeps_the_terminal_is_not_waited_for(shell: Shell) -> None:
    result = shell.converse("trap '' HUP; sleep 600 & echo pid $!; exit 5", lambda _p: WAIT, pace=FAST)
    assert (result.status, result.lost) == (5, False)
    shell.run(f"kill {int(result.text.split()[1])}")  # it still runs, so the dialogue did not wait for it


def test_each_answer_is_an_event_and_a_secret_one_is_masked(sshd: Sshd) -> None:
    offered: list[Event] = []
    with connect(sshd.host(), credentials=NoSecrets(), emit=offered.append) as shell:
        shell.converse("printf 'Key: '; read a", table(Key=Answer("s3cr3t!", "key", secret=True)), pace=FAST)
    (prompted,) = [event for event in offered if isinstance(event, Prompted)]
    assert (prompted.prompt, prompted.rule, prompted.answer) == ("Key:", "key", MASK)
    assert "s3cr3t" not in repr(offered)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_dialogue_with_sudo_has_a_terminal(shell: Shell) -> None:
    result = shell.converse("printf 'Who? '; read a; id -un; tty", table(Who=Answer("me")), sudo=True, pace=FAST)
    assert result.status == 0
    assert result.text.startswith("Who? me\nroot\n/dev/pts/")


KEYS = """bash -c '
read -rn1 -p "Restore? [y/n] " a; echo; printf "The host\\nkeys too? [y/n]\\n"; read -rn1 -p "> " b; read -rn1 -p "Cron? [y/n] " c
echo "<$a|$b|$c>"'"""


def test_a_program_that_reads_single_keys_gets_no_enter(shell: Shell) -> None:
    answers = {"Restore? [y/n] ": "y", "> ": "y", "Cron? [y/n] ": "n"}
    result = shell.converse(KEYS, lambda p: Answer(answers[p.line]) if p.settled else WAIT, pace=FAST)
    assert result.text.rstrip().endswith("<y|y|n>"), result.text
    assert [exchange.prompt for exchange in result.exchanges] == ["Restore? [y/n]", ">", "Cron? [y/n]"]


RAW = r"""python3 -c '
import sys, termios, tty
def key(question):
    sys.stdout.write(question)
    sys.stdout.flush()
    was = termios.tcgetattr(0)
    tty.setraw(0)
    pressed = sys.stdin.buffer.raw.read(1)
    termios.tcsetattr(0, termios.TCSADRAIN, was)
    return pressed
print("<", key("Restore? "), key("Cron? "), ">")
'"""


def test_a_program_in_raw_mode_gets_no_enter(shell: Shell) -> None:
    result = shell.converse(RAW, table(Restore=Answer("y"), Cron=Answer("n")), pace=FAST)
    assert "< b'y' b'n' >" in result.text, result.text


STARS = r"""python3 -c '
import os, sys, termios
was = termios.tcgetattr(0)
raw = termios.tcgetattr(0)
raw[0] &= ~termios.ICRNL
raw[3] &= ~(termios.ECHO | termios.ICANON)
typed = b""
sys.stdout.write("Passphrase: ")
sys.stdout.flush()
termios.tcsetattr(0, termios.TCSANOW, raw)
while (key := os.read(0, 1)) != b"\r":
    typed += key
    sys.stdout.write("*")
    sys.stdout.flush()
termios.tcsetattr(0, termios.TCSANOW, was)
print("\n<", len(typed), typed[-1:] != b"\n", ">")
'"""


def test_a_program_that_reads_a_secret_in_raw_mode_gets_a_carriage_return(shell: Shell) -> None:
    given = table(Passphrase=Answer("tr0ub4dor", "pass", secret=True))
    result = shell.converse(
        STARS, given, pace=DialoguePace(quiet=0.2, doubtful=0.5, terminated=0.5, idle=60, total=100)
    )
    assert "< 9 True >" in result.text, result.text
    assert "tr0ub4dor" not in repr(result)


def test_a_program_with_a_line_editor_gets_an_enter(shell: Shell) -> None:
    script = 'bash -c \'read -re -p "Restore? " a; read -re -p "Which? " b; echo "<$a|$b>"\''
    result = shell.converse(script, table(Restore=Answer("y"), Which=Answer("3")), pace=FAST)
    assert "<y|3>" in result.text


def test_login_output_is_not_part_of_a_dialogue(open_shell: Callable[..., Shell], noisy: Sshd) -> None:
    shell = open_shell(noisy.host())
    result = shell.converse("printf 'Well? '; read a; echo \"<$a>\"", table(Well=Answer("yes")), pace=FAST)
    assert result.text == "Well? yes\n<yes>\n"
