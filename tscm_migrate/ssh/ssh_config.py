"""Read ~/.ssh/config as ssh does, for settings that the inventory does not have: user, port, identities, agent.

HostName and ProxyJump are ignored: the inventory has the address of a host. Conditions that cannot be evaluated here
(such as `Match exec`) count as not met. Every difference from ssh's own reading is in the notes, with file and line.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from getpass import getuser
from pathlib import Path
from socket import gethostname
from typing import Any

from tscm_migrate.model import Host
from tscm_migrate.util.private import expanded, is_file

_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_HIGHEST_PORT = 65535
_DEEPEST = 16  # levels of Include, as in ssh
_SYSTEM = Path("/etc/ssh/ssh_config")
# the first value counts, as in ssh; values of IdentityFile add up
_WANTED = frozenset({"user", "port", "identityfile", "identitiesonly", "identityagent", "hostname"})
_LINE = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+|$)(.*)", re.DOTALL)
_BLANKS = " \t\r\f"
# a piece of a word: in quotes, with a backslash escape, or plain
_PIECE = re.compile(r""""((?:\\["'\\]|[^"])*)"|'((?:\\["'\\]|[^'])*)'|\\([ "'\\])|([^"'])""")
_ESCAPED = re.compile(r"""\\(["'\\])""")
_TOKEN = re.compile(r"%([%dhunrpiLl])|\$\{(\w+)\}")


@dataclass(frozen=True)
class SshSettings:
    """The settings of the files for one host.

    Attributes:
        user, port: "" and None if not set.
        identity_files: with tokens replaced.
        only: IdentitiesOnly.
        agent: IdentityAgent; "" for the agent of SSH_AUTH_SOCK.
        files: the files that were read.
        notes: what was ignored, with file and line.
    """

    user: str = ""
    port: int | None = None
    identity_files: tuple[str, ...] = ()
    only: bool = False
    agent: str = ""
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Reading:
    """The state while the files are read for one host."""

    address: str
    user: str  # the inventory's
    given: bool = False  # whether the inventory sets it, so that the files cannot
    port: int = 22
    values: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def file(self, path: Path, *, depth: int = 0, applies: bool = True) -> None:
        """Read one file; a missing file is ignored."""
        text = self._text(path)
        outer = applies
        for number, line in enumerate(text.split("\n"), 1):
            words = self._words(line, f"{path} line {number}")
            if not words:
                continue
            key, values = words[0].lower(), words[1:]
            if key == "host":
                applies = outer and _matches(values, self.address)
            elif key == "match":
                applies = outer and self._match(values, f"{path} line {number}")
            elif key == "include" and applies:
                self._include(values, path, depth)
            elif key in _WANTED and applies:
                self._take(key, values, f"{path} line {number}")

    def _text(self, path: Path) -> str:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            self.notes.append(f"{path} cannot be read: {error.strerror}")
            return ""
        self.files.append(path)
        return text

    def _words(self, line: str, where: str) -> list[str]:
        if not line.strip() or line.lstrip().startswith("#"):
            return []
        match = _LINE.fullmatch(line)
        try:
            if match is None or "\0" in line:
                raise ValueError
            words = _split(match[2])
        except ValueError:
            self.notes.append(f"{where}: cannot be read and does not apply; ssh itself may refuse the file")
            return []
        if not words:
            self.notes.append(f"{where}: {match[1]} without a value does not apply; ssh itself refuses the file")
            return []
        return [match[1], *words]

    def _match(self, criteria: list[str], where: str) -> bool:
        """Return whether all criteria are met; a criterion that cannot be evaluated is not."""
        left = list(criteria)
        while left:
            name = left.pop(0)
            negated, name = name.startswith("!"), name.lstrip("!").lower()
            if name == "all":
                met: bool | None = True
            elif name in {"canonical", "final"}:
                met = None
            else:
                met = self._judged(name, left.pop(0) if left else "")
            if met is None:
                self.notes.append(f"{where}: `Match {name}` cannot be evaluated here, so this block does not apply")
                return False
            if met == negated:
                return False
        return True

    def _judged(self, name: str, value: str) -> bool | None:
        if name in {"host", "originalhost"}:  # compared without case
            against = self._host() if name == "host" else self.address
            return _matches(value.lower().split(","), against.lower())
        users = {"user": self._user(), "localuser": _local_user()}
        return _matches(value.split(","), users[name]) if name in users else None

    def _user(self) -> str:
        return self.user if self.given else self.values.get("user", [self.user])[0]

    def _host(self) -> str:
        return self.values.get("hostname", [self.address])[0]

    def _include(self, values: list[str], path: Path, depth: int) -> None:
        if depth >= _DEEPEST:
            self.notes.append(f"{path}: Include goes deeper than {_DEEPEST} files, the rest is not read")
            return
        base = path.parent if path.is_relative_to(_SYSTEM.parent) else _home() / ".ssh"
        for value in values:
            pattern = Path(self.expanded(value))
            place = pattern if pattern.is_absolute() else base / pattern
            anchor = Path(place.anchor)
            for file in sorted(anchor.glob(str(place.relative_to(anchor)))):
                self.file(file, depth=depth + 1)

    def _take(self, key: str, values: list[str], where: str) -> None:
        value = values[0].replace("%h", self.address) if key == "hostname" else values[0]
        if key == "port" and not (value.isdecimal() and 0 < int(value) <= _HIGHEST_PORT):
            self.notes.append(f"{where}: Port {value} is not a port and does not apply")
        elif key == "identityfile":
            self.values.setdefault(key, []).append(value)
        else:
            self.values.setdefault(key, [value])

    def expanded(self, text: str) -> str:
        """Return the text with tokens, variables and ~ replaced; as in ssh, after user and port are known."""
        known = {"%": "%", "d": str(_home()), "h": self._host(), "n": self.address, "u": _local_user(),
                 "r": self._user(), "p": self.values.get("port", [str(self.port)])[0], "l": gethostname(),
                 "L": gethostname().partition(".")[0]}  # fmt: skip
        text = _TOKEN.sub(
            lambda found: os.environ.get(found[2], found[0]) if found[2] else known.get(found[1], found[0]), text
        )
        return str(_home() / text[2:]) if text.startswith("~/") else text


def settings(host: Host) -> SshSettings:
    """Return the settings of ~/.ssh/config and the system's file for a host."""
    reading = _Reading(host.address, host.user, given="user" in host.given, port=host.port)
    reading.file(_home() / ".ssh" / "config")
    reading.file(_SYSTEM)
    values = reading.values
    port = values.get("port")
    return SshSettings(
        user=values.get("user", [""])[0],
        port=int(port[0]) if port else None,
        identity_files=tuple(dict.fromkeys(map(reading.expanded, values.get("identityfile", ())))),
        only=values.get("identitiesonly", ["no"])[0].lower() in {"yes", "true"},
        agent=reading.expanded(values.get("identityagent", [""])[0]),
        files=tuple(reading.files),
        notes=tuple(reading.notes),
    )


def settled(host: Host) -> Host:
    """Return the host with its final user and port.

    A value that the inventory sets, or that differs from the default, is kept.
    """
    silent = {name for name in ("user", "port") if name not in host.given and getattr(host, name) == _default(name)}
    if not silent:
        return host
    found = settings(host)
    if "port" in silent and found.port is not None:
        host = replace(host, port=found.port)
    if "user" in silent and found.user:
        host = replace(host, user=found.user)
    return host


def identities(host: Host) -> list[Path]:
    """Return the key files to try: the inventory's file if it names one, else the configured files that exist."""
    if host.identity_file is not None:
        return [expanded(host.identity_file)]
    named = [Path(name) for name in settings(host).identity_files if name.lower() != "none"]
    candidates = named or [Path("~/.ssh") / name for name in _DEFAULT_KEYS]
    return [path for candidate in candidates if is_file(path := expanded(candidate))]


def _home() -> Path:
    return expanded("~")


def _local_user() -> str:
    try:
        return getuser()
    except (OSError, KeyError):
        return ""


def _matches(patterns: list[str], name: str) -> bool:
    """Return whether a name matches, as in ssh: one pattern matches, and no negated pattern does."""
    hit = False
    for pattern in patterns:
        if pattern.startswith("!"):
            if _glob(pattern[1:], name):
                return False
        elif _glob(pattern, name):
            hit = True
    return hit


def _glob(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _split(text: str) -> list[str]:
    """Split a line into words as ssh does: both quotes, backslash escapes, `#` for a comment.

    Raises:
        ValueError: a quote is not closed.
    """
    words, rest = [], text.strip(_BLANKS)
    while rest and not rest.startswith("#"):
        pieces, at = [], 0
        while at < len(rest) and rest[at] not in _BLANKS:
            piece = _PIECE.match(rest, at)
            if piece is None:
                raise ValueError
            pieces.append(_ESCAPED.sub(r"\1", piece[1] or piece[2] or "") + (piece[3] or piece[4] or ""))
            at = piece.end()
        words.append("".join(pieces))
        rest = rest[at:].lstrip(_BLANKS)
    return words


def _default(name: str) -> Any:
    return next(field.default for field in fields(Host) if field.name == name)


def summary(host: Host) -> Iterator[str]:
    """Yield what a connection to the host uses, as lines for `doctor`."""
    final, found = settled(host), settings(host)
    source = "the inventory" if final == host else "~/.ssh/config"
    yield f"{final.user}@{final.address} port {final.port} (from {source})"
    files = ", ".join(map(str, identities(final))) or "none"
    yield f"identity files: {files}"
    if not final.use_agent or found.agent.lower() == "none":
        yield "agent: not used"
    else:
        yield f"agent: {found.agent or 'SSH_AUTH_SOCK'}" + (", only the keys of these files" if found.only else "")
