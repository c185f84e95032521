"""Handle of one appliance: a host, and one SSH connection that is opened when it is first needed."""

import shlex
from collections.abc import Callable, Sequence
from typing import Protocol

from tscm_migrate.events import Emit, silent
from tscm_migrate.model import Host, Paths
from tscm_migrate.ssh.execution import CommandResult
from tscm_migrate.ssh.shell import Shell


class Dial(Protocol):
    """Connects to a host; with `expect`, its key must be one of these fingerprints instead of a pinned one."""

    def __call__(self, host: Host, expect: Sequence[str] | None = None) -> Shell: ...  # noqa: D102


class TimedDial(Protocol):
    """As `Dial`; `within`: seconds for the TCP connection, if not as usual."""

    def __call__(  # noqa: D102
        self, host: Host, expect: Sequence[str] | None = None, *, within: float | None = None
    ) -> Shell: ...


def quote(text: str) -> str:
    """Quote `text` as one word of a POSIX shell command."""
    return shlex.quote(text)


# Shell function: succeeds if its argument exists (a dangling link, too), fails if it does not, and ends the script
# with status 93 if that cannot be determined (no permission, a disk error).
PRESENT = (
    'present() { m=$(ls -d -- "$1" 2>&1 >/dev/null) && return 0; '
    'case $m in *"No such file or directory"*|*"Not a directory"*) return 1;; esac; '
    'printf "%s\\n" "$m" >&2; exit 93; }; '
)


class Appliance:
    """A host with at most one open connection.

    `dial` opens the connection when it is needed, and again after it was lost. A caller that lost its
    connection has to ask the appliance for its state before it changes anything.
    """

    def __init__(self, host: Host, dial: Dial, emit: Emit = silent) -> None:
        self.host = host
        self.emit = emit
        self.vet: Callable[[Shell], None] | None = None  # called with each new connection; raises to reject it
        self._dial = dial
        self._shell: Shell | None = None

    @property
    def name(self) -> str:
        """The name in the inventory."""
        return self.host.name

    @property
    def paths(self) -> Paths:
        """The paths of its files."""
        return self.host.paths

    @property
    def shell(self) -> Shell:
        """The open connection.

        Raises:
            SshError: it cannot be opened.
        """
        if self._shell is None or not self._shell.alive:
            self.close()
            shell = self._dial(self.host)
            try:
                if self.vet is not None:
                    self.vet(shell)
            except BaseException:
                shell.close()
                raise
            self._shell = shell
        return self._shell

    def run(
        self,
        script: str,
        *,
        sudo: bool = False,
        stdin: bytes = b"",
        timeout: float = 60.0,
        check: bool = True,
        display: str | None = None,
    ) -> CommandResult:
        """Run `script` with sh; see `ssh.shell.Shell.run`."""
        return self.shell.run(script, sudo=sudo, stdin=stdin, timeout=timeout, check=check, display=display)

    @property
    def connected(self) -> bool:
        """Whether there is an open connection."""
        return self._shell is not None and self._shell.alive

    def moved(self, host: Host, shell: Shell | None = None) -> None:
        """Set the host entry after a change of address; an open connection to it can be passed."""
        self.close()
        self.host = host
        self._shell = shell

    def close(self) -> None:
        """Close the connection if there is one."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None
