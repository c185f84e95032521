r"""Open a store by its URL.

    /srv/backups   D:\backups   file:///srv/backups           a folder or a mounted share
    sftp://NAME/folder   sftp://user@address[:port]/folder     over SSH; NAME is a host of the inventory
    s3://bucket/prefix[?endpoint=URL&region=NAME]              S3 and compatible stores
    az://container/prefix   gs://bucket/prefix                 Azure, Google

Credentials are never part of a URL: S3, Azure and Google read their own environment variables and files.
"""

from __future__ import annotations

import configparser
import os
import socket
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, urlsplit
from urllib.request import url2pathname

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from tscm_migrate.errors import UsageError
from tscm_migrate.model import Secret
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.offsite.stores.multiparts import AwsKeys, Multiparts
from tscm_migrate.offsite.stores.objects import CLIENT, RETRY, Objects
from tscm_migrate.offsite.stores.refusals import Account
from tscm_migrate.offsite.stores.sftp import Connection, SftpStore
from tscm_migrate.util.private import expanded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from obstore.store import S3Config

    from tscm_migrate.offsite.stores.base import Store

    Dial = Callable[[str], Connection]  # "NAME" or "user@address:port" to a connection

_LONGEST = 300  # bytes of a prefix; a key of 700 has to fit behind it
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def open_store(url: str, *, dial: Dial | None = None, env: Mapping[str, str] = os.environ) -> Store:
    """Open the store that a URL names; no connection is made yet, except for sftp.

    Args:
        url: as above; a path without a scheme is a folder.
        dial: makes the SSH connection of an sftp store; without it such a URL is refused.
        env: where the cloud credentials are looked for.

    Raises:
        UsageError: what is wrong with the URL.
    """
    scheme, _, _ = url.partition("://")
    if scheme == url or len(scheme) == 1:
        return _folder(expanded(url))
    opener = _OPENERS.get(scheme)
    if opener is None:
        raise UsageError(problem=f"no store is called {scheme}://", fix=f"one of: {', '.join(sorted(_OPENERS))}")
    parts = urlsplit(url)
    if parts.password is not None or (parts.username and scheme != "sftp"):
        raise UsageError(
            problem="a store's URL must not hold credentials", fix="leave them to the environment or the agent"
        )
    with _explained(parts.scheme):
        return opener(parts, dial, env)


# What each looks for, beside roles and identities of the machine that it runs on.
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, the path of a service account's JSON file",
}


@contextmanager
def _explained(scheme: str) -> Iterator[None]:
    """Turn the library's error about credentials into a UsageError that names where to set them."""
    try:
        yield
    except BaseError as error:
        message = next(iter(str(error).splitlines()), "").partition("error: ")[2] or "it cannot be opened"
        raise UsageError(problem=f"{scheme}://: {message[:200]}", fix=f"set {_CREDENTIALS[scheme]}") from error


def _folder(path: Path) -> Store:
    return LocalStore(path.absolute())


def _file(parts: SplitResult, _dial: Dial | None, _env: Mapping[str, str]) -> Store:
    return _folder(Path(url2pathname(parts.path)))


def _sftp(parts: SplitResult, dial: Dial | None, _env: Mapping[str, str]) -> Store:
    if dial is None:
        raise UsageError(problem="an sftp:// store needs a connection, and none can be made here")
    folder = PurePosixPath(parts.path.removeprefix("/~/") or "/")  # sftp://host/~/folder is below the home
    return SftpStore(dial(parts.netloc), folder, url=_shown(parts))


