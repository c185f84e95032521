"""Questions on the terminal: yes or no, a line, a passphrase."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from .wording import YES_BY_DEFAULT

if TYPE_CHECKING:
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
    if not sys.stdin.isatty():
        machine.fail("No terminal to ask on.")
    _show(machine, machine.wording.prompt(question, **values))
    answer = _read(machine)
    machine.note("asked", question=question, answer=answer)
    return answer


def yes(machine: Machine, question: str, **values: str) -> bool:
    """Ask for yes or no; another answer is asked again, thrice at most."""
    for _ in range(TRIES):
        answer = line(machine, question, **values).strip().lower()
        if not answer and machine.wording.defaults:
            return question in YES_BY_DEFAULT
        if answer in ("yes", "no") or (answer in ("y", "n") and not machine.wording.strict):
            return answer.startswith("y")
        machine.warn("Please answer yes or no.")
    machine.fail("No valid answer, giving up.")


def secret(machine: Machine, question: str) -> str:
    """Ask for a passphrase, with the echo off; the journal gets no more than that it was asked."""
    if not sys.stdin.isatty():
        machine.fail("No terminal to ask for a passphrase on.")
    import termios

    before = termios.tcgetattr(0)
    silent = termios.tcgetattr(0)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSADRAIN, silent)
    try:
        _show(machine, machine.wording.prompt(question))
        answer = _read(machine)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
    machine.write("\n")
    machine.note("asked", question=question)
    return answer
