"""Replaces ps and pgrep, which show only processes of this appliance, and pkill and killall, which do nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .main import Shim

WITH_VALUE = {True: "oOUuGgptsCN", False: "oOpU"}  # whether the word begins with a dash
EVERYBODY = {True: "eAadx", False: "ax"}
AS_DOCUMENTED = ("-augx", "-aux")  # as on the vendor's page


def pids(marker: str) -> list[str]:
    """Return the processes with this appliance's marker in their environment; without /proc, all readable ones."""
    names = []
    needle = f"TSCM_LAB_APPLIANCE={marker}\0".encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if needle in file.read() + b"\0":
                    names.append(name)
        except OSError:
            continue
    return names


def ps(shim: Shim) -> int:
    """Run the real `ps` with its selection of processes replaced by this appliance's."""
    mine = pids(shim.config["marker"]) if os.path.exists("/proc/self/environ") else None
    if mine is None:
        shim.become(shim.argv)
    kept, rest, narrowed = [], list(shim.argv), False
    while rest:
        word, option = _without_everybody(rest.pop(0))
        kept += [word] if word else []
        narrowed = narrowed or option in ("p", "C", "s", "N") or word.startswith(("--pid", "--ppid"))
        if option and word.endswith(option) and rest:
            kept.append(rest.pop(0))
    if narrowed:
        return _filtered(shim, shim.argv, set(mine))
    shim.become([*kept, "-p", ",".join(["1", *mine])])  # an appliance has an init process


def _without_everybody(word: str) -> tuple[str, str]:
    """Return a word of ps's arguments without the letters that select processes, and its option with a value."""
    if word.startswith("--"):
        return word, ""
    if word in AS_DOCUMENTED:
        return "u", ""
    dash = word.startswith("-")
    letters = word.lstrip("-")
    at = next((number for number, letter in enumerate(letters) if letter in WITH_VALUE[dash]), len(letters))
    kept = "".join(letter for letter in letters[:at] if letter not in EVERYBODY[dash]) + letters[at:]
    return ("-" if dash and kept else "") + kept, letters[at : at + 1]


def _filtered(shim: Shim, argv: list[str], mine: set[str]) -> int:
    """Run `ps -p N` and similar as requested, if every named process is this appliance's."""
    named = {piece for word in argv for piece in word.replace("=", ",").split(",") if piece.isdigit()}
    if named - mine:
        return 1
    return subprocess.call([shim.real(), *argv])


def pgrep(shim: Shim) -> int:
    """Run the real `pgrep`, without processes of others and without this program itself."""
    done = subprocess.run([shim.real(), *shim.argv], check=False, capture_output=True, text=True)
    mine = set(pids(shim.config["marker"])) - {str(os.getpid())}
    lines = [line for line in done.stdout.splitlines() if line.split() and line.split()[0] in mine]
    sys.stdout.write("".join(line + "\n" for line in lines))
    sys.stderr.write(done.stderr)
    return 0 if lines else max(done.returncode, 1)


def pkill(shim: Shim) -> int:
    """Refuse: it would select processes of the complete machine."""
    shim.complain(f"{shim.name}: not on this simulated appliance; kill by process id")
    return 1
