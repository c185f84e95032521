"""Every error that a user can meet, as one tree.

    MigrateError
    ├── UsageError              2   the command line or the inventory is wrong
    │   ├── InventoryError      2
    │   │   ├── PlanInvalid     2
    │   │   └── UnsafeFile      2   others may change it
    │   ├── DialectError        2   a file of questions is not as it has to be
    │   ├── CampaignMissing     2
    │   └── NaiveTime           2   a time without a zone
    ├── ClusterLost             1
    ├── Refused                 3   preflight found a reason not to start
    │   ├── RehearsalRefused    3   so did the rehearsal of the restore
    │   └── NetconfContradiction 3
    ├── Cancelled               1   the operator answered no
    ├── WindowClosed            3   the cutover does not fit into the change window
    ├── Unconfirmed             3   it has to be confirmed, and nobody was there to ask
    ├── SshError                1
    │   ├── Unreachable         1   no connection (retry later)
    │   │   ├── ServerFull      1   it takes no more connections at the moment
    │   │   └── NoCommonAlgorithm 1
    │   ├── AuthFailed          1
    │   │   ├── PasswordExpired 1
    │   │   └── LoginsClosed    1   nologin: it lets nobody in at the moment
    │   ├── ConnectionLost      1   it was there, and went away
    │   ├── CommandTimeout      1
    │   ├── CommandFailed       1   the remote command said no
    │   ├── SudoFailed          1
    │   ├── OutputFlood         1
    │   ├── TalkativeLogin      1   words where only a program should speak
    │   ├── NotRun              1   the login did not run the command
    │   ├── OutputCut           1   the output does not end where the command ended
    │   ├── NoTerminal          1   the server gives no terminal
    │   ├── NoSftp              1   the server has no SFTP
    │   ├── SessionsRefused     1   the server opens no session
    │   └── HostKeyError       12
    │       ├── HostKeyUnknown 12   nothing is pinned for this host
    │       ├── HostKeyMismatch 12  none of its keys is the one that was named
    │       └── HostKeyChanged 12   another key than the pinned one
    ├── ApplianceError          1
    │   ├── CannotLook          3   what is there cannot be seen from the login
    │   ├── DrainTimeout        1
    │   ├── BackupFailed        1
    │   ├── NoBackupYet         3   a scheduled backup would ask
    │   ├── ArchiveMissing      1
    │   ├── ListingFailed       1   could not look, which is not "nothing there"
    │   ├── ArchiveEmpty        1
    │   ├── RestoreFailed       1
    │   ├── UnknownPrompt       1   nobody may guess the answer
    │   │   └── Untaught        3   it came while the old appliance served
    │   ├── DialogueSilent      1
    │   ├── StillOnline         1
    │   ├── WouldCollide        1   two hosts would answer at one address
    │   └── NotComeBack         1
    ├── HookFailed              1   a command on the workstation said no
    ├── TransferError           1
    │   ├── ArchiveChanged      1   it grew, or is more than was announced
    │   └── ArchiveRefused      1   made to fill memory, disk or time
    ├── KeyAbused               1   a lent key was used for more than the transfer
    ├── OffsiteError            1   storage away from the appliance
    │   ├── StoreError          1   the store did not do what it was asked
    │   │   ├── StoreUnavailable 1  no answer, or "try later"
    │   │   ├── StoreDenied     1
    │   │   ├── ObjectMissing   1
    │   │   └── ObjectExists    1   nothing is ever overwritten
    │   ├── CopyDamaged         1   what the store gives back is not what was put there
    │   ├── CopyMissing         1   no copy answers to that name
    │   ├── SealFailed          1   gpg did not encrypt or decrypt
    │   ├── PlaintextRefused    3   it would leave unencrypted
    │   ├── PruneRefused        3   deleting now would not be safe
    │   ├── ScheduleUntried     3   the command fails where the scheduler runs it
    │   └── PromiseBroken       4   a host's newest verified copy is too old
    ├── NotifyStops             1   a command of [notify] failed that may end the run
    ├── JournalDamaged          1
    ├── JournalNewer            1   a later version's
    ├── StateUnreadable         1   the journals of this workstation cannot be read
    ├── StateUnwritable         1   this workstation cannot keep the journal
    ├── Locked                  3   another run has this appliance
    ├── LostTrack               1   it cannot be told which appliance is which
    ├── RollbackIncomplete      4   something could not be taken back
    ├── OutputLost              1   what is said cannot be written
    ├── OutOfMemory             1   of this workstation
    ├── NeedsPerson             4   migrated, but something is left to do
    └── Interrupted             5   can be resumed

An error carries fields, a stable `code`, an exit status, a retry class and a remedy; it knows no layout and no
secret. `tscm_migrate.cli.main` is the one place where it becomes text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum, IntEnum
from typing import Any, ClassVar

from .util import redact


class Exit(IntEnum):
    """What the process tells its caller; documented in docs/reference/exit-codes.md."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    ATTENTION = 4
    INTERRUPTED = 5
    HOST_KEY = 12


