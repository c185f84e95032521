"""A process list is accepted only if its evidence shows that no process is missing."""

from __future__ import annotations

import pytest

from tscm_migrate.appliance.processes import judge

TOKEN = "look-0123456789abcdef"
FULL = "CapEff:\t000001ffffffffff\nGroups:\t0\n"
LESS = "CapEff:\t00000000a80425fb\nGroups:\t0 \n"
ROWS = f"1 0 Ss 900 /sbin/init\n40 1 Ss 800 /usr/sbin/cron -f\n77 40 S 1 sh -c echo; echo {TOKEN}\n"


def output(
    rows: str = ROWS,
    *,
    end: str = f"{TOKEN}\n",
    top: str = "1",
    mount: str = "rw",
    rights: str = FULL,
    space: str = "2",
) -> str:
    evidence = f"own 77\nclock 1700000000.25\ntop {top}\nproc /proc proc {mount} 0 0\n{rights}namespace pid:[{space}]\n"
    return f"{evidence}listing\n{rows}{end}"


def test_complete_list_is_accepted() -> None:
    listing, why = judge(output(), TOKEN)
    assert why == ""
    assert listing is not None
    assert (listing.clock, listing.own, [process.pid for process in listing.processes]) == (
        1700000000.25,
        77,
        [1, 40, 77],
    )


@pytest.mark.parametrize(
    "text",
    [
        output(mount="rw,hidepid=invisible"),  # does not hide processes from root
        output(mount="rw,gid=30,hidepid=2", rights=LESS.replace("0 ", "0 30 ")),
        output(ROWS.replace("/sbin/init", "sshd -D").replace("cron -f", "busybox crond -f")),
        output(ROWS.replace("/usr/sbin/cron", "tail"), space="4026531836"),
        output(top="0"),  # a login that entered the namespace from outside
    ],
)
def test_list_is_accepted_when_nothing_is_hidden_from_root(text: str) -> None:
    assert judge(text, TOKEN)[0] is not None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cut off"),
        (output(end=""), "cut off"),
        (output(end="look-another\n"), "cut off"),
        ("bash: exec: zsh: not found\n", "cut off"),
        (output(ROWS[:-20] + "\n"), "does not show the command"),  # rows of 80 columns
        (output("1 0 Ss 900 /sbin/init\n"), "does not show the command"),
        (output(f"77 40 S 1 sh -c echo {TOKEN}\n"), "process 1"),
        (output(top="512"), "512"),
        (output(f"{ROWS}unseen 91\n"), "process 91"),
        (output(mount="rw,hidepid=2", rights=LESS), "hidepid=2"),
        (output(mount="rw,relatime,hidepid=1", rights=LESS), "hidepid=1"),
        (output(mount="rw,gid=30,hidepid=ptraceable", rights=LESS.replace("0 ", "0 30 ")), "hidepid=ptraceable"),
        (output(ROWS.replace("/sbin/init", "/usr/sbin/sshd -D").replace("cron -f", "sshd")), "pid namespace"),
        (output().replace("clock 1700000000.25", "clock "), "clock"),
    ],
)
def test_list_that_may_be_incomplete_is_refused(text: str, why: str) -> None:
    listing, reason = judge(text, TOKEN)
    assert listing is None
    assert why in reason
