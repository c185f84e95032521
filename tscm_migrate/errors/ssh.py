"""Errors between this workstation and a host."""

from dataclasses import field

from tscm_migrate.errors.base import Exit, MigrateError, Retry, as_clause


class SshError(MigrateError):
    """An SSH operation failed."""

    code = "ssh"
    advice = "try it with OpenSSH's own client (ssh, sftp), and fix what it reports"

    host: str
    detail: str = ""

    def summary(self) -> str:
        doc = as_clause(type(self).__doc__ or self.code)
        return f"{self.host}: {doc}" + (f" ({self.detail})" if self.detail else "")


class Unreachable(SshError):
    """No SSH connection could be made."""

    code = "ssh.unreachable"
    retry = Retry.LATER
    advice = "check its address and port (tscm-migrate host list), that it is on, and that no firewall blocks SSH"


class AuthFailed(SshError):
    """The host accepted none of the offered keys or passwords."""

    code = "ssh.auth"
    retry = Retry.AFTER_REMEDY
    advice = "set user and identity_file in the inventory, or load the key into the agent: ssh-add FILE"


class ServerFull(Unreachable):
    """The server takes no more connections at the moment."""

    code = "ssh.full"
    advice = (
        "wait a minute and run the same command again; if that does not help, show the limits on the host: "
        "sudo sshd -T | grep -iE 'maxstartups|persource'"
    )


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
        return f"{self.host}: no {self.kind or 'algorithm'} in common: it offers {theirs}; this tool offers {ours}{why}"

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


class PasswordExpired(AuthFailed):
    """The password of this user has expired on the host."""

    code = "ssh.password-expired"

    login: str = ""

    def remedy(self) -> str:
        return f"set a new password: ssh -t {self.login or self.host} passwd"


class LoginsClosed(AuthFailed):
    """The host refuses all logins at the moment."""

    code = "ssh.nologin"
    advice = "it is starting or shutting down, or /etc/nologin exists: wait, or remove that file on its console"
    retry = Retry.LATER


class ConnectionLost(SshError):
    """The connection was lost."""

    code = "ssh.lost"
    advice = "check the network and that the host is still on, then run the same command again"
    retry = Retry.LATER


class CommandTimeout(SshError):
    """A remote command timed out."""

    code = "ssh.timeout"
    advice = "check the load and the disks of the host (uptime, df, dmesg), then run the same command again"
    retry = Retry.LATER

    seconds: float = 0.0


class CommandFailed(SshError):
    """A remote command failed."""

    code = "ssh.command"
    foreign = ("output",)
    advice = "run the command on the host yourself, fix the reported problem, and retry"

    command: str = ""
    status: int = -1
    output: str = field(default="", repr=False)

    def message(self) -> str:
        last = self.output.strip().splitlines()[-1][:200] if self.output.strip() else "no output"
        return f"{self.host}: `{self.command}` failed with exit status {self.status}: {last}"


class SudoFailed(SshError):
    """sudo failed."""

    code = "ssh.sudo"
    retry = Retry.AFTER_REMEDY
    advice = (
        "store the sudo password: tscm-migrate secret set sudo:{host}; or set TSCM_SUDO_PASSWORD; "
        "or allow this user to use sudo"
    )


class TooMuchOutput(SshError):
    """A remote command or server sent more data than the limit."""

    code = "ssh.flood"
    advice = "run the command on the host yourself, and find out why it prints so much"


class LoginPrintsOutput(SshError):
    """The login shell prints output in non-interactive sessions."""

    code = "ssh.talkative-login"
    advice = (
        "silence its shell startup files (~/.bashrc, ~/.zshenv) for non-interactive logins; or use another method: "
        "without --sftp, or with --method tar"
    )
    retry = Retry.AFTER_REMEDY


class CommandNotRun(SshError):
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
            f"test it: ssh {self.login or self.host} 'echo here'; put `[ -t 0 ] || return 0` before exec, exit and "
            f"menus in {where}; or give the user a shell: sudo usermod -s /bin/bash USER; a ForceCommand in "
            "sshd_config has to run $SSH_ORIGINAL_COMMAND"
        )


class OutputCut(SshError):
    """The output of a remote command was cut off."""

    code = "ssh.output-cut"
    advice = "find out on the host what ended the login shell (dmesg, journalctl -u ssh), then run this again"
    retry = Retry.LATER


class NoTerminal(SshError):
    """The server refuses a terminal, which tsadmin's questions need."""

    code = "ssh.no-terminal"
    advice = (
        "on the host, remove `PermitTTY no` from /etc/ssh/sshd_config, and `no-pty` or `restrict` from "
        "~/.ssh/authorized_keys, then: sudo systemctl reload ssh"
    )
    retry = Retry.AFTER_REMEDY


class NoSftp(SshError):
    """The server has no working SFTP subsystem."""

    code = "ssh.no-sftp"
    retry = Retry.AFTER_REMEDY

    def remedy(self) -> str:
        openssh = "on the host, add `Subsystem sftp internal-sftp` to /etc/ssh/sshd_config; sudo systemctl reload ssh"
        how = "on the host: sudo apt-get install openssh-sftp-server" if "dropbear" in self.detail else openssh
        return f"{how}; or run it without --sftp"


class SessionsRefused(SshError):
    """The server refuses to open a session."""

    code = "ssh.sessions"
    advice = "on the host, set `MaxSessions 10` in /etc/ssh/sshd_config, then: sudo systemctl reload ssh"
    retry = Retry.AFTER_REMEDY


class HostKeyError(SshError):
    """The host key could not be verified."""

    code = "ssh.host-key"
    exit_code = Exit.HOST_KEY
    retry = Retry.AFTER_REMEDY


class HostKeyUnknown(HostKeyError):
    """No host key is pinned for this host."""

    code = "ssh.host-key-unknown"
    advice = (
        "read the key on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), "
        "then: tscm-migrate host pin {host}"
    )

    offered: str = ""  # "SHA256:…", as ssh-keygen -l prints it


class HostKeyMismatch(HostKeyError):
    """The host offers no key that can be pinned."""

    code = "ssh.host-key-mismatch"
    advice = (
        "read the fingerprint again on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub); "
        "if it differs, another machine answers at this address"
    )

    expected: str = ""
    offered: str = ""

    def message(self) -> str:
        if not self.expected:
            return f"{self.host}: {self.detail}: {self.offered}"
        return f"{self.host}: no key has the fingerprint {self.expected}; it offers {self.offered}"


class HostKeyChanged(HostKeyError):
    """The host key differs from the pinned one."""

    code = "ssh.host-key-changed"
    advice = (
        "the host was reinstalled, or this is a different machine (an attack?): compare the key on its console "
        "(ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub); only if it matches: tscm-migrate host pin {host}"
    )

    pinned: str = ""
    offered: str = ""

    def message(self) -> str:
        why = f" ({self.detail})" if self.detail else ""
        return f"{self.host}: the host key changed{why}: pinned {self.pinned}, offered {self.offered}"
