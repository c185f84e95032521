"""Lists the processes of an appliance, and finds those that are ts-update or will start it.

The vendor's `ps -augx | grep ts-update` always matches itself, and `grep -v grep` hides real matches and counts
`tail -f ts-update.log`. Here a process counts by what it runs: the basename of its program, of the script
that an interpreter or a wrapper runs, or of a command in the text of a `sh -c`, which may sleep first.

A listing can be incomplete without an error: with /proc mounted hidepid=2, `ps` shows a login user no process of root.
So it is made as root, and an empty result counts only if the listing proves that it shows all processes.
"""

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.errors import ProcessesHidden
from tscm_migrate.util.text import number

# ww: never cut lines; no header. `args` is the last column because it contains blanks.
PS_COMMAND = "ps -ww -eo pid=,ppid=,stat=,etimes=,args="
# The same columns from /proc, for systems without ps or with that of busybox. A process that cannot be
# read and has not ended meanwhile is printed.
_PROC_COMMAND = (
    "now=$(cut -d. -f1 /proc/uptime); hz=$(getconf CLK_TCK 2>/dev/null || echo 100); "
    'for d in /proc/[0-9]*; do s=$(cat "$d/stat" 2>/dev/null) || s=$(cat "$d/stat" 2>/dev/null) || '
    '{ [ ! -d "$d" ] || echo "unseen ${d#/proc/}"; continue; }; '
    'a=$(tr "\\0\\n" "  " <"$d/cmdline" 2>/dev/null); set -- ${s##*) }; state=$1; parent=$2; shift 19; '
    'printf "%s\\n" "${d#/proc/} $parent $state $((now - $1 / hz)) ${a:-?}"; done'
)
# Needed besides the listing: all ancestors of this process, of the login user and of root.
_EVIDENCE = (
    'p=$$; echo "own $p"; echo "clock $(date +%s.%N)"; '
    'while [ "$p" -gt 1 ] && s=$(cat "/proc/$p/stat" 2>/dev/null); do set -- ${s##*) }; p=$2; done; echo "top $p"; '
    "grep ' /proc proc ' /proc/self/mounts; grep -E '^(CapEff|Groups):' /proc/self/status; "
    'echo "namespace $(readlink /proc/self/ns/pid)"; echo listing; '
)
_SYS_PTRACE = 1 << 19  # the capability that overrides hidepid
_FIRST_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO: the pid namespace of the machine, which contains all others
_SCHEDULERS = ("cron", "crond", "cronie", "anacron", "fcron", "dcron", "bcron-sched", "systemd", "init")

_WRAPPERS = {
    "perl", "python", "python2", "python3", "ruby", "sh", "bash", "dash", "ash", "ksh", "zsh", "env", "nice", "ionice",
    "timeout", "sudo", "flock", "setsid", "nohup", "stdbuf", "chrt", "taskset", "exec", "command",
    "time", "runuser", "su", "busybox",
}  # fmt: skip
_SHELLS = {"sh", "bash", "dash", "ash", "ksh", "zsh", "su", "runuser"}
_INTERPRETERS = {"perl", "python", "python2", "python3", "ruby", *_SHELLS}
_OPTIONS_WITH_VALUE = {
    "nice": {"-n"}, "ionice": {"-c", "-n", "-p"}, "timeout": {"-k", "-s"}, "env": {"-u", "-C"},
    "sudo": {"-u", "-g", "-h", "-p", "-C", "-T"}, "flock": {"-w", "-E"}, "stdbuf": {"-i", "-o", "-e"},
}  # fmt: skip
_NUMBER = re.compile(r"(0x)?[\da-fA-F.]+[smhd]?")
_SEPARATORS = re.compile(r"\|\||&&|[;&|()\n{}]|\b(?:then|do|else|if|while|until)\b")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=\S*")


@dataclass(frozen=True)
class Process:
    """One line of ps; `elapsed` in seconds since its start."""

    pid: int
    ppid: int
    stat: str
    elapsed: int
    args: str


def parse_ps(text: str) -> list[Process]:
    """Parse the output of `PS_COMMAND`; other lines are skipped."""
    found = []
    for line in text.splitlines():
        parts = line.split(None, 4)
        pid, parent, elapsed = (number(parts[at]) if len(parts) > at else None for at in (0, 1, 3))
        if pid is not None and parent is not None and elapsed is not None:
            found.append(Process(pid, parent, parts[2], elapsed, parts[4] if len(parts) > 4 else ""))
    return found