class Retry(Enum):
    """Whether the same call may go through when it is made again."""

    NEVER = "never"
    LATER = "later"
    AFTER_REMEDY = "after-remedy"


def _rebuild(cls: type[MigrateError], state: dict[str, Any]) -> MigrateError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    return error


@dataclass(eq=False)
class MigrateError(Exception):
    """The root: whatever this package raises on purpose. Every text in one is free of control sequences and secrets.

    `foreign`: the fields that hold an appliance's own words, and nothing of ours.
    """

    code: ClassVar[str] = "error"
    advice: ClassVar[str] = ""  # the remedy where it needs no field
    exit_code: ClassVar[Exit] = Exit.FAILED
    retry: ClassVar[Retry] = Retry.NEVER
    foreign: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        self.args = ()  # Exception keeps what the constructor was given, as it was
        for each in fields(self):
            value = getattr(self, each.name)
            foreign = each.name in self.foreign and isinstance(value, str)
            setattr(self, each.name, redact.outside(value, 1 << 20, lines=True) if foreign else redact.tree(value))

    def message(self) -> str:
        """One or two sentences: what happened, to which host, with which values."""
        return type(self).__doc__ or self.code

    def remedy(self) -> str:
        """What the operator does next, as a command where there is one; may be empty."""
        return self.advice

    def __str__(self) -> str:
        return self.message()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), dict(self.__dict__)))


def _lower(doc: str) -> str:
    """A docstring's first line as it follows a host's name and a colon."""
    line = doc.splitlines()[0].rstrip(".")
    return line[0].lower() + line[1:]


# --------------------------------------------------------------------------- usage and inventory


@dataclass(eq=False)
class UsageError(MigrateError):
    """The command line asks for something that cannot be."""

    code = "usage"
    exit_code = Exit.USAGE

    problem: str
    fix: str = ""

    def message(self) -> str:
        return self.problem

    def remedy(self) -> str:
        return self.fix


@dataclass(eq=False)
class InventoryError(UsageError):
    """The inventory file has something wrong in it."""

    code = "inventory"

    file: str = ""
    key: str = ""

    def message(self) -> str:
        place = ": ".join(part for part in (self.file, self.key) if part)
        return f"{place}: {self.problem}" if place else self.problem


@dataclass(eq=False)
class DialectError(UsageError):
    """A dialect file has something wrong in it."""

    code = "dialect"

    file: str = ""
    row: str = ""

    def message(self) -> str:
        return ": ".join(part for part in (self.file, self.row, self.problem) if part)


@dataclass(eq=False)
class PlanInvalid(InventoryError):
    """The plan of a campaign is not valid."""

    code = "campaign.plan"


@dataclass(eq=False)
class CampaignMissing(UsageError):
    """No campaign of this name was started on this workstation."""

    code = "campaign.missing"


@dataclass(eq=False)
class UnsafeFile(InventoryError):
    """A file whose text is obeyed may have been written by somebody else."""

    code = "inventory.unsafe"
    retry = Retry.AFTER_REMEDY


@dataclass(eq=False)
class NaiveTime(UsageError):
    """A time without a zone cannot be compared."""

    code = "usage.naive-time"


@dataclass(eq=False)
class ClusterLost(MigrateError):
    """No worker of the cluster is connected to its scheduler, or the scheduler does not answer."""

    code = "cluster.lost"
    exit_code = Exit.FAILED
    retry = Retry.AFTER_REMEDY

    scheduler: str
    seconds: float = 120.0

    def message(self) -> str:
        return f"the cluster at {self.scheduler} had no worker for {self.seconds:.0f} s; no more work was started"

    def remedy(self) -> str:
        worker = f"tscm-migrate cluster start worker --address {self.scheduler}"
        return f"start a worker: {worker}; then run the command again"