def _s3(parts: SplitResult, _dial: Dial | None, env: Mapping[str, str]) -> Store:
    options = _options(parts, {"endpoint", "region", "allow_http"})
    prefix = _prefix(parts)
    region = options.get("region") or _first(env, "AWS_REGION", "AWS_DEFAULT_REGION") or "us-east-1"
    endpoint = options.get("endpoint") or _first(env, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    keys = aws_keys(env)
    http = bool(endpoint) and _plain_http(endpoint, options)
    if keys is None:
        _need_role(env)
    account = Account(keys.where if keys else _looked(env), region, endpoint)
    given: S3Config = {"region": region, "checksum_algorithm": "SHA256", **_credentials(keys)}
    if endpoint:
        given["endpoint"] = endpoint
    inner = S3Store(
        parts.netloc,
        prefix=prefix or None,
        client_options={**CLIENT, "allow_http": http},
        retry_config=RETRY,
        config=given,
    )
    base = endpoint or f"https://s3.{region}.amazonaws.com"
    below = prefix and f"{prefix}/"
    multiparts = Multiparts(base.rstrip("/"), parts.netloc, below, region, keys, account) if keys else None
    return Objects(inner, _shown(parts), multiparts, account)


def _first(env: Mapping[str, str], *names: str) -> str:
    """Return the first of these variables that is set and not empty; "" if none is."""
    return next(filter(None, map(env.get, names)), "")


def _credentials(keys: AwsKeys | None) -> S3Config:
    if keys is None:
        return {}
    given: S3Config = {"access_key_id": keys.access_key, "secret_access_key": keys.secret_key.reveal()}
    if keys.token:
        given["session_token"] = keys.token.reveal()
    return given


def _azure(parts: SplitResult, _dial: Dial | None, _env: Mapping[str, str]) -> Store:
    _options(parts, set())
    prefix = _prefix(parts) or None
    inner = AzureStore(parts.netloc, prefix=prefix, client_options=CLIENT, retry_config=RETRY)
    return Objects(inner, _shown(parts), account=Account(_CREDENTIALS["az"]))


def _google(parts: SplitResult, _dial: Dial | None, _env: Mapping[str, str]) -> Store:
    _options(parts, set())
    inner = GCSStore(parts.netloc, prefix=_prefix(parts) or None, client_options=CLIENT, retry_config=RETRY)
    return Objects(inner, _shown(parts), account=Account(_CREDENTIALS["gs"]))


_OPENERS: dict[str, Callable[[SplitResult, Dial | None, Mapping[str, str]], Store]] = {
    "file": _file,
    "sftp": _sftp,
    "s3": _s3,
    "az": _azure,
    "gs": _google,
}


_ROLES = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_METADATA = ("169.254.169.254", 80)  # where a machine in AWS reads its role


def aws_keys(env: Mapping[str, str]) -> AwsKeys | None:
    """Return static AWS credentials from the environment or the shared file; None: obstore looks for a role."""
    access, secret, token = (
        env.get(f"AWS_{name}", "") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
    )
    where = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment"
    if not (access and secret):
        found, where = _profile(env)
        access, secret, token = (
            found.get(f"aws_{name}", "") for name in ("access_key_id", "secret_access_key", "session_token")
        )
    if not (access and secret):
        return None
    return AwsKeys(access, Secret(secret, "aws"), Secret(token, "aws") if token else None, where)


def _profile(env: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return the values of the chosen profile in the shared credentials file, and the place in words."""
    path = Path(env.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    profile = env.get("AWS_PROFILE") or "default"
    file = configparser.ConfigParser(interpolation=None)
    try:
        read = file.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(problem=f"{path} cannot be read: {why}", fix="correct it, or set AWS_ACCESS_KEY_ID") from None
    found = dict(file[profile]) if file.has_section(profile) else {}
    what = "" if found else f" ({'no such profile' if read else 'no such file'})"
    return found, f"profile {profile!r} of {path}{what}"


def _looked(env: Mapping[str, str]) -> str:
    """Return in words where credentials were searched."""
    unset = [name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if not env.get(name)]
    return f"{' and '.join(unset) or 'AWS_ACCESS_KEY_ID'} (not set), {_profile(env)[1]}, a role of this machine"


def _need_role(env: Mapping[str, str]) -> None:
    """Check that a role can be used without keys: of a container, or of the machine.

    Raises:
        UsageError: no role was found.
    """
    if any(env.get(name) for name in _ROLES):
        return
    if env.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
        try:
            socket.create_connection(_METADATA, 1.0).close()
        except OSError:
            pass
        else:
            return
    fix = (
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put them into ~/.aws/credentials; for a profile with SSO: "
        'eval "$(aws configure export-credentials --format env)"'
    )
    raise UsageError(problem=f"s3://: no credentials: looked for {_looked(env)}: none", fix=fix)


def _prefix(parts: SplitResult) -> str:
    prefix = parts.path.strip("/")
    if not parts.netloc:
        raise UsageError(problem=f"{parts.scheme}:// needs a bucket or container", fix=f"{parts.scheme}://NAME/prefix")
    odd = any(part in {"", ".", ".."} for part in prefix.split("/")) or "\\" in prefix or not prefix.isprintable()
    if prefix and (odd or parts.fragment or len(prefix.encode()) > _LONGEST):
        fix = f"as in {parts.scheme}://{parts.netloc}/folder/folder: no . or .. or empty part, no # ? or \\"
        raise UsageError(problem=f"not a prefix for a store: {prefix[:80]!r}", fix=fix)
    return prefix


def _options(parts: SplitResult, known: set[str]) -> dict[str, str]:
    options = dict(parse_qsl(parts.query))
    if unknown := sorted(set(options) - known):
        raise UsageError(problem=f"{parts.scheme}:// has no option {unknown[0]!r}", fix=f"known: {sorted(known)}")
    return options


def _plain_http(endpoint: str, options: Mapping[str, str]) -> bool:
    parts = urlsplit(endpoint)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and options.get("allow_http") != "true":
        raise UsageError(
            problem=f"{endpoint} is not encrypted", fix="use https://, or add &allow_http=true to the store's URL"
        )
    return parts.scheme == "http"


def _shown(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
