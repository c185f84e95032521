"""Errors between this workstation and a host."""

from __future__ import annotations

from dataclasses import dataclass, field

from tscm_migrate.errors.base import Exit, MigrateError, Retry, as_clause


@dataclass(eq=False)
class SshError(MigrateError):
    """Something between this workstation and a host went wrong."""

    code = "ssh"

    host: str
    detail: str = ""

    def message(self) -> str:
        doc = as_clause(type(self).__doc__ or self.code)
        return f"{self.host}: {doc}" + (f" ({self.detail})" if self.detail else "")


@dataclass(eq=False)
class Unreachable(SshError):
    """No SSH connection could be made."""

    code = "ssh.unreachable"
    retry = Retry.LATER

    def remedy(self) -> str:
        return "check the address and port in the inventory, that the host is on, and that no firewall is between"


@dataclass(eq=False)
class AuthFailed(SshError):
    """The host accepted none of the offered keys or passwords."""

    code = "ssh.auth"
    retry = Retry.AFTER_REMEDY

    def remedy(self) -> str:
        return "set user and identity_file in the inventory, or load the key into the agent: ssh-add FILE"


@dataclass(eq=False)
class ServerFull(Unreachable):
    """The server takes no more connections at the moment."""

    code = "ssh.full"
    advice = (
        "wait a minute and run the same command again; where it stays: sudo sshd -T | grep -iE "
        "'maxstartups|persource' on the host shows its limits"
    )

    def remedy(self) -> str:
        return self.advice


@dataclass(eq=False)
class NoCommonAlgorithm(Unreachable):
    """This SSH library and the server have no algorithm in common."""

    code = "ssh.algorithms"
    retry = Retry.AFTER_REMEDY

    kind: str = ""
    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    newer: bool = False

    def message(self) -> str:
        theirs, ours = ", ".join(self.theirs) or "none", ", ".join(self.ours) or "none"
        why = f"; {self.detail}" if self.detail else ""
        return f"{self.host}: no {self.kind or 'algorithm'} in common: it offers {theirs}; we offer {ours}{why}"

    def remedy(self) -> str:
        options = {"key exchange": "KexAlgorithms", "cipher": "Ciphers", "MAC": "MACs"}
        wanted = next((name for name in self.ours if "@" not in name and "mlkem" not in name), "")
        line = f"{options.get(self.kind, 'HostKeyAlgorithms')} +{wanted}"
        if self.newer:
            return (
                f"update the SSH library: pip install --upgrade paramiko; or, on the host, add `{line}` to "
                "/etc/ssh/sshd_config, then: sudo systemctl reload ssh"
            )
        keys = "make newer host keys: sudo ssh-keygen -A; " if "host key" in self.kind else ""
        return (
            f"update OpenSSH on the host; or, where it is 7.2 or later: {keys}add `{line}` to /etc/ssh/sshd_config, "
            "then: sudo systemctl reload ssh"
        )


@dataclass(eq=False)
class PasswordExpired(AuthFailed):
    """The password of this user has expired on the host."""

    code = "ssh.password-expired"

    login: str = ""

    def remedy(self) -> str:
        return f"log in by hand and set a new one: ssh -t {self.login or self.host} passwd"


@dataclass(eq=False)
class LoginsClosed(AuthFailed):
    """The host lets nobody in at the moment."""

    code = "ssh.nologin"
    advice = "it is starting or going down, or /etc/nologin lies there: wait, or remove that file on its console"
    retry = Retry.LATER

    def remedy(self) -> str:
        return self.advice


@dataclass(eq=False)
class ConnectionLost(SshError):
    """The connection went away in the middle."""

    code = "ssh.lost"
    advice = "check the network and that the host is still on, then run the same command again"
    retry = Retry.LATER


@dataclass(eq=False)
class CommandTimeout(SshError):
    """A remote command did not end within its time."""

    code = "ssh.timeout"
    advice = "see on the host what keeps it busy (load, disk), then run again"
    retry = Retry.LATER

    seconds: float = 0.0


@dataclass(eq=False)
class CommandFailed(SshError):
    """A remote command failed."""

    code = "ssh.command"
    foreign = ("output",)
    advice = "run the command by hand on the host, mend what it says, then run again"

    command: str = ""
    status: int = -1
    output: str = field(default="", repr=False)

    def message(self) -> str:
        said = self.output.strip().splitlines()[-1][:200] if self.output.strip() else "no output"
        return f"{self.host}: `{self.command}` failed with exit status {self.status}: {said}"


@dataclass(eq=False)
class SudoFailed(SshError):
    """sudo refused."""

    code = "ssh.sudo"
    retry = Retry.AFTER_REMEDY

    def remedy(self) -> str:
        return "give the sudo password: TSCM_SUDO_PASSWORD, the keyring, or at the prompt; or allow sudo for this user"