# --------------------------------------------------------------------------- preflight


@dataclass(eq=False)
class Refused(MigrateError):
    """Preflight found reasons not to start; nothing was changed."""

    code = "preflight.refused"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    names: tuple[str, ...] = ()
    firm: bool = False  # whether one of them cannot be acknowledged

    def message(self) -> str:
        return f"preflight refused: {', '.join(self.names)}; nothing was changed"

    def remedy(self) -> str:
        if self.firm:
            return "do what the checks say, then run it again"
        acknowledged = " ".join(f"--allow {name}" for name in self.names)
        return f"mend what the checks name, or go on all the same: {acknowledged or '--allow NAME'}"


@dataclass(eq=False)
class RehearsalRefused(Refused):
    """The rehearsal of the restore found a reason not to take the old appliance offline."""

    code = "rehearsal.refused"

    details: str = ""

    def message(self) -> str:
        return f"refused after the rehearsal of the restore: {self.details}; the old appliance still serves"

    def remedy(self) -> str:
        acknowledged = " ".join(f"--allow {name}" for name in self.names)
        return f"fix what the checks name, or continue all the same: {acknowledged}"


@dataclass(eq=False)
class Cancelled(MigrateError):
    """Cancelled. Nothing was changed."""

    code = "cancelled"
    advice = "to run without a question, add --yes"

    undone: bool = False

    def message(self) -> str:
        return "Cancelled. Everything was undone." if self.undone else "Cancelled. Nothing was changed."


@dataclass(eq=False)
class WindowClosed(MigrateError):
    """The cutover does not fit into the change window any more; everything was undone."""

    code = "window.closed"
    exit_code = Exit.REFUSED
    advice = "run it again in the next window; --not-after sets when the window closes"

    detail: str = ""

    def message(self) -> str:
        return f"the cutover was not begun: {self.detail}" if self.detail else super().message()


@dataclass(eq=False)
class NetconfContradiction(Refused):
    """Both ways of treating the network settings were asked for; the vendor's two options exclude each other."""

    code = "preflight.netconf"

    def message(self) -> str:
        return "--bypass-netconf and --force-apply-netconf contradict each other; nothing was changed"

    def remedy(self) -> str:
        return "give one: bypass keeps the new one's own address, force-apply takes over the old one's settings"


@dataclass(eq=False)
class Unconfirmed(MigrateError):
    """It has to be confirmed, and there is nobody to ask; nothing was changed."""

    code = "unconfirmed"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    what: str
    command: str

    def message(self) -> str:
        return f"{self.what}: this has to be confirmed, and there is no terminal to ask on; nothing was changed"

    def remedy(self) -> str:
        return f"look at what is listed; to do it: {self.command}"


# --------------------------------------------------------------------------- ssh


@dataclass(eq=False)
class SshError(MigrateError):
    """Something between this workstation and a host went wrong."""

    code = "ssh"

    host: str
    detail: str = ""

    def message(self) -> str:
        doc = _lower(type(self).__doc__ or self.code)
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


# --------------------------------------------------------------------------- appliance


@dataclass(eq=False)
class ApplianceError(MigrateError):
    """An appliance did not do what it was asked."""

    code = "appliance"

    host: str
    detail: str = ""

    def message(self) -> str:
        doc = _lower(type(self).__doc__ or self.code)
        return f"{self.host}: {doc}" + (f": {self.detail}" if self.detail else "")


@dataclass(eq=False)
class CannotLook(ApplianceError):
    """What runs or is present there cannot be seen, so nothing can be concluded from seeing nothing."""

    code = "appliance.cannot-look"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    def remedy(self) -> str:
        return (
            "log in to it as the tool does and compare: sudo ps -ww -eo pid,ppid,args; "
            "then see what restricts it: grep ' /proc ' /proc/mounts"
        )


