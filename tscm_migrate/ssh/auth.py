"""Log in to a server with agent keys, key files, a password, and answers to its questions.

A secret is asked for only when its turn has come.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import paramiko
from paramiko import AuthenticationException, BadAuthenticationType, SSHException
from paramiko.agent import AgentSSH

from tscm_migrate.ssh import keyfiles, ssh_config
from tscm_migrate.util.redact import outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tscm_migrate.model import Host, Secret


log = logging.getLogger(__name__)
_MOST_KEYS = 5  # OpenSSH's MaxAuthTries is 6, and a password may follow
_ROUNDS = 8  # of partial successes


class Credentials(Protocol):
    """Resolves secrets when they are needed; None: there is none to be had."""

    def sudo_password(self, host: Host) -> Secret | None:
        """The password that sudo on this host wants."""
        ...

    def login_password(self, host: Host) -> Secret | None:
        """The login password; asked for only after every key failed."""
        ...

    def key_passphrase(self, host: Host, key: Path) -> Secret | None:
        """The passphrase of an encrypted key file."""
        ...

    def login_answer(self, host: Host, question: str) -> Secret | None:
        """The answer to a question of the server that is not for the password: a one-time code."""
        ...


class NoSecrets:
    """Credentials for those who have only keys."""

    def sudo_password(self, host: Host) -> Secret | None:  # noqa: ARG002
        """None."""
        return None

    def login_password(self, host: Host) -> Secret | None:  # noqa: ARG002
        """None."""
        return None

    def key_passphrase(self, host: Host, key: Path) -> Secret | None:  # noqa: ARG002
        """None."""
        return None

    def login_answer(self, host: Host, question: str) -> Secret | None:  # noqa: ARG002
        """None."""
        return None


class Authentication:
    """What paramiko's `auth_strategy=` wants: one method that makes a transport authenticated or raises."""

    def __init__(self, host: Host, credentials: Credentials) -> None:
        self.host = host
        self.credentials = credentials
        self.tried: list[str] = []
        self._agent: Any = None
        self._keys: Iterator[tuple[str, paramiko.PKey]] | None = None
        self._offered = 0
        self._unused = ""

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Try what there is, in order, until the server is content; go on with what it asks for as well.

        Raises:
            paramiko.AuthenticationException: with what was tried, and how the server took it.
            HungUpError: the connection was closed. PasswordChangeError: the password has expired.
        """
        try:
            self._authenticate(transport)
        finally:
            if self._agent is not None:
                self._agent.close()

    def _authenticate(self, transport: Any) -> None:
        allowed = self._allowed(transport)
        rounds = 0
        while allowed:
            rounds += 1
            more = self._round(transport, allowed) if rounds <= _ROUNDS else []
            if not more and more is not None:
                raise AuthenticationException(self._refused(allowed))
            allowed = more
        if allowed is not None:
            raise AuthenticationException(self._refused([]))

    def _allowed(self, transport: paramiko.Transport) -> list[str] | None:
        """The methods that the server takes; None where it wants no proof at all."""
        try:
            transport.auth_none(self.host.user)
        except BadAuthenticationType as error:
            return list(error.allowed_types)
        return None

    def _round(self, transport: Any, allowed: list[str]) -> list[str] | None:
        """Try what there is for these methods.

        Returns:
            None: authenticated. Methods: something was accepted, and the server wants one of these as well. Empty:
            all was refused.
        """
        for name, attempt in self._attempts(transport, allowed):
            outcome = self._step(transport, name, attempt)
            if outcome is None or outcome:
                return outcome
        return []

    def _attempts(self, transport: Any, allowed: list[str]) -> Iterator[tuple[str, Callable[[], list[str]]]]:
        """Keys, the password, answers to the server's questions; the last where the password alone does not do."""
        user = self.host.user
        if "publickey" in allowed:
            for name, key in self._keys_left():
                yield name, partial(transport.auth_publickey, user, key)
        if "password" in allowed:
            password = self.credentials.login_password(self.host)
            if password is None:
                return
            yield "password", partial(_login, transport, user, password)
        if "keyboard-interactive" in allowed:
            yield "answers", partial(transport.auth_interactive, user, LoginAnswers(self.host, self.credentials))

    def _step(self, transport: Any, name: str, attempt: Callable[[], list[str]]) -> list[str] | None:
        """One attempt; see `_round`."""
        self.tried.append(name)
        try:
            more = attempt()
        except PasswordChangeError:
            raise
        except UnansweredError as error:
            self.tried[-1] += f" ({error})"
            return []
        except AuthenticationException as error:
            log.debug("%s: %s refused: %s", self.host.name, name, type(error).__name__)
            if note := transport.signature_note(name):
                self.tried[-1] += f" ({note})"
            if not transport.is_active():
                raise HungUpError("it hung up after " + ", ".join(self.tried)) from error
            return []
        except SSHException as error:
            if not transport.is_active():
                raise HungUpError("it hung up after " + ", ".join(self.tried)) from error
            raise AuthenticationException(f"{name}: {error}") from error
        if more:  # accepted, and the server wants one thing more
            self.tried[-1] += " (accepted, not enough)"
            return more
        return None

    def _refused(self, allowed: list[str]) -> str:
        tried = ", ".join(self.tried) or "nothing, there is no key to offer"
        takes = ", ".join(allowed) or "nothing"
        more = f"; {self._unused}" if self._unused else ""
        return f"user {self.host.user}; tried: {tried}{more}; the server takes: {takes}"

    # ------------------------------------------------------------------ keys

    def _keys_left(self) -> Iterator[tuple[str, paramiko.PKey]]:
        """The keys that were not offered yet, as many as a server takes before it hangs up."""
        if self._keys is None:
            self._keys = self._all_keys()
        for name, key in self._keys:
            if self._offered >= _MOST_KEYS:
                self._unused = (
                    f"only {_MOST_KEYS} keys were offered, since servers hang up after some: "
                    "name the right one: identity_file"
                )
                return
            self._offered += 1
            yield name, key

    def _all_keys(self) -> Iterator[tuple[str, paramiko.PKey]]:
        """Agent keys that belong to the named files first (they need no passphrase), then the files, then the rest."""
        found = ssh_config.settings(self.host)
        agent = self._agent_keys(found.agent)
        files = ssh_config.identities(self.host)
        halves = {path: keyfiles.public_blob(path) for path in files}
        used: set[bytes] = set()
        for key in agent:
            if key.asbytes() in halves.values():
                used.add(key.asbytes())
                yield f"agent key {_name(key)}", key
        for path in files:
            if halves[path] not in used and (loaded := self._load(path)) is not None and loaded.asbytes() not in used:
                used.add(loaded.asbytes())
                yield f"key {path.name}", loaded
        for key in agent if not found.only else ():
            if key.asbytes() not in used:
                yield f"agent key {_name(key)}", key

    def _agent_keys(self, place: str) -> list[paramiko.PKey]:
        if not self.host.use_agent or place.lower() == "none":
            return []
        try:
            self._agent = agent_at(place)
            return list(self._agent.get_keys())
        except (paramiko.SSHException, OSError, EOFError) as error:
            log.debug("no agent: %s", error)
            return []

    def _load(self, path: Path) -> paramiko.PKey | None:
        """Read a key file; ask for its passphrase when it has one; None (and a mark in `tried`) when that fails."""
        try:
            data = keyfiles.read(path)
            if keyfiles.is_public(data):
                private = path.with_suffix("")
                if path.suffix != ".pub" or not private.is_file():
                    raise keyfiles.KeyUnusableError("a public key, whose private half is not in the agent")
                return self._load(private)
            secret = None
            if keyfiles.wants_passphrase(data):
                secret = self.credentials.key_passphrase(self.host, path)
                if secret is None:
                    raise keyfiles.KeyUnusableError("encrypted, no passphrase given")
            return keyfiles.load(path, data, None if secret is None else secret.reveal())
        except keyfiles.KeyUnusableError as error:
            self.tried.append(f"key {path.name} ({error})")
            return None


