"""One embedded appliance without its network: folders, stand-ins, environment, processes, boots, a small cron."""

import ctypes
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from tscm_migrate.demo import guest as guests
from tscm_migrate.demo.base import Profile
from tscm_migrate.demo.embedded import shims
from tscm_migrate.demo.embedded.shims.proc import pids

# programs that could change this machine, or that an appliance does not have
NOT_HERE = re.compile(
    r"apt.*|dpkg.*|aptitude|yum|dnf|rpm|snap|systemd.*|systemctl|service|crontab|su|sudo.*|doas|pkexec|arping|killall5"
    r"|mount|umount|passwd|chsh|chfn|loginctl|journalctl|hostnamectl|timedatectl|nmcli|netplan|docker.*|podman.*|invoke"
)
KEYS = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}
REAL_PATH = "/usr/local/bin:/usr/bin:/bin"
SBIN = "/usr/sbin:/sbin"


class EmbeddedMachine:
    """Files and processes of one appliance; `folder` is the lab's, `name` "old" or "new".

    Where the system can do it (see `confine_to`), the processes cannot write outside the lab's folder.
    """

    shims: ClassVar[dict[str, str]] = {name: f"{shims.__name__}.{target}" for name, target in shims.SHIMS.items()}

    def __init__(self, folder: Path, name: str, profile: Profile, control: Path) -> None:
        self.name = name
        self.profile = profile
        self.folder = folder / name
        self.root = self.folder / "root"
        self.marker = f"{uuid.uuid4().hex}-{name}"
        self.control = control
        self._roots = re.compile(rf"{re.escape(str(folder))}/\w+/root(?=[/'\"\s]|\Z)")
        self._started: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        # Its thread may write below the lab's folder only, and so may all that it starts.
        self._starter = ThreadPoolExecutor(1, f"start-{name}", initializer=confine_to, initargs=([folder],))
        lib = self.folder / "lib"
        self.guest = guests.install(self.root, profile, inside=str(self.root), lib=str(lib))
        self._write_shims(lib)
        self._write_programs()
        self._write_rest()

    def _write_shims(self, lib: Path) -> None:
        guests.copy_package(shims.__name__, lib)
        (lib / "shims.json").write_text(json.dumps(self.shim_settings()), "utf-8")
        run = lib / "shim.py"
        run.write_text(
            f"import sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, {str(lib)!r})\n"
            f"from {shims.__name__}.main import main\nconfig = {str(lib / 'shims.json')!r}\n"
            "raise SystemExit(main(config, sys.argv[1], sys.argv[2:]))\n",
            "utf-8",
        )
        self.shim = [os.path.realpath(sys.executable), "-I", "-S", str(run)]
        folder = self.folder / "shims"
        folder.mkdir()
        for name in self.shims:
            script = folder / name
            script.write_text(f'#!/bin/sh\nexec {" ".join(map(shlex.quote, self.shim))} {name} "$@"\n', "utf-8")
            script.chmod(0o755)

    def shim_settings(self) -> dict[str, Any]:
        """Return the data for the stand-ins."""
        return {
            "name": self.name,
            "control": str(self.control),
            "root": str(self.root),
            "marker": self.marker,
            "user": guests.USER,
            "hostname": self.profile.hostname,
            "real_path": f"{REAL_PATH}:{SBIN}",
            "shims": self.shims,
        }

    def _write_programs(self) -> None:
        """Link the machine's own programs, except those that an appliance must not use."""
        folder = self.folder / "programs"
        folder.mkdir()
        for place in reversed(REAL_PATH.split(":")):
            for path in Path(place).iterdir() if Path(place).is_dir() else ():
                link = folder / path.name
                if NOT_HERE.fullmatch(path.name) or path.name in self.shims:
                    continue
                link.unlink(missing_ok=True)
                link.symlink_to(path)

    def _write_rest(self) -> None:
        for name in ("dev/shm", "var/lib", "home/threatstop/.ssh", "tmp"):
            self.host(name).mkdir(parents=True, exist_ok=True)
        self.host("dev/shm").chmod(0o1777)
        self.host("home/threatstop/.ssh").chmod(0o700)
        self.host("etc/hostname").write_text(self.profile.hostname + "\n")
        self.host("etc/passwd").write_text(
            f"root:x:0:0:root:/root:/bin/sh\n{guests.USER}:x:1000:1000::/home/{guests.USER}:{self.shell()}\n"
        )
        self.make_host_keys()
        self.new_boot_id()

    def host(self, inside: str) -> Path:
        """Return the path on this machine of a path of the appliance."""
        return self.root / inside.lstrip("/")

    def own_paths(self, text: str) -> str:
        """Convert paths of another appliance of this lab to the same paths of this appliance.

        Two real appliances have the same paths, each on its own disk. Here both have folders on one disk: a client that
        confuses the two appliances must not find the files of the other. A text that also names this appliance (a copy
        from one to the other) is not changed.
        """
        named = set(self._roots.findall(text))
        return text if str(self.root) in named else self._roots.sub(lambda _: str(self.root), text)

    # ---- identity

    def make_host_keys(self) -> None:
        """Generate three host keys, as an installation does."""
        import asyncssh

        for kind, algorithm in KEYS.items():
            options = {"key_size": 2048} if kind == "rsa" else {}
            key = asyncssh.generate_private_key(algorithm, comment=f"root@{self.profile.hostname}", **options)
            path = self.host(f"etc/ssh/ssh_host_{kind}_key")
            key.write_private_key(path)
            path.chmod(0o600)
            key.write_public_key(path.with_suffix(".pub"))

    def host_keys(self) -> list[Path]:
        """Return the private keys that sshd would load now."""
        return [path for kind in KEYS if (path := self.host(f"etc/ssh/ssh_host_{kind}_key")).exists()]

    def public_keys(self) -> list[str]:
        """Return `type base64` of each host key on disk."""
        return [" ".join(path.with_suffix(".pub").read_text().split()[:2]) for path in self.host_keys()]

    @property
    def boot_id_file(self) -> Path:
        """Path of the replacement for /proc/sys/kernel/random/boot_id."""
        return self.host("proc/boot_id")

    def new_boot_id(self) -> None:
        """Write another boot id."""
        self.boot_id_file.parent.mkdir(exist_ok=True)
        self.boot_id_file.write_text(f"{uuid.uuid4()}\n")

    # ---- processes

    def env(self, *, root: bool = False) -> dict[str, str]:
        """Return the environment of all processes of the appliance, with its marker."""
        home = self.host(f"home/{guests.USER}")
        env = {
            "PATH": f"{self.folder / 'shims'}:{self.guest.path('bin')}:{self.folder / 'programs'}",
            "HOME": str(home),
            "USER": guests.USER,
            "LOGNAME": guests.USER,
            "SHELL": self.shell(),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.host("tmp")),
            "TSCM_LAB_APPLIANCE": self.marker,
        }
        return env | ({"TSCM_LAB_ROOT": "1", "USER": "root", "LOGNAME": "root"} if root else {})

    def shell(self) -> str:
        """Return the login shell: bash, or sh if this machine lacks it."""
        return "/bin/bash" if os.access("/bin/bash", os.X_OK) else "/bin/sh"

    def start(self, command: list[str], *, env: dict[str, str] | None = None, **pipes: Any) -> subprocess.Popen[bytes]:
        """Start a process of the appliance in its own session."""
        home = self.host(f"home/{guests.USER}")
        options = {"env": env or self.env(), "cwd": home, **pipes}
        process = self._starter.submit(_started, command, options).result()
        with self._lock:
            self._started = [*(one for one in self._started if one.poll() is None), process]
        return process

    def start_cron(self) -> None:
        """Start a process that looks like cron; it ends with this process, from whose pipe it reads."""
        program = self.folder / "programs/cron"
        program.unlink(missing_ok=True)
        program.write_text("#!/bin/sh\nread -r _\n", "utf-8")
        program.chmod(0o755)
        nothing = subprocess.DEVNULL
        self.start([str(program)], stdin=subprocess.PIPE, stdout=nothing, stderr=nothing)

    def start_quietly(self, script: str) -> None:
        """Start a shell command without input or output, as cron does."""
        nothing = subprocess.DEVNULL
        self.start(["/bin/sh", "-c", script], stdin=nothing, stdout=nothing, stderr=nothing)

    def run(self, script: str, *, root: bool, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a script to its end, without ssh."""
        command, pipe = ["/bin/sh", "-c", script], subprocess.PIPE
        process = self.start(command, env=self.env(root=root), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill(-process.pid)
            raise
        return subprocess.CompletedProcess(command, process.returncode, out.decode(), err.decode())

    def kill_all(self, limit: float = 10.0) -> None:
        """End every process of the appliance: those with its marker, and the sessions that were started."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            alive = [int(pid) for pid in pids(self.marker)] if Path("/proc/self/environ").exists() else []
            alive = [pid for pid in alive if not _is_zombie(pid)]
            for pid in alive:
                _kill(pid)
            for process in self._started:
                if process.poll() is None:
                    _kill(-process.pid)
            if not alive and all(process.poll() is not None for process in self._started):
                return
            time.sleep(0.02)


def _started(command: list[str], options: dict[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, start_new_session=True, bufsize=0, **options)


def _kill(pid: int) -> None:
    try:
        if pid < 0:
            os.killpg(-pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return True


_NAME = re.compile(r"[A-Za-z0-9_-]+")  # as on Debian: a file with a dot in its name is not read
_VARIABLE = re.compile(r"\s*[A-Za-z_]\w*\s*=")


def _matches(field: str, value: int, low: int, high: int) -> bool:
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, last = low, high
        if span != "*":
            begin, _, end = span.partition("-")
            first, last = int(begin), int(end or begin)
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


def is_due(fields: list[str], now: datetime) -> bool:
    """Return whether five fields (minute, hour, day, month, weekday) match this minute; days as in Vixie cron.

    Raises:
        ValueError: a field does not consist of numbers.
    """
    minute, hour, day, month, weekday = fields
    if not (
        _matches(minute, now.minute, 0, 59) and _matches(hour, now.hour, 0, 23) and _matches(month, now.month, 1, 12)
    ):
        return False
    today = now.isoweekday()
    by_day = _matches(day, now.day, 1, 31)
    by_week = _matches(weekday, today, 0, 7) or (today == 7 and _matches(weekday, 0, 0, 7))
    return by_day or by_week if "*" not in (day[0], weekday[0]) else by_day and by_week


def due_commands(folder: Path, now: datetime) -> list[str]:
    """Return the commands of all entries that are due; files that cannot be read or parsed are skipped."""
    commands = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not _NAME.fullmatch(path.name) or not path.is_file():
            continue
        text = path.read_text("utf-8", "replace")
        if not text.endswith("\n"):
            continue  # as in cron: an entry without a final newline is ignored
        for line in text.splitlines():
            words = line.split(None, 6)
            if line.lstrip().startswith("#") or _VARIABLE.match(line) or len(words) < 7:
                continue
            try:
                if is_due(words[:5], now):
                    commands.append(words[6])
            except ValueError:
                continue
    return commands


_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls; the numbers are the same on all processors
_VERSION = 1  # flag: return the version of the interface
_PATH_BENEATH = 1  # type of a rule
_NO_NEW_PRIVS = 38
_WRITE_FILE, _REFER, _TRUNCATE = 1 << 1, 1 << 13, 1 << 14
_MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))
_DEVICES = ("/dev", "/proc")  # terminals, /dev/null: may be written, nothing can be made there


class _Rule(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("folder", ctypes.c_int32))


def can_confine() -> bool:
    """Return whether this system can confine a thread."""
    return _version() > 0


def confine_to(folders: Iterable[Path]) -> None:
    """Allow the calling thread, and what it starts, to write below these folders only; by Landlock of Linux 5.13.

    The programs of an embedded appliance are this machine's own, with this user's rights: without it, a script that
    names /etc would change this machine. Does nothing where the system cannot do this.

    Raises:
        OSError: the system can, but it failed.
    """
    version = _version()
    if version <= 0:
        return
    files = _WRITE_FILE | (_TRUNCATE if version >= 3 else 0)
    everything = files | _MAKE_AND_REMOVE | (_REFER if version >= 2 else 0)
    handled = ctypes.c_uint64(everything)
    rules = _checked(_call(_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0))
    try:
        for path, access in (*((str(folder), everything) for folder in folders), *((path, files) for path in _DEVICES)):
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                _checked(_call(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(_Rule(access, folder)), 0))
            finally:
                os.close(folder)
        _checked(_libc().prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_call(_RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)


def _version() -> int:
    return _call(_CREATE_RULESET, None, 0, _VERSION) if sys.platform == "linux" else 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    return int(_libc().syscall(number, *arguments))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