@dataclass(eq=False)
class DrainTimeout(ApplianceError):
    """ts-update was still running when the time for draining was over."""

    code = "appliance.drain-timeout"
    retry = Retry.LATER

    seconds: float = 0.0
    processes: tuple[str, ...] = field(default=())

    def message(self) -> str:
        running = "; ".join(self.processes) or "none seen at the last look"
        return f"{self.host}: ts-update was not done after {self.seconds:.0f} s; still there: {running}"

    def remedy(self) -> str:
        return "wait until they end (or end them), then run again; a longer wait: --drain-timeout SECONDS"


@dataclass(eq=False)
class BackupFailed(ApplianceError):
    """tsadmin backup made no archive that can be trusted."""

    code = "appliance.backup"
    advice = "run `tsadmin backup` by hand and read /var/log/threatstop/ts-backup.log on the appliance"


@dataclass(eq=False)
class NoBackupYet(ApplianceError):
    """It has made no backup yet, and the first one asks whether to encrypt, which a scheduled one cannot answer."""

    code = "appliance.no-backup-yet"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    def message(self) -> str:
        return f"{self.host}: {_lower(type(self).__doc__ or self.code)}"

    def remedy(self) -> str:
        return f"make one: {self.detail or 'ssh HOST'} tsadmin backup; or give --passphrase-file-there FILE"


@dataclass(eq=False)
class ArchiveMissing(ApplianceError):
    """There is no such archive."""

    code = "appliance.no-archive"

    def remedy(self) -> str:
        return f"list its archives: tscm-migrate archive list {self.host}; migrate without --archive makes a new one"


@dataclass(eq=False)
class ListingFailed(ApplianceError):
    """The archives could not be listed; what is there is not known."""

    code = "appliance.listing"
    retry = Retry.AFTER_REMEDY

    folder: str = ""
    login: str = ""  # "user@address"
    missing: bool = False

    def message(self) -> str:
        if self.missing:
            return f"{self.host}: the backup folder {self.folder} does not exist"
        return f"{self.host}: the archives in {self.folder} could not be listed: {self.detail}"

    def remedy(self) -> str:
        if self.missing:
            return (
                f"make a backup there: ssh -t {self.login} tsadmin backup; "
                f"or, if it keeps them elsewhere, set paths.backup_dir of [hosts.{self.host}] in the inventory"
            )
        return f"see what the login may read, and give it the right to: ssh {self.login} ls -la {self.folder}"


@dataclass(eq=False)
class ArchiveEmpty(ApplianceError):
    """The archive has 0 bytes: its backup has failed, or is still being written."""

    code = "appliance.empty-archive"

    def remedy(self) -> str:
        return f"see what there is, and take another one with --archive NAME: tscm-migrate archive list {self.host}"


@dataclass(eq=False)
class RestoreFailed(ApplianceError):
    """tsadmin restore did not finish."""

    code = "appliance.restore"
    advice = "read what it said above, run `tsadmin restore` by hand on the new appliance"


@dataclass(eq=False)
class UnknownPrompt(ApplianceError):
    """A question came that no row of a dialect knows; it was not answered."""

    code = "appliance.unknown-prompt"
    foreign = ("prompt", "transcript")
    retry = Retry.AFTER_REMEDY

    prompt: str = ""
    transcript: str = field(default="", repr=False)

    def message(self) -> str:
        return f"{self.host}: unknown question, not answered: {self.prompt!r}"

    def remedy(self) -> str:
        return (
            "answer it once on a terminal, without --yes, and have it remembered; beforehand: "
            f"tscm-migrate prompts learn {self.host} --from OLD"
        )


@dataclass(eq=False)
class Untaught(UnknownPrompt):
    """tsadmin asked an unknown question while the old appliance still served; the migration was refused."""

    code = "rehearsal.unknown-prompt"
    exit_code = Exit.REFUSED

    learn: str = ""  # the command that teaches it

    def message(self) -> str:
        return f"{self.host}: unknown question, not answered: {self.prompt!r}; the old appliance still serves"

    def remedy(self) -> str:
        return f"teach the answer, then migrate again: {self.learn}"


@dataclass(eq=False)
class DialogueSilent(ApplianceError):
    """The dialogue said nothing more within its time."""

    code = "appliance.silent"
    foreign = ("transcript",)
    advice = "run the same dialogue by hand on the appliance, and see what it waits for"
    retry = Retry.LATER

    transcript: str = field(default="", repr=False)


