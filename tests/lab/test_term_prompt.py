"""The simulated Term::Prompt prints the same bytes as CPAN's module, for each width of the terminal."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness.guest import term_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTHS = (0, 20, 40, 59, 60, 79, 80, 100, 132, 500)
LONG = "IP Address detected on system 10.1.1.50 is not the IP Address stored in the backup 10.1.1.43. Update it?"
NAMES = [f"threatstop_backup_2024-04-{day:02}_20_04_19.tsbak.gpg" for day in range(1, 13)]
SCRIPT = r"""
use strict; use warnings; use Term::Prompt; use Text::Wrap;
{ no warnings 'redefine'; *Term::Prompt::get_width = sub { $ENV{WIDTH} } }
my ($kind, @rest) = @ARGV;
if ($kind eq 'm') { my ($base, $default, @items) = @rest;
    prompt('m', { title => 'Available backups', items => [@items], display_base => $base, order => 'down' }, '', $default) }
else { prompt($kind, $rest[0], '', $rest[1]) }
"""


def perl() -> bool:
    """Return whether CPAN's module is installed."""
    command = ["perl", "-MTerm::Prompt", "-MTerm::ReadKey", "-e", "1"]
    return (
        shutil.which("perl") is not None and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


pytestmark = pytest.mark.skipif(not perl(), reason="libterm-prompt-perl and libterm-readkey-perl are missing")


def real_output(width: int, answers: str, *words: str) -> str:
    done = subprocess.run(
        ["perl", "-e", SCRIPT, *words], input=answers, env={"WIDTH": str(width), "PATH": "/usr/bin:/bin"},
        check=True, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    return done.stdout


def cases() -> Iterator[tuple[str, str]]:
    for width in WIDTHS:
        short = term_prompt.question("Continue?", options="y or n", default="n", width=width)
        again = term_prompt.question("Continue?", options="y or n", default="n", again=True, width=width)
        refused = "Invalid yes or no response. " + term_prompt.wrapped("Options are: y or n", width) + "\n"
        yield real_output(width, "maybe\ny\n", "y", "Continue?", "n"), short + refused + again
        long = term_prompt.question(LONG, options="y or n", default="y", width=width)
        yield real_output(width, "\n", "y", LONG, "y"), long
        slot = term_prompt.question("Block list name :", default="basic.threatstop.local", width=width)
        yield real_output(width, "x\n", "x", "Block list name :", "basic.threatstop.local"), slot
        empty = term_prompt.question("IP Address :", width=width)
        yield real_output(width, "\n1\n", "x", "IP Address :", ""), f"{empty}Invalid option\n{empty}"


def test_questions_equal_those_of_the_real_module() -> None:
    printed = list(cases())
    assert len(printed) == 4 * len(WIDTHS)
    for real, ours in printed:
        assert ours == real


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 10, 12])
def test_the_menu_equals_that_of_the_real_module(count: int) -> None:
    items = NAMES[:count]
    for width in WIDTHS:
        for base in (0, 1) if count > 1 else (1,):
            options = f"{base} - {base + count - 1}"
            lines = term_prompt.menu("Available backups", items, base=base, width=width)
            first = term_prompt.question(">", options=options, default=str(base), width=width)
            again = term_prompt.question(">", options=options, default=str(base), again=True, width=width)
            real = real_output(width, f"99\n{base}\n", "m", str(base), str(base), *items)
            assert f"{lines}{first}\n99 is an invalid choice.\n\n{lines}{again}" == real