@dataclass(frozen=True)
class Listing:
    """All processes of an appliance, its clock in seconds of the epoch, and the pid of the shell that listed them.

    `printed`: what the script that ran before the look has printed.
    """

    clock: float
    own: int
    processes: tuple[Process, ...]
    printed: str = ""


def look(appliance: Appliance, display: str, first: str = "") -> Listing:
    """List all processes as root, by ps or else from /proc.

    Args:
        appliance: where.
        display: name of the command in logs.
        first: shell source to run in the same command before the look; it has to end the shell if it fails.

    Raises:
        ProcessesHidden: no listing proves that it is complete. SshError: the connection failed.
    """
    reasons = []
    for how, command in (("ps", PS_COMMAND), ("/proc", _PROC_COMMAND)):
        token = f"look-{secrets.token_hex(8)}"
        # The token is the last argument of this shell: a listing with cut lines does not contain it.
        script = f"{first}echo {token}-begins; {_EVIDENCE}{command} && echo {token}"
        done = appliance.run(script, sudo=True, check=False, display=display)
        printed, _, listing = done.stdout.partition(f"{token}-begins\n")
        found, reason = judge(listing, token)
        if found is not None:
            return replace(found, printed=printed)
        reasons.append(f"by {how}: {done.stderr.strip()[-100:] or reason}")
    raise ProcessesHidden(appliance.name, "; ".join(reasons))


def judge(text: str, token: str) -> tuple[Listing | None, str]:
    """Parse a listing, and check that it is complete.

    Args:
        text: standard output of the look.
        token: the word with which it ends if nothing is missing.

    Returns:
        The listing and ""; or None and the reason why it may be incomplete.
    """
    head, mark, rest = text.partition("listing\n")
    lines = rest.splitlines()
    if not mark or lines[-1:] != [token]:
        return None, "the list of processes is cut off"
    evidence = {key: value for key, _, value in (line.partition(" ") for line in head.splitlines())}
    processes = {process.pid: process for process in parse_ps(rest)}
    own = number(evidence.get("own", "0")) or 0
    reason = _incomplete(lines, processes, token, own) or _unseen(head, evidence, processes.values())
    stamp = evidence.get("clock", "").removesuffix(".%N").removesuffix(".N")
    clock = re.fullmatch(r"([0-9]{1,12})(\.[0-9]{1,12})?", stamp)
    if reason or clock is None:
        return None, reason or "its clock cannot be read"
    return Listing(float(clock[0]), own, tuple(processes.values())), ""


def _incomplete(lines: list[str], processes: dict[int, Process], token: str, own: int) -> str:
    """Return why the lines do not show every process that the look could see; "" if they do."""
    unseen = [line.split()[1] for line in lines if line.startswith("unseen ")]
    if unseen:
        return f"process {unseen[0]} exists and cannot be read"
    if token not in (processes[own].args if own in processes else ""):
        return "the list does not show the command that made it"
    return "" if 1 in processes else "the list does not show process 1"


def _unseen(head: str, evidence: dict[str, str], processes: Collection[Process]) -> str:
    """Return why there may be processes that the look could not see; "" if there cannot."""
    if evidence.get("top") not in {"0", "1"}:
        return f"process {evidence.get('top')}, an ancestor of the look, cannot be read"
    return _hidden(head) or _elsewhere(evidence.get("namespace", ""), processes)


def _hidden(head: str) -> str:
    """Return why /proc hides processes from the look (hidepid without the right to see them); "" if it does not."""
    mounted = re.findall(r"^\S+ /proc proc (\S+)", head, re.MULTILINE)
    options = dict(option.partition("=")[::2] for option in (mounted[-1].split(",") if mounted else ()))
    mode = options.get("hidepid", "off")
    if mode in {"0", "off"}:
        return ""
    capabilities = re.search(r"^CapEff:\s*([0-9a-f]+)", head, re.MULTILINE)
    if capabilities and int(capabilities[1], 16) & _SYS_PTRACE:
        return ""
    groups = re.search(r"^Groups:(.*)", head, re.MULTILINE)
    if mode not in {"4", "ptraceable"} and "gid" in options and groups and options["gid"] in groups[1].split():
        return ""
    return f"/proc is mounted with hidepid={mode}, and root may not see the processes of others"


