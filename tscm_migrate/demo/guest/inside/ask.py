"""Questions on the terminal: yes or no, a line, a passphrase."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from . import term_prompt
from .base import device_label, device_names, device_settings
from .wording import QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .base import Machine

TRIES = 3


def _show(machine: Machine, prompt: str) -> None:
    if not machine.wording.drip:
        machine.write(prompt)
        return
    third = max(1, len(prompt) // 3)
    for start in range(0, len(prompt), third):
        machine.write(prompt[start : start + third])
        time.sleep(0.02)


def _read(machine: Machine) -> str:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            machine.write("\n")
            machine.fail("End of input.", 130)
        line += byte
    return line.decode("utf-8", "replace").strip("\r\n")


def line(machine: Machine, question: str, **values: str) -> str:
    """Ask for a line of text."""
    return _line(machine, question, values, empty=False)


def line_or_nothing(machine: Machine, question: str) -> str:
    """Ask for a line of text that may be empty; other questions of Term::Prompt do not accept an empty answer."""
    return _line(machine, question, {}, empty=True)


def _line(machine: Machine, question: str, values: Mapping[str, str], *, empty: bool) -> str:
    if not sys.stdin.isatty():
        machine.fail("No terminal to ask on.")
    for _ in range(TRIES):
        _show(machine, _slot(machine, question, **values))
        answer = _read(machine)
        machine.note("asked", question=question, answer=answer)
        if answer.strip() or empty or not machine.wording.term_prompt:
            return answer
        machine.write("Invalid option\n")
    machine.fail("No answer, giving up.")


def yes(machine: Machine, question: str, **values: str) -> bool:
    """Ask for yes or no; repeat the question after another answer, three times at most."""
    lead(machine, question, **values)
    for number in range(TRIES):
        answer = _yes_or_no(machine, question, again=number > 0, **values).strip().lower()
        if not answer and machine.wording.defaults:
            return question in machine.wording.yes_by_default
        if answer in ("yes", "no") or (answer in ("y", "n") and not machine.wording.strict):
            return answer.startswith("y")
        if machine.wording.term_prompt:
            machine.write("Invalid yes or no response. Options are: y or n\n")
        elif complaint := machine.wording.message("not_yes_or_no"):
            machine.warn(complaint)
    machine.fail("No valid answer, giving up.")


def lead(machine: Machine, question: str, **values: str) -> None:
    """Write the lines that this wording has above a question."""
    for level, text in machine.wording.leads.get(question, ()):
        if level == "devices":
            for name in device_names(machine):
                machine.write(f"  {name} ({device_label(device_settings(machine, name)['kind'])})\n")
        else:
            machine.warn(text.format(**values))


def number(machine: Machine, items: list[str], *, base: int) -> int | None:
    """Let one item be chosen from Term::Prompt's menu; return its index, or None without a valid answer."""
    last = base + len(items) - 1
    for attempt in range(TRIES):
        width = _width()
        machine.write(term_prompt.menu(machine.wording.title, items, base=base, width=width))
        options = f"{base} - {last}"
        _show(machine, term_prompt.question(">", options=options, default=str(base), again=attempt > 0, width=width))
        answer = _read(machine).strip()
        machine.note("asked", question="choose", answer=answer)
        answer = answer or str(base)
        if answer.isascii() and answer.isdigit() and base <= int(answer) <= last:
            return int(answer) - base
        machine.write(f"\n{answer} is an invalid choice.\n\n")
    return None


def _yes_or_no(machine: Machine, question: str, *, again: bool, **values: str) -> str:
    wording = machine.wording
    if not wording.term_prompt:
        return line(machine, question, **values)
    if not sys.stdin.isatty():
        machine.fail("No terminal to ask on.")
    default = "y" if question in wording.yes_by_default else "n"
    text = wording.text(question, **values) + ("" if question not in QUESTIONS else "?")
    _show(machine, term_prompt.question(text, options="y or n", default=default, again=again, width=_width()))
    answer = _read(machine)
    machine.note("asked", question=question, answer=answer)
    return answer


def _slot(machine: Machine, question: str, **values: str) -> str:
    wording = machine.wording
    if wording.term_prompt:
        return term_prompt.question(f"{wording.text(question, **values)} :", width=_width())
    return wording.prompt(question, **values)


def _width() -> int:
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 0


def secret(machine: Machine, question: str) -> str:
    """Ask for a passphrase without echo; the journal records only the question."""
    if not sys.stdin.isatty():
        machine.fail("No terminal to ask for a passphrase on.")
    import termios

    before = termios.tcgetattr(0)
    silent = termios.tcgetattr(0)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSADRAIN, silent)
    try:
        _show(machine, _slot(machine, question))
        answer = _read(machine)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
    machine.write("\n")
    machine.note("asked", question=question)
    return answer
