"""The `appliance` command of `demo --interactive`: power, and a question that the tool does not know.

appliance                  show both appliances
appliance old|new on|off   switch one on or off
appliance old|new ask      let its next restore ask a question that no dialect knows
appliance old|new quiet    stop asking
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tscm_migrate.demo.base import INVENTORY_NAMES
from tscm_migrate.demo.embedded.shims.base import Shim

QUESTION = "Shall the blue lamp of the front panel be lit?"
_WORDS: dict[str, tuple[str, dict[str, Any]]] = {
    "on": ("power", {"on": True}),
    "off": ("power", {"on": False}),
    "ask": ("ask", {"question": QUESTION}),
    "quiet": ("ask", {"question": None}),
}


def main(argv: list[str]) -> int:
    """Send one request to the lab.

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
        print(__doc__.partition("\n\n")[2].rstrip(), file=sys.stderr)  # noqa: T201
        return 2
    request, fields = _WORDS[words[1]]
    _lab(socket, words[0]).ask_lab(request, **fields)
    return 0


def _lab(socket: str, name: str) -> Shim:
    return Shim({"control": str(Path(socket)), "name": name}, "appliance", [])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