def _elsewhere(namespace: str, processes: Collection[Process]) -> str:
    """Return why updates may run outside: the login is in a pid namespace; "" if it is not."""
    if namespace == _FIRST_NAMESPACE or any(_counts(process.args, _SCHEDULERS) for process in processes):
        return ""
    return "the login is in a pid namespace in which neither cron nor systemd runs: what they start cannot be seen"


def _base(word: str) -> str:
    return PurePosixPath(word.strip("'\"-")).name.rstrip(":")


def _runs(words: list[str], programs: Collection[str], depth: int = 0) -> bool:
    """Return whether a simple command runs one of `programs`, also through interpreters and wrappers."""
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if not words or depth > 8:
        return False
    if _base(words[0]) in programs:
        return True
    wrapper = re.sub(r"[\d.]+$", "", _base(words[0])) or _base(words[0])
    return wrapper in _WRAPPERS and _wraps(wrapper, words[1:], programs, depth)


def _wraps(wrapper: str, rest: list[str], programs: Collection[str], depth: int) -> bool:
    """Return whether a shell, an interpreter or a wrapper such as `nice` runs one of `programs`."""
    if wrapper in _SHELLS and any(re.fullmatch(r"-[a-z]*c", word) for word in rest):
        start = next(i for i, word in enumerate(rest) if re.fullmatch(r"-[a-z]*c", word))
        return any(_runs(part.split(), programs, depth + 1) for part in _SEPARATORS.split(" ".join(rest[start + 1 :])))
    start = _first_operand(wrapper, rest)
    if wrapper in _INTERPRETERS:  # its script; what follows are the script's arguments
        return start < len(rest) and _base(rest[start]) in programs
    return _runs(rest[start:], programs, depth + 1)


def _first_operand(wrapper: str, words: list[str]) -> int:
    """Return the index of the first word that is not an option, its value, a number, a duration or a lock file."""
    skip = 1 if wrapper == "flock" else 0
    index = 0
    while index < len(words):
        word = words[index]
        if word in _OPTIONS_WITH_VALUE.get(wrapper, ()):
            index += 2
        elif word.startswith("-") or _NUMBER.fullmatch(word) or _ASSIGNMENT.fullmatch(word):
            index += 1
        elif skip:
            skip, index = 0, index + 1
        else:
            break
    return index


def updates_among(processes: list[Process], own: int | None, *programs: str) -> list[Process]:
    """Return the processes that run one of `programs`, or are a shell that will.

    Args:
        processes: all processes of the appliance.
        own: pid of the shell that listed them; it, its ancestors and its descendants do not count. None: all count.
        programs: basenames; default: ts-update.

    Returns:
        Those that count, in the same order, without zombies.
    """
    by_pid = {process.pid: process for process in processes}
    ours: set[int] = set()
    walk = own
    while walk is not None and walk in by_pid and walk not in ours:
        ours.add(walk)
        walk = by_pid[walk].ppid
    skip = ours | _descendants(processes, own)
    wanted = programs or ("ts-update",)
    alive = (process for process in processes if not process.stat.startswith("Z"))
    return [process for process in alive if process.pid not in skip and _counts(process.args, wanted)]


def _descendants(processes: list[Process], own: int | None) -> set[int]:
    """Return the pids of a process and of all below it."""
    below = {own} if own is not None else set()
    while more := {process.pid for process in processes if process.ppid in below} - below:
        below |= more
    return below


def _counts(args: str, programs: Collection[str]) -> bool:
    words = args.split()
    # "sudo", "CRON -f" and login shells ("-bash") are shown like this; "ts-update: worker" counts, too.
    return bool(words) and _runs(words, programs)


def started_by(entry: str, program: str = "ts-update") -> frozenset[str]:
    """Return what a cron entry starts that counts as the program: itself, and wrappers such as `ts-update-all`.

    A wrapper may do the work of the program itself, so that no process has the program's own name.

    Args:
        entry: text of a file in /etc/cron.d.
        program: basename of the program.
    """
    named = re.compile(rf"{re.escape(program)}(?:[-_.]\w[\w.-]*)?")
    programs = {program}
    for line in entry.splitlines():
        words = line.split()
        fields = 2 if line.lstrip().startswith("@") else 6
        if line.lstrip().startswith("#") or len(words) <= fields:
            continue
        for part in _SEPARATORS.split(" ".join(words[fields:])):
            candidates = {base for word in part.split() if named.fullmatch(base := _base(word))}
            programs |= {base for base in candidates if _runs(part.split(), (base,))}
    return frozenset(programs)