@dataclass(eq=False)
class OutputFlood(SshError):
    """A remote command printed more than this tool is willing to hold."""

    code = "ssh.flood"
    advice = "run the command by hand on the host, and see why it prints without end"


@dataclass(eq=False)
class TalkativeLogin(SshError):
    """Its login prints something where only a program should speak."""

    code = "ssh.talkative-login"
    advice = (
        "let its ~/.bashrc, ~/.zshenv and the like print nothing where there is no terminal, or go a way that does not "
        "mind: without --sftp, or by --method tar"
    )
    retry = Retry.AFTER_REMEDY


@dataclass(eq=False)
class NotRun(SshError):
    """The login did not run the command."""

    code = "ssh.not-run"
    retry = Retry.AFTER_REMEDY

    startup: str = ""  # "~/.bashrc line 3: exec zsh", where it was found
    login: str = ""  # "user@address", or with -p, as ssh takes it

    def message(self) -> str:
        return super().message() + (f"; the cause may be {self.startup}" if self.startup else "")

    def remedy(self) -> str:
        where = self.startup.partition(" ")[0] or "~/.bashrc, ~/.profile, ~/.zshrc or config.fish"
        return (
            f"see what a command gives: ssh {self.login or self.host} 'echo here'; let exec, exit and menus in {where} "
            "run only where there is a terminal (`[ -t 0 ] || return 0` before them), or give the user a shell: "
            "sudo usermod -s /bin/bash USER; in sshd_config a ForceCommand must run $SSH_ORIGINAL_COMMAND"
        )


@dataclass(eq=False)
class OutputCut(SshError):
    """The output of a command broke off before the command had ended."""

    code = "ssh.output-cut"
    advice = "see on the host what ended the login's shell (dmesg, journalctl -u ssh), then run the same command again"
    retry = Retry.LATER


@dataclass(eq=False)
class NoTerminal(SshError):
    """The server gives no terminal, which a dialogue needs."""

    code = "ssh.no-terminal"
    advice = (
        "remove `PermitTTY no` from /etc/ssh/sshd_config and `no-pty` or `restrict` from ~/.ssh/authorized_keys there, "
        "then: sudo systemctl reload ssh"
    )
    retry = Retry.AFTER_REMEDY


@dataclass(eq=False)
class NoSftp(SshError):
    """The server has no SFTP."""

    code = "ssh.no-sftp"
    retry = Retry.AFTER_REMEDY

    def remedy(self) -> str:
        openssh = "add `Subsystem sftp internal-sftp` to /etc/ssh/sshd_config there, then: sudo systemctl reload ssh"
        how = "sudo apt-get install openssh-sftp-server, there" if "dropbear" in self.detail else openssh
        return f"{how}; or leave out --sftp"


@dataclass(eq=False)
class SessionsRefused(SshError):
    """The server opens no session."""

    code = "ssh.sessions"
    advice = "set `MaxSessions 10` in /etc/ssh/sshd_config there, then: sudo systemctl reload ssh"
    retry = Retry.AFTER_REMEDY


@dataclass(eq=False)
class HostKeyError(SshError):
    """The host's identity could not be established."""

    code = "ssh.host-key"
    exit_code = Exit.HOST_KEY
    retry = Retry.AFTER_REMEDY


@dataclass(eq=False)
class HostKeyUnknown(HostKeyError):
    """No host key is pinned for this host."""

    code = "ssh.host-key-unknown"

    offered: str = ""  # "SHA256:…", as ssh-keygen -l prints it

    def remedy(self) -> str:
        return (
            "read the key on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), "
            f"then: tscm-migrate host pin {self.host}"
        )


@dataclass(eq=False)
class HostKeyMismatch(HostKeyError):
    """The host offers no key that may be pinned."""

    code = "ssh.host-key-mismatch"

    expected: str = ""
    offered: str = ""

    def message(self) -> str:
        if not self.expected:
            return f"{self.host}: {self.detail}: {self.offered}"
        return f"{self.host}: no key has the fingerprint {self.expected}; it offers {self.offered}"

    def remedy(self) -> str:
        return (
            "read the fingerprint again on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub); "
            "if it is another one, somebody else answers at this address"
        )


@dataclass(eq=False)
class HostKeyChanged(HostKeyError):
    """The host offers another host key than the pinned one."""

    code = "ssh.host-key-changed"

    pinned: str = ""
    offered: str = ""

    def message(self) -> str:
        why = f" ({self.detail})" if self.detail else ""
        return f"{self.host}: the host key changed{why}: pinned {self.pinned}, offered {self.offered}"

    def remedy(self) -> str:
        return (
            "it was installed anew, or somebody else answers at its address: read the key on its console "
            f"(ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub); only if it matches: tscm-migrate host pin {self.host}"
        )