@dataclass(eq=False)
class StillOnline(ApplianceError):
    """The old appliance still answers at its address."""

    code = "appliance.still-online"
    advice = "switch it off, or take its network away, and see that nothing answers at its address"
    retry = Retry.AFTER_REMEDY


@dataclass(eq=False)
class WouldCollide(ApplianceError):
    """Two hosts would answer at one address."""

    code = "appliance.would-collide"
    retry = Retry.AFTER_REMEDY

    address: str = ""

    def remedy(self) -> str:
        return f"take the one that is at {self.address} now off the network (power it off), then run this again"


@dataclass(eq=False)
class NotComeBack(ApplianceError):
    """The appliance did not come back."""

    code = "appliance.not-back"
    advice = "look at the appliance's console: is it on, and at which address"
    retry = Retry.LATER


# --------------------------------------------------------------------------- hooks


@dataclass(eq=False)
class HookFailed(MigrateError):
    """A hook on the workstation failed."""

    code = "hook"
    retry = Retry.AFTER_REMEDY

    detail: str
    name: str = ""

    def message(self) -> str:
        return self.detail

    def remedy(self) -> str:
        return f"run hooks.{self.name} of the inventory by hand to see what it says, mend it, then run this again"


# --------------------------------------------------------------------------- transfer


@dataclass(eq=False)
class TransferError(MigrateError):
    """An archive could not be copied, or the copy is not what it should be."""

    code = "transfer"

    detail: str
    fix: str = ""

    def message(self) -> str:
        return self.detail

    def remedy(self) -> str:
        return self.fix


@dataclass(eq=False)
class ArchiveChanged(TransferError):
    """An archive is not what it was when its transfer began: it is being written, or its host does not tell the truth.

    Nothing of it is kept.
    """

    code = "transfer.archive-changed"
    advice = (
        "wait until nothing writes it any more, and run again; if it happens twice, look at the disk of the appliance"
    )

    def remedy(self) -> str:
        return self.fix or self.advice


@dataclass(eq=False)
class ArchiveRefused(TransferError):
    """An archive is made to fill memory, disk or time, as no backup does; it was not read to its end."""

    code = "transfer.archive-refused"
    advice = "look at the appliance that made it; take another archive, and restore this one nowhere"

    def remedy(self) -> str:
        return self.fix or self.advice


@dataclass(eq=False)
class KeyAbused(MigrateError):
    """The key that the old appliance was lent for one transfer was used on the new one for something else."""

    code = "transfer.key-abused"

    host: str
    detail: str

    def message(self) -> str:
        return (
            f"ATTACK? While the old appliance had a key for one transfer to {self.host}, this changed there: "
            f"{self.detail}. The key was removed; what was changed stays as it is"
        )

    def remedy(self) -> str:
        return (
            f"do not use {self.host} before somebody has looked at these files and removed what is not yours there; "
            "where an administrator changed them meanwhile, run again; "
            "else treat the old appliance as compromised, and copy without a key: --route relay --method tar"
        )


# --------------------------------------------------------------------------- off-site


@dataclass(eq=False)
class OffsiteError(MigrateError):
    """Storage away from the appliance, or what lies there, is not as it should be."""

    code = "offsite"

    detail: str
    fix: str = ""

    def message(self) -> str:
        return self.detail

    def remedy(self) -> str:
        return self.fix


@dataclass(eq=False)
class StoreError(OffsiteError):
    """The store did not do what it was asked."""

    code = "offsite.store"

    url: str = ""  # without secrets
    key: str = ""

    def message(self) -> str:
        place = "/".join(part for part in (self.url.rstrip("/"), self.key) if part)
        return f"{place}: {self.detail}" if place else self.detail


@dataclass(eq=False)
class StoreUnavailable(StoreError):
    """The store does not answer, or says that it cannot now."""

    code = "offsite.unavailable"
    retry = Retry.LATER


@dataclass(eq=False)
class StoreDenied(StoreError):
    """The store refuses these credentials, or they may not do this."""

    code = "offsite.denied"
    retry = Retry.AFTER_REMEDY

    def remedy(self) -> str:
        return self.fix or "check the credentials, and that they may read, write, list and delete below this URL"


@dataclass(eq=False)
class ObjectMissing(StoreError):
    """There is no such object in the store."""

    code = "offsite.missing"


