"""A power switch for hooks: a command on the workstation that acts like a hypervisor's command line."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from tests.harness.namespaces.lab import NamespaceLab

_LIMIT = 60  # seconds that the command waits


class Switch:
    """Provide commands that switch the lab's appliances while the context is open; `pressed` lists the actions.

    A command makes a file, and waits until this process has acted and deleted it: that works from any network
    namespace.
    """

    def __init__(self, lab: NamespaceLab) -> None:
        self.lab, self.pressed = lab, list[str]()
        self.folder = lab.folder / "switch"
        self.folder.mkdir(exist_ok=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="switch")

    def command(self, action: Literal["on", "off"], name: str = "") -> str:
        """Return shell source; without a name it acts on the host whose role is in the hook's environment."""
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
