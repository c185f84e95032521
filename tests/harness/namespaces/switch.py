"""A power switch that a command on the workstation can press, as a hypervisor's command line would."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from tests.harness.namespaces.lab import NamespaceLab

_LIMIT = 60  # seconds that the command waits


class Switch:
    """While it is open, the commands that it gives switch the lab's appliances; `pressed` is what they did, in order.

    A file appears when a command is run and goes away when the deed is done: that works from any network name space.
    """

    def __init__(self, lab: NamespaceLab) -> None:
        self.lab, self.pressed = lab, list[str]()
        self.folder = lab.folder / "switch"
        self.folder.mkdir(exist_ok=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="switch")

    def command(self, action: Literal["on", "off"], name: str = "") -> str:
        """Shell source; without a name it is for the host whose role a hook finds in its environment."""
        file = f'"{self.folder}/{action}.{name or "$TSCM_ROLE"}"'
        return (
            f"f={file}; : >$f; n=0; while [ -e $f ]; do n=$((n+1)); [ $n -lt {_LIMIT * 10} ] || exit 1; sleep 0.1; done"
        )

    def _serve(self) -> None:
        while not self._stop.wait(0.05):
            for file in self.folder.iterdir():
                action, _, name = file.name.partition(".")
                self.pressed.append(file.name)
                if action == "on":
                    self.lab.power_on(name)
                else:
                    self.lab.power_off(name)
                file.unlink()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
