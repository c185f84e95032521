"""The shell of `demo --interactive` and its `appliance` command.

In the shell the inventory is set, and both appliances are up until it ends.
"""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tscm_migrate.demo.base import INVENTORY_NAMES
from tscm_migrate.demo.embedded.lab import NEW_ADDRESS, OLD_ADDRESS, EmbeddedLab
from tscm_migrate.demo.embedded.shims.main import Shim

INTRODUCTION = f"""\
tscm-old ({OLD_ADDRESS}) and tscm-new ({NEW_ADDRESS}) are up. In this shell
their inventory and the passphrase of the archives are set. Five things to try:

  1. See what a migration would do; nothing is changed:
       tscm-migrate plan --from tscm-old --to tscm-new
  2. Migrate:
       tscm-migrate migrate --from tscm-old --to tscm-new
  3. Press Ctrl-C while it runs. Before tscm-old goes offline this undoes
     everything; after that, continue with:
       tscm-migrate resume
  4. Undo a finished migration (RUN is in its last lines); then you can
     migrate again:
       tscm-migrate rollback RUN
  5. Let tscm-new ask a question that the tool does not know, and answer it:
       appliance new ask
       tscm-migrate rehearse --from tscm-old --to tscm-new
       appliance new quiet

`appliance` shows both appliances, `appliance old off` switches one off.
`exit` ends the demo and removes both.
"""


def prepare(lab: EmbeddedLab) -> Path:
    """Write the commands of the shell, and the hook that switches the old appliance on for a rollback.

    Returns:
        The folder of the commands, for PATH.
    """
    folder = lab.folder / "bin"
    folder.mkdir(exist_ok=True)
    python = shlex.quote(sys.executable)
    control = shlex.quote(str(lab.control))
    commands = {
        "tscm-migrate": f"{python} -m tscm_migrate",
        "appliance": f"{python} -m tscm_migrate.demo.playground {control}",
    }
    for name, command in commands.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
        path.chmod(0o755)
    switch_on = f"{shlex.quote(str(folder / 'appliance'))} old on"
    inventory = lab.inventory.read_text("utf-8")
    lab.inventory.write_text(f'{inventory}\n[hooks]\nonline = """{switch_on}"""\n', "utf-8")
    return folder


def run(lab: EmbeddedLab, passphrase: str) -> int:
    """Run the operator's shell until it ends; where the input is not a terminal, a shell that reads commands from it.

    Returns:
        Its exit status.
    """
    folder = prepare(lab)
    kept = {name: os.environ[name] for name in ("TERM", "COLORTERM", "USER", "NO_COLOR") if name in os.environ}
    env = {
        **kept,
        **lab.env(),
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "TSCM_PASSPHRASE": passphrase,
        "PS1": "(tscm demo) $ ",
    }
    interrupted = signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for what runs in the shell
    try:
        return subprocess.run(_shell(), env=env, cwd=lab.folder / "workstation", check=False).returncode
    finally:
        signal.signal(signal.SIGINT, interrupted)


def _shell() -> list[str]:
    """A shell without the operator's start files: they may set another PATH or inventory."""
    if not (sys.stdin is not None and sys.stdin.isatty()):
        return ["/bin/sh", "-s"]
    wanted = os.environ.get("SHELL", "")
    if wanted.endswith("/bash"):
        return [wanted, "--norc", "--noprofile", "-i"]
    return [wanted, "-f", "-i"] if wanted.endswith("/zsh") else ["/bin/sh", "-i"]


_USAGE = """\
appliance                  show both appliances
appliance old|new on|off   switch one on or off
appliance old|new ask      let its next restore ask a question that no dialect knows
appliance old|new quiet    stop asking
"""
QUESTION = "Shall the blue lamp of the front panel be lit?"
_WORDS: dict[str, tuple[str, dict[str, Any]]] = {
    "on": ("power", {"on": True}),
    "off": ("power", {"on": False}),
    "ask": ("ask", {"question": QUESTION}),
    "quiet": ("ask", {"question": None}),
}


def main(argv: list[str]) -> int:
    """Run the `appliance` command: power, and a question that the tool does not know.

    Args:
        argv: the lab's control socket, then the command's own arguments.
    """
    socket, *words = argv
    if not words:
        for name, shown in INVENTORY_NAMES.items():
            state = _lab(socket, name).ask_lab("state")
            print(f"{shown:<9} {'on' if state['on'] else 'off':<4} {state['address'] or 'does not answer'}")  # noqa: T201
        return 0
    if len(words) != 2 or words[0] not in INVENTORY_NAMES or words[1] not in _WORDS:
        print(_USAGE, end="", file=sys.stderr)  # noqa: T201
        return 2
    request, fields = _WORDS[words[1]]
    _lab(socket, words[0]).ask_lab(request, **fields)
    return 0


def _lab(socket: str, name: str) -> Shim:
    return Shim({"control": str(Path(socket)), "name": name}, "appliance", [])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
