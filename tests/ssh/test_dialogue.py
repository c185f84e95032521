from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import growing
from tscm_migrate.errors import DialogueSilent
from tscm_migrate.events import Event, Prompted
from tscm_migrate.ssh.connect import NoSecrets, connect
from tscm_migrate.ssh.dialogue import WAIT, Answer, Decide, DialoguePace, HangUp, Pending, Wait
from tscm_migrate.ssh.terminal import MASK

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.sshd import Sshd
    from tscm_migrate.ssh.shell import Shell

BRISK = DialoguePace(quiet=0.2, doubtful=0.5, terminated=0.5, idle=60, total=100)


def table(**rules: Answer) -> Decide:
    """Rules by name: the name's words, joined by underscores, must end the line."""

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        for name, answer in rules.items():
            if re.search(name.replace("_", ".") + r"\W*$", pending.line):
                return answer
        return HangUp(f"unknown: {pending.line}") if pending.settled else WAIT

    return decide


def test_prompts_are_answered_in_the_order_in_which_they_come(shell: Shell) -> None:
    script = "printf 'Use DHCP[y/n]: '; read a; echo Applying; printf 'IP Address: '; read b; echo \"<$a|$b>\"; exit 3"
    talk = shell.converse(script, table(y_n=Answer("n", "dhcp"), IP_Address=Answer("172.16.2.100", "ip")), pace=BRISK)
    assert talk.status == 3
    assert [(e.prompt, e.rule, e.shown) for e in talk.exchanges] == [
        ("Use DHCP[y/n]:", "dhcp", "n"),
        ("IP Address:", "ip", "172.16.2.100"),
    ]
    assert talk.text == "Use DHCP[y/n]: n\nApplying\nIP Address: 172.16.2.100\n<n|172.16.2.100>\n"


def test_a_secret_is_never_in_the_transcript_even_if_the_program_repeats_it(shell: Shell) -> None:
    script = (
        "printf 'Passphrase: '; read p; echo \"you said $p\"; printf 'Passphrase: '; stty -echo; read p; echo; echo $p"
    )
    talk = shell.converse(script, table(Passphrase=Answer("tr0ub4dor", "pass", secret=True)), pace=BRISK)
    assert talk.status == 0
    assert "tr0ub4dor" not in repr(talk)
    assert talk.text.count(f"Passphrase: {MASK}\n") == 2
    assert f"you said {MASK}" in talk.text


def test_a_prompt_in_pieces_is_answered_once_and_whole(shell: Shell) -> None:
    script = "for c in P r o c e e d; do printf $c; sleep 0.05; done; printf '? '; read a; echo got $a; read b"
    answered: list[str] = []

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        if pending.line == "Proceed? ":
            answered.append(pending.line)
            return Answer("yes")
        return HangUp("second") if answered and pending.settled else WAIT

    talk = shell.converse(script, decide, pace=BRISK)
    assert answered == ["Proceed? "]
    assert talk.stopped == "second"
    assert "got yes" in talk.text


def test_a_prompt_that_ends_its_line_is_offered_after_a_silence(shell: Shell) -> None:
    seen: list[Pending] = []

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        seen.append(pending)
        return Answer("7") if pending.terminated else WAIT

    talk = shell.converse("echo 'Choose a number'; echo; read n; echo chose $n", decide, pace=BRISK)
    assert talk.text.endswith("chose 7\n")
    assert [(p.line, p.settled) for p in seen if p.terminated] == [("Choose a number", True)]


def test_progress_is_not_taken_for_a_prompt_while_it_moves(shell: Shell) -> None:
    seen: list[str] = []

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        if pending.settled:
            seen.append(pending.line)
            return Answer("ok")
        return WAIT

    script = "for i in 1 2 3 4 5 6 7 8; do printf '\\r %s0%%' $i; sleep 0.1; done; printf '\\r\\033[KRestart? '; read a"
    assert shell.converse(script, decide, pace=DialoguePace(quiet=0.3, doubtful=20, idle=60)).status == 0
    assert seen == ["Restart? "]


def test_what_got_no_answer_is_offered_again(shell: Shell) -> None:
    offers: list[float] = []

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        if pending.settled:
            offers.append(pending.quiet)
        return Answer("at last") if len(offers) == 3 else WAIT

    assert shell.converse("printf 'Well? '; read a", decide, pace=BRISK).status == 0
    assert offers == sorted(offers)


def test_an_answer_that_came_too_late_for_its_prompt_is_not_sent(shell: Shell, tmp_path) -> None:  # type: ignore[no-untyped-def]
    flag = tmp_path / "go"
    asked: list[str] = []

    def decide(pending: Pending) -> Answer | Wait | HangUp:
        if pending.line.endswith("first? "):
            asked.append("first")
            shell.run(f"touch {flag}; while [ -e {flag} ]; do sleep 0.05; done")  # the screen changes meanwhile
            return Answer("for the first")
        if pending.line.endswith("second? "):
            asked.append("second")
            return Answer("for the second")
        return WAIT

    script = (
        f"printf 'first? '; while [ ! -e {flag} ]; do sleep 0.05; done; "
        f"printf '\\nsecond? '; rm {flag}; read a; echo got $a"
    )
    talk = shell.converse(script, decide, pace=BRISK)
    assert talk.text.endswith("got for the second\n")
    assert asked == ["first", "second"]


