"""Who we are: agent keys, key files, then a password; each secret is asked for only when its turn has come."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from tscm_migrate.ssh.userconfig import identities

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import paramiko

    from tscm_migrate.site import Host, Secret

log = logging.getLogger(__name__)


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


class Authentication:
    """What paramiko's `auth_strategy=` wants: one method that makes a transport authenticated or raises."""

    def __init__(self, host: Host, credentials: Credentials) -> None:
        self.host = host
        self.credentials = credentials
        self.tried: list[str] = []
        self._agent: paramiko.Agent | None = None

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Try what there is, in order, until the server is content.

        Raises:
            paramiko.AuthenticationException: with what was tried, and how the server took it.
        """
        try:
            self._authenticate(transport)
        finally:
            if self._agent is not None:
                self._agent.close()

    def _authenticate(self, transport: paramiko.Transport) -> None:
        from paramiko import AuthenticationException

        allowed = self._allowed(transport)
        if allowed is None:
            return
        if "publickey" in allowed:
            for name, key in self._keys():
                if self._step(transport, name, partial(transport.auth_publickey, self.host.user, key)):
                    return
        password = self._password(allowed)
        if password is not None and self._step(
            transport, "password", partial(_login, transport, self.host.user, password)
        ):
            return
        raise AuthenticationException(
            f"user {self.host.user}; tried: {', '.join(self.tried) or 'nothing, there is no key to offer'}; "
            f"the server takes: {', '.join(allowed) or 'nothing'}"
        )

    def _allowed(self, transport: paramiko.Transport) -> list[str] | None:
        from paramiko import BadAuthenticationType

        try:
            transport.auth_none(self.host.user)
        except BadAuthenticationType as error:
            return list(error.allowed_types)
        return None  # the server wants no proof at all

    def _step(self, transport: paramiko.Transport, name: str, attempt: Any) -> bool:
        """One attempt; True when the transport is authenticated."""
        from paramiko import AuthenticationException, SSHException

        self.tried.append(name)
        try:
            more = attempt()
        except AuthenticationException as error:
            log.debug("%s: %s refused: %s", self.host.name, name, type(error).__name__)
            if not transport.is_active():
                hint = "the server hung up after " + ", ".join(self.tried)
                if len(self.tried) > 1:
                    hint += "; too many keys? set identity_file, and use_agent = false"
                raise AuthenticationException(hint) from error
            return False
        except SSHException as error:
            raise AuthenticationException(f"{name}: {error}") from error
        if more:  # accepted, and the server wants one thing more
            self.tried[-1] += " (accepted, not enough)"
            return False
        return True

    def _password(self, allowed: list[str]) -> Secret | None:
        if not {"password", "keyboard-interactive"} & set(allowed):
            return None
        return self.credentials.login_password(self.host)

    def _keys(self) -> Iterator[tuple[str, paramiko.PKey]]:
        """Agent keys that belong to the named files first (they need no passphrase), then the files, then the rest."""
        agent = self._agent_keys()
        files = identities(self.host)
        wanted = {blob for path in files if (blob := _public_blob(path)) is not None}
        used: set[bytes] = set()
        for key in agent:
            if key.asbytes() in wanted:
                used.add(key.asbytes())
                yield f"agent key {_name(key)}", key
        for path in files:
            if (blob := _public_blob(path)) is not None and blob in used:
                continue
            loaded = self._load(path)
            if loaded is not None and loaded.asbytes() not in used:
                used.add(loaded.asbytes())
                yield f"key {path.name}", loaded
        for key in agent:
            if key.asbytes() not in used:
                yield f"agent key {_name(key)}", key

    def _agent_keys(self) -> list[paramiko.PKey]:
        if not self.host.use_agent:
            return []
        import paramiko

        try:
            self._agent = paramiko.Agent()
            return list(self._agent.get_keys())
        except (paramiko.SSHException, OSError, EOFError) as error:
            log.debug("no agent: %s", error)
            return []

    def _load(self, path: Path) -> paramiko.PKey | None:
        """Read a key file; ask for its passphrase when it has one; None (and a mark in `tried`) when that fails."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from paramiko import PKey, SSHException

        try:
            return PKey.from_path(path)
        except FileNotFoundError:
            self.tried.append(f"key {path.name} (no such file)")
            return None
        except TypeError:
            pass  # cryptography's way of saying that a passphrase is wanted
        except (ValueError, SSHException, OSError, UnsupportedAlgorithm) as error:
            self.tried.append(f"key {path.name} (cannot be read: {type(error).__name__})")
            return None
        secret = self.credentials.key_passphrase(self.host, path)
        if secret is None:
            self.tried.append(f"key {path.name} (encrypted, no passphrase given)")
            return None
        try:
            return PKey.from_path(path, secret.reveal().encode())  # type: ignore[arg-type]
        except (ValueError, TypeError, SSHException) as error:
            log.debug("%s: %s", path.name, type(error).__name__)
            self.tried.append(f"key {path.name} (wrong passphrase)")
            return None


def _login(transport: paramiko.Transport, user: str, password: Secret) -> list[str]:
    return transport.auth_password(user, password.reveal())


def _name(key: paramiko.PKey) -> str:
    return getattr(key, "comment", "") or key.get_name()


def _public_blob(path: Path) -> bytes | None:
    """The wire form of the public key beside a private one, for finding it in the agent; None where it is not."""
    import base64
    import binascii

    try:
        words = path.with_name(path.name + ".pub").read_text(encoding="utf-8", errors="replace").split()
        return base64.b64decode(words[1], validate=True)
    except (OSError, IndexError, binascii.Error):
        return None