def _login(transport: paramiko.Transport, user: str, password: Secret) -> list[str]:
    # the fallback would answer a question for a one-time code with the password
    return transport.auth_password(user, password.reveal(), fallback=False)


def _name(key: paramiko.PKey) -> str:
    return getattr(key, "comment", "") or key.get_name()


_PASSWORD = re.compile(r"\b(?:password|passwort|kennwort|mot de passe|contrase.a|wachtwoord)\b", re.IGNORECASE)
_OTHER = re.compile(r"one.?time|\botp\b|code|token|pin\b|duo|factor", re.IGNORECASE)
_CHANGE = re.compile(r"\b(?:new|retype|current)\b.*password|password.*expired|required to change", re.IGNORECASE)


class HungUpError(Exception):
    """The server closed the connection during authentication."""


class PasswordChangeError(Exception):
    """The server wants a new password before it lets anybody in."""


class UnansweredError(Exception):
    """The server asks something that nobody can answer."""


class LoginAnswers:
    """Answers the questions of one keyboard-interactive login.

    Attributes:
        password_given: whether the password was among the answers.
    """

    def __init__(self, host: Host, credentials: Credentials) -> None:
        self._host, self._credentials = host, credentials
        self.password_given = False

    def __call__(self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        """The answers, in order.

        Raises:
            PasswordChangeError, UnansweredError: see there.
        """
        said = " ".join(part.strip() for part in (title, instructions) if part.strip())
        if _CHANGE.search(" ".join([said, *(text for text, _ in prompts)])):
            raise PasswordChangeError(outside(said or prompts[0][0], 200))
        return [self._answer(said, text) for text, _ in prompts]

    def _answer(self, said: str, text: str) -> str:
        question = outside(text.strip(), 200)
        if _PASSWORD.search(text) and not _OTHER.search(text):
            if self.password_given:
                raise UnansweredError("the password was asked for again")
            found = self._credentials.login_password(self._host)
            self.password_given = found is not None
        else:
            found = self._credentials.login_answer(self._host, outside(f"{said} {text}".strip(), 400))
        if found is None:
            raise UnansweredError(f"nobody could answer {question!r}")
        return found.reveal()


def agent_at(place: str) -> Any:
    """An open agent; it has `get_keys` and `close`.

    Args:
        place: "" or "SSH_AUTH_SOCK": the usual one; "$NAME": the socket that this variable names; else a path.

    Raises:
        OSError, paramiko.SSHException: nobody answers there.
    """
    if place.startswith("$"):
        place = os.environ.get(place[1:], "")
    if place in {"", "SSH_AUTH_SOCK"}:
        return paramiko.Agent()

    family: int | None = getattr(socket, "AF_UNIX", None)
    if family is None:  # Windows: the agents there have one place each
        return paramiko.Agent()
    return _AgentAtSocket(family, place)


class _AgentAtSocket(AgentSSH):
    """The agent that listens at a given socket."""

    def __init__(self, family: int, place: str) -> None:
        super().__init__()
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.connect(place)
        except OSError:
            connection.close()
            raise
        self._connect(connection)  # type: ignore[attr-defined]

    def close(self) -> None:
        self._close()  # type: ignore[attr-defined]