@dataclass(eq=False)
class ObjectExists(StoreError):
    """There is already an object with this key; nothing was overwritten."""

    code = "offsite.exists"


@dataclass(eq=False)
class CopyDamaged(OffsiteError):
    """What the store gives back is not what was put there."""

    code = "offsite.damaged"

    def remedy(self) -> str:
        return self.fix or "keep the archive on the appliance, and pull it again; another store is worth a thought"


@dataclass(eq=False)
class CopyMissing(OffsiteError):
    """No off-site copy answers to that name."""

    code = "offsite.no-copy"

    def remedy(self) -> str:
        return self.fix or "see what there is: tscm-migrate offsite list"


@dataclass(eq=False)
class SealFailed(OffsiteError):
    """Encrypting or decrypting with gpg failed."""

    code = "offsite.seal"
    retry = Retry.AFTER_REMEDY


@dataclass(eq=False)
class PlaintextRefused(OffsiteError):
    """The archive is not encrypted, and the inventory forbids plaintext off-site."""

    code = "offsite.plaintext"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    def remedy(self) -> str:
        return self.fix or 'name gpg keys to seal it to: recipients = ["FINGERPRINT"] in [offsite] of the inventory'


@dataclass(eq=False)
class PruneRefused(OffsiteError):
    """Deleting copies now would not be safe; nothing was deleted."""

    code = "offsite.prune-refused"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY


@dataclass(eq=False)
class ScheduleUntried(OffsiteError):
    """The command fails in the environment in which the scheduler runs it; nothing was installed."""

    code = "offsite.schedule-untried"
    exit_code = Exit.REFUSED
    retry = Retry.AFTER_REMEDY

    names: tuple[str, ...] = ()  # variables of this shell that are not there
    file: str = ""  # where they can be put
    places: tuple[str, ...] = ()  # what else helps with some of them

    def message(self) -> str:
        lacks = f"; of this shell's variables it lacks {', '.join(self.names)}" if self.names else ""
        return f"in the scheduler's environment the command fails: {self.detail}{lacks}; nothing was installed"

    def remedy(self) -> str:
        put = f"put what is needed into {self.file} (NAME=value, a line each; chmod 600), then run it again"
        return "; ".join([put, *self.places, "or install it as it is: --untested"])


@dataclass(eq=False)
class PromiseBroken(OffsiteError):
    """A host's newest verified copy is older than promised, or something else wants a look."""

    code = "offsite.promise-broken"
    exit_code = Exit.ATTENTION
    retry = Retry.AFTER_REMEDY


@dataclass(eq=False)
class NotifyStops(MigrateError):
    """A command of [notify] failed, and its inventory says that this stops the run."""

    code = "notify.stops"
    retry = Retry.AFTER_REMEDY

    name: str
    step: str
    problem: str

    def message(self) -> str:
        return f"the {self.name} command at {self.step} {self.problem}"

    def remedy(self) -> str:
        return 'run the command by hand, mend it, then go on; or let it only warn: on_failure = "warn" in [notify]'


# --------------------------------------------------------------------------- journal


@dataclass(eq=False)
class JournalDamaged(MigrateError):
    """A line in the middle of a run's journal is not what was written."""

    code = "journal.damaged"

    file: str
    line: int
    run: str = ""

    def message(self) -> str:
        return f"{self.file}: line {self.line} is damaged; the run cannot be continued from it"

    def remedy(self) -> str:
        return (
            f"see what it did until then: tscm-migrate run show {self.run}; mend both appliances by hand, move the "
            "run's folder away, and say for each: tscm-migrate run unlock HOST, which tells what is still held there"
        )


@dataclass(eq=False)
class JournalNewer(MigrateError):
    """A run's journal was written by a later version of this tool, which this one does not understand to its end."""

    code = "journal.newer"
    advice = "say the same with that version, or a later one: pipx upgrade tscm-migrate"
    retry = Retry.AFTER_REMEDY

    file: str
    detail: str = ""

    def message(self) -> str:
        return f"{self.file} was written by a later version: {self.detail}; nothing was changed"