def test_silence_ends_with_the_transcript(shell: Shell) -> None:
    for idle in growing(1):
        with pytest.raises(DialogueSilent) as caught:
            shell.converse("echo working on it; sleep 600", lambda _p: WAIT, pace=DialoguePace(idle=idle, total=300))
        if caught.value.transcript:
            break
    assert "working on it" in caught.value.transcript


def test_endless_chatter_ends_too(shell: Shell) -> None:
    with pytest.raises(DialogueSilent, match="not ended"):
        shell.converse("while :; do echo tick; sleep 0.1; done", lambda _p: WAIT, pace=DialoguePace(idle=30, total=1))


def test_a_stopped_dialogue_ends_the_program(shell: Shell, tmp_path) -> None:  # type: ignore[no-untyped-def]
    note = tmp_path / "pid"
    talk = shell.converse(f"echo $$ >{note}; printf 'Sure? '; read a", lambda _p: HangUp("not me"), pace=BRISK)
    assert (talk.stopped, talk.status, talk.exchanges) == ("not me", None, ())
    pid = int(note.read_text())
    gone = shell.run(
        f"for i in $(seq 600); do kill -0 {pid} 2>/dev/null || exit 0; sleep 0.1; done; exit 1", check=False
    )
    assert gone.status == 0


def test_what_decide_raises_comes_through(shell: Shell) -> None:
    def decide(_pending: Pending) -> Answer | Wait | HangUp:
        raise LookupError("no rule")

    with pytest.raises(LookupError):
        shell.converse("printf 'Sure? '; read a", decide, pace=BRISK)
    assert shell.alive


def test_a_lost_connection_is_told_in_the_transcript(open_shell: Callable[..., Shell], sshd: Sshd) -> None:
    shell = open_shell(sshd.host())
    talk = shell.converse("echo Rebooting now; sleep 0.3; kill -9 $PPID; sleep 5", lambda _p: WAIT, pace=BRISK)
    assert (talk.lost, talk.status) == (True, None)
    assert "Rebooting now" in talk.text


def test_a_daemon_that_keeps_the_terminal_does_not_hold_us(shell: Shell) -> None:
    talk = shell.converse("trap '' HUP; sleep 600 & echo pid $!; exit 5", lambda _p: WAIT, pace=BRISK)
    assert (talk.status, talk.lost) == (5, False)
    shell.run(f"kill {int(talk.text.split()[1])}")  # it was still there, so nobody waited for it


def test_each_answer_is_an_event_and_a_secret_one_is_masked(sshd: Sshd) -> None:
    seen: list[Event] = []
    with connect(sshd.host(), credentials=NoSecrets(), emit=seen.append) as shell:
        shell.converse("printf 'Key: '; read a", table(Key=Answer("s3cr3t!", "key", secret=True)), pace=BRISK)
    (prompted,) = [event for event in seen if isinstance(event, Prompted)]
    assert (prompted.prompt, prompted.rule, prompted.answer) == ("Key:", "key", MASK)
    assert "s3cr3t" not in repr(seen)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_root_talks_on_a_terminal_too(shell: Shell) -> None:
    talk = shell.converse("printf 'Who? '; read a; id -un; tty", table(Who=Answer("me")), sudo=True, pace=BRISK)
    assert talk.status == 0
    assert talk.text.startswith("Who? me\nroot\n/dev/pts/")


KEYS = """bash -c '
read -rn1 -p "Restore? [y/n] " a; echo; printf "The host\\nkeys too? [y/n]\\n"; read -rn1 -p "> " b; read -rn1 -p "Cron? [y/n] " c
echo "<$a|$b|$c>"'"""


def test_a_program_that_reads_single_keys_gets_no_enter_which_would_answer_its_next_question(shell: Shell) -> None:
    answers = {"Restore? [y/n] ": "y", "> ": "y", "Cron? [y/n] ": "n"}
    talk = shell.converse(KEYS, lambda p: Answer(answers[p.line]) if p.settled else WAIT, pace=BRISK)
    assert talk.text.rstrip().endswith("<y|y|n>"), talk.text
    assert [exchange.prompt for exchange in talk.exchanges] == ["Restore? [y/n]", ">", "Cron? [y/n]"]


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


def test_a_raw_terminal_gets_a_key_as_well(shell: Shell) -> None:
    talk = shell.converse(RAW, table(Restore=Answer("y"), Cron=Answer("n")), pace=BRISK)
    assert "< b'y' b'n' >" in talk.text, talk.text


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


def test_a_program_that_reads_a_secret_key_by_key_gets_the_enter_that_a_keyboard_sends(shell: Shell) -> None:
    given = table(Passphrase=Answer("tr0ub4dor", "pass", secret=True))
    talk = shell.converse(STARS, given, pace=DialoguePace(quiet=0.2, doubtful=0.5, terminated=0.5, idle=60, total=100))
    assert "< 9 True >" in talk.text, talk.text
    assert "tr0ub4dor" not in repr(talk)


def test_a_program_with_a_line_editor_gets_its_enter(shell: Shell) -> None:
    script = 'bash -c \'read -re -p "Restore? " a; read -re -p "Which? " b; echo "<$a|$b>"\''
    talk = shell.converse(script, table(Restore=Answer("y"), Which=Answer("3")), pace=BRISK)
    assert "<y|3>" in talk.text


def test_what_a_login_prints_is_no_part_of_a_dialogue(open_shell: Callable[..., Shell], noisy: Sshd) -> None:
    shell = open_shell(noisy.host())
    talk = shell.converse("printf 'Well? '; read a; echo \"<$a>\"", table(Well=Answer("yes")), pace=BRISK)
    assert talk.text == "Well? yes\n<yes>\n"
