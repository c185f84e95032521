"""Log in to a server with agent keys, key files, a password, and answers to its questions.

A secret is resolved only when a method needs it.
"""

import logging
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import paramiko
from paramiko import AuthenticationException, BadAuthenticationType, SSHException
from paramiko.agent import AgentSSH

from tscm_migrate.model import Host, Secret
from tscm_migrate.ssh import keyfiles, ssh_config
from tscm_migrate.util.redact import outside

log = logging.getLogger(__name__)
_MOST_KEYS = 5  # OpenSSH's MaxAuthTries is 6, and a password may follow
_ROUNDS = 8  # rounds of authentication, each with a partial success


class Credentials(Protocol):
    """Resolves secrets when they are needed; each method returns None if the secret is not available."""

    def sudo_password(self, host: Host) -> Secret | None:  # noqa: ARG002
        """Return the sudo password for this host."""
        return None

    def login_password(self, host: Host) -> Secret | None:  # noqa: ARG002
        """Return the login password; called only after every key has failed."""
        return None

    def key_passphrase(self, host: Host, key: Path) -> Secret | None:  # noqa: ARG002
        """Return the passphrase of an encrypted key file."""
        return None

    def login_answer(self, host: Host, question: str) -> Secret | None:  # noqa: ARG002
        """Return the answer to a question of the server other than the password, such as a one-time code."""
        return None


class NoSecrets(Credentials):
    """Credentials without any secret: only keys that need no passphrase work."""


class Authentication:
    """The authentication strategy that paramiko calls: authenticate a transport, or raise."""

    def __init__(self, host: Host, credentials: Credentials) -> None:
        self.host = host
        self.credentials = credentials
        self.tried: list[str] = []
        self._agent: Any = None
        self._keys: Iterator[tuple[str, paramiko.PKey]] | None = None
        self._offered = 0
        self._unused = ""

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Try the agent's keys, key files, password and questions in order, until the server accepts.

        Raises:
            paramiko.AuthenticationException: nothing was accepted; the text lists what was tried.
            HungUpError: the server closed the connection. PasswordChangeError: the password has expired.
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
        """Return the methods that the server accepts; None if it needs no authentication at all."""
        try:
            transport.auth_none(self.host.user)
        except BadAuthenticationType as error:
            return list(error.allowed_types)
        return None

    def _round(self, transport: Any, allowed: list[str]) -> list[str] | None:
        """Try these methods once.

        Returns:
            None if authenticated; a list of methods if one was accepted and the server needs another; an empty list if
            everything was refused.
        """
        for name, attempt in self._attempts(transport, allowed):
            outcome = self._step(transport, name, attempt)
            if outcome is None or outcome:
                return outcome
        return []

    def _attempts(self, transport: Any, allowed: list[str]) -> Iterator[tuple[str, Callable[[], list[str]]]]:
        """Yield keys, then the password, then answers to the server's questions, with their names."""
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
        """Make one attempt; return as `_round` does."""
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
        if more:  # accepted, but the server needs another method too
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
        """Yield the keys not offered yet, at most as many as servers accept before they close the connection."""
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
        """Yield agent keys of the configured files (they need no passphrase), then the files, then other agent keys."""
        config = ssh_config.settings(self.host)
        agent = self._agent_keys(config.agent)
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
        for key in agent if not config.only else ():
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
        """Load a key file, with its passphrase if it has one; on failure add the reason to `tried` and return None."""
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
    # paramiko's fallback would send the password to a question for a one-time code
    return transport.auth_password(user, password.reveal(), fallback=False)


def _name(key: paramiko.PKey) -> str:
    return getattr(key, "comment", "") or key.get_name()


_PASSWORD = re.compile(r"\b(?:password|passwort|kennwort|mot de passe|contrase.a|wachtwoord)\b", re.IGNORECASE)
_OTHER = re.compile(r"one.?time|\botp\b|code|token|pin\b|duo|factor", re.IGNORECASE)
_CHANGE = re.compile(r"\b(?:new|retype|current)\b.*password|password.*expired|required to change", re.IGNORECASE)


class HungUpError(Exception):
    """The server closed the connection during authentication."""


class PasswordChangeError(Exception):
    """The server requires a new password before the login."""


class UnansweredError(Exception):
    """A question of the server cannot be answered."""


class LoginAnswers:
    """Answer the questions of one keyboard-interactive login.

    Attributes:
        password_given: whether the password was among the answers.
    """

    def __init__(self, host: Host, credentials: Credentials) -> None:
        self._host, self._credentials = host, credentials
        self.password_given = False

    def __call__(self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        """Return the answers in order.

        Raises:
            PasswordChangeError: the password has expired. UnansweredError: a question has no answer.
        """
        heading = " ".join(part.strip() for part in (title, instructions) if part.strip())
        if _CHANGE.search(" ".join([heading, *(text for text, _ in prompts)])):
            raise PasswordChangeError(outside(heading or prompts[0][0], 200))
        return [self._answer(heading, text) for text, _ in prompts]

    def _answer(self, heading: str, text: str) -> str:
        question = outside(text.strip(), 200)
        if _PASSWORD.search(text) and not _OTHER.search(text):
            if self.password_given:
                raise UnansweredError("the password was asked for again")
            found = self._credentials.login_password(self._host)
            self.password_given = found is not None
        else:
            found = self._credentials.login_answer(self._host, outside(f"{heading} {text}".strip(), 400))
        if found is None:
            raise UnansweredError(f"no answer is known to {question!r}")
        return found.reveal()


def agent_at(place: str) -> Any:
    """Connect to an ssh agent.

    Args:
        place: "" or "SSH_AUTH_SOCK" for the usual agent; "$NAME" for the socket in that variable; else a path.

    Raises:
        OSError, paramiko.SSHException: no agent answers there.
    """
    if place.startswith("$"):
        place = os.environ.get(place[1:], "")
    if place in {"", "SSH_AUTH_SOCK"}:
        return paramiko.Agent()

    family: int | None = getattr(socket, "AF_UNIX", None)
    if family is None:  # Windows, where each kind of agent has one fixed place
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