@dataclass(eq=False)
class StateUnreadable(MigrateError):
    """What was written down of the runs cannot be read on this workstation; nothing was changed."""

    code = "journal.unreadable"
    retry = Retry.AFTER_REMEDY

    file: str
    detail: str = ""

    def message(self) -> str:
        return f"{self.file} cannot be read: {self.detail}; nothing was changed"

    def remedy(self) -> str:
        return "say it as the user whose runs these are, or give their folder to the one you are: chown -R"


@dataclass(eq=False)
class StateUnwritable(MigrateError):
    """The run's journal cannot be written on this workstation, so nothing that it would announce was done."""

    code = "journal.unwritable"
    retry = Retry.AFTER_REMEDY

    file: str
    detail: str = ""

    def message(self) -> str:
        return f"{self.file} cannot be written: {self.detail}"

    def remedy(self) -> str:
        return "make room, or set TSCM_STATE to a folder on another disk and move the runs there; then resume"


# --------------------------------------------------------------------------- one run at a time


@dataclass(eq=False)
class Locked(MigrateError):
    """Another run has this appliance."""

    code = "locked"
    exit_code = Exit.REFUSED
    retry = Retry.LATER

    host: str
    owner: str = ""  # "user@workstation pid 123"
    since: str = ""
    run: str = ""
    alive: bool = True  # whether that run may still be working

    def message(self) -> str:
        doing = "is at work on it" if self.alive else "has not ended it"
        return f"{self.host} is locked, nothing was changed: run {self.run} of {self.owner} {doing} since {self.since}"

    def remedy(self) -> str:
        if self.alive:
            return f"wait for that run; if it is dead for certain: tscm-migrate run unlock {self.host} --force"
        return (
            f"go on with it: tscm-migrate resume {self.run}; or take it back: tscm-migrate rollback {self.run}; "
            f"or, once all is mended by hand, move its folder away (tscm-migrate run show {self.run} tells where)"
        )


@dataclass(eq=False)
class LostTrack(MigrateError):
    """It cannot be told which appliance answers at an address; nothing was changed."""

    code = "resume.lost-track"
    retry = Retry.AFTER_REMEDY

    address: str
    detail: str = ""

    def message(self) -> str:
        return f"it cannot be told which appliance answers at {self.address}: {self.detail}"

    def remedy(self) -> str:
        return "look at both consoles: exactly one may be on at that address; then say resume or rollback again"


@dataclass(eq=False)
class RollbackIncomplete(MigrateError):
    """Some of a run's changes could not be taken back; the others were."""

    code = "rollback.incomplete"
    exit_code = Exit.ATTENTION
    retry = Retry.AFTER_REMEDY

    items: tuple[str, ...] = ()
    run: str = ""

    def message(self) -> str:
        return "not everything could be taken back: " + "; ".join(self.items)

    def remedy(self) -> str:
        return f"mend what is named, then say it again: tscm-migrate rollback {self.run}"


# --------------------------------------------------------------------------- outcome


@dataclass(eq=False)
class OutputLost(MigrateError):
    """What was to be printed cannot be written where the output goes."""

    code = "output"
    advice = "make room where the output goes, or let it go elsewhere, and say it again"
    retry = Retry.AFTER_REMEDY

    detail: str = ""

    def message(self) -> str:
        return f"the output cannot be written: {self.detail}"


@dataclass(eq=False)
class OutOfMemory(MigrateError):
    """This workstation has too little memory for what was to be done."""

    code = "out-of-memory"
    advice = (
        "end other programs, or run it where there is more memory; what was begun can be resumed: tscm-migrate run list"
    )


@dataclass(eq=False)
class NeedsPerson(MigrateError):
    """Migrated, but something is left for a person to do."""

    code = "needs-person"
    exit_code = Exit.ATTENTION

    items: tuple[str, ...] = ()

    def remedy(self) -> str:
        return "see to each of them; the report has them as a checklist"

    def message(self) -> str:
        return "migrated, but a person is needed: " + "; ".join(self.items)


@dataclass(eq=False)
class Interrupted(MigrateError):
    """The run was interrupted and can be resumed."""

    code = "interrupted"
    exit_code = Exit.INTERRUPTED
    retry = Retry.LATER

    state: str = ""
    next_command: str = ""

    def message(self) -> str:
        return "interrupted" + (f"; {self.state}" if self.state else "")

    def remedy(self) -> str:
        return self.next_command
