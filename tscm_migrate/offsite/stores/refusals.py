"""Classify the refusals of cloud stores by the server's code, not by its text. Pure.

A permanent refusal (a wrong key, region, clock or permission) is distinguished from a temporary one (too many requests,
an error of the server).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from tscm_migrate.errors import ObjectMissing, StoreDenied, StoreError, StoreUnavailable
from tscm_migrate.util.redact import outside

PASSING = frozenset(
    (
        "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException",
        "ThrottledException", "TooManyRequests", "RequestLimitExceeded", "OperationAborted", "ServerBusy", "Busy",
        "OperationTimedOut", "PriorRequestNotComplete", "BandwidthLimitExceeded", "503", "500",
    )
)  # fmt: skip
_BUSY = frozenset((408, 425, 429, 500, 502, 503, 504, 509))
_RENEW = (
    "get new credentials (aws sso login, or as your account does it), then: "
    'eval "$(aws configure export-credentials --format env)"; the expired ones came from {where}'
)
_OTHER_REGION = (
    "the bucket is not in the region {region}",
    "add ?region={right} to the store's URL, or set AWS_REGION",
)
_NO_PLACE = ("the bucket or container does not exist", "create it first, or correct the store's URL")
_FULL = ("the store is full, or a quota of it is used up", "free some space: tscm-migrate offsite prune, offsite clean")
_NOT_ALLOWED = (
    "these credentials may not {doing} here",
    "allow {needs} below {url}; the credentials came from {where}",
)
_CLOCK = (
    "this workstation's clock ({now}) and the server's{theirs} are too far apart",
    "set this workstation's clock: sudo timedatectl set-ntp true",
)
_WRONG_SECRET = (
    "the secret key does not belong to the access key, or was changed during the request",
    "set both again; they came from {where}",
)

# Code → what it means and what to do. The first table is of credentials (StoreDenied), the second of the place.
_DENIED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId", "NotSignedUp"),
        ("the server does not know this access key", "set the right one; it came from {where}"),
    ),
    **dict.fromkeys(("SignatureDoesNotMatch", "AuthenticationFailed", "InvalidSecurity"), _WRONG_SECRET),
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "ExpiredAuthenticationToken"),
        ("the session token has expired", _RENEW),
    ),
    **dict.fromkeys(
        ("InvalidToken", "InvalidAuthenticationInfo", "InvalidSessionToken"),
        ("the session token is not valid", _RENEW),
    ),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired", "AccessDeniedClockSkew"), _CLOCK),
    **dict.fromkeys(
        (
            "AccessDenied", "AllAccessDisabled", "Forbidden", "AuthorizationFailure", "InsufficientAccountPermissions",
            "AuthorizationPermissionMismatch", "AccessForbidden", "UnauthorizedAccess", "401", "403",
        ),
        _NOT_ALLOWED,
    ),
    **dict.fromkeys(
        ("AccountProblem", "AccountIsDisabled", "UserSuspended"),
        ("the account is closed or suspended", "ask who runs the account"),
    ),
}  # fmt: skip
_PLACE: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        (
            "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "Redirect",
            "IllegalLocationConstraintException", "IncorrectEndpoint",
        ),
        _OTHER_REGION,
    ),
    **dict.fromkeys(("NoSuchBucket", "ContainerNotFound", "ResourceNotFound", "InvalidBucketName"), _NO_PLACE),
    **dict.fromkeys(
        ("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "StorageFull", "EntityTooLarge", "507"), _FULL
    ),
    "InvalidObjectState": (
        "the object is archived in a cold storage class",
        "restore it in the store first (aws s3api restore-object), and let no lifecycle rule move these objects",
    ),
    "KMS": (
        "the encryption key of the bucket cannot be used",
        "enable the key, and allow kms:Decrypt and kms:GenerateDataKey; the credentials came from {where}",
    ),
    **dict.fromkeys(
        ("NotImplemented", "MethodNotAllowed", "501", "405"),
        ("the server cannot do this ({code})", "choose another server, or another kind of store"),
    ),
}  # fmt: skip
_NEEDS = {
    "list": "s3:ListBucket",
    "read": "s3:GetObject",
    "look at objects": "s3:GetObject and s3:ListBucket",
    "write": "s3:PutObject",
    "delete": "s3:DeleteObject",
    "list unfinished uploads": "s3:ListBucketMultipartUploads",
}


@dataclass(frozen=True)
class Account:
    """The account of requests: where the credentials came from, in words, and where the requests go."""

    where: str = "the environment"
    region: str = ""
    endpoint: str = ""


def code_in(body: str) -> str:
    """Return the code in a server's answer, such as `AccessDenied`; "" if it has no code."""
    found = re.search(r"<Code>([A-Za-z0-9.]{1,80})</Code>|\"(?:code|reason)\"\s*:\s*\"([A-Za-z0-9.]{1,80})\"", body)
    return (found[1] or found[2]) if found else ""


def passes(status: int, code: str) -> bool:
    """Whether the same request may succeed a little later."""
    return code in PASSING or (status in _BUSY and code not in _DENIED and code not in _PLACE)


def refusal(status: int, body: str, account: Account, *, url: str, key: str, doing: str) -> StoreError:
    """Return the error for a refusal.

    Args:
        status: of HTTP; 0 where it is not known.
        body: as it came.
        account: who asked.
        url: of the store.
        key: of the object.
        doing: what was asked for: one of the words of `_NEEDS`.
    """
    code = code_in(body)
    place = {"url": url, "key": key}
    answer = code or str(status or "")
    if _is_page(status, code, body):
        return not_a_store(account, status, **place)
    if passes(status, code):
        what = f"the server is busy or has an error ({answer})"
        return StoreUnavailable(detail=what, fix="run the same command again later", **place)
    if (code or status) in {"NoSuchKey", "BlobNotFound", 404}:
        return ObjectMissing(detail="not there", **place)
    kind, texts = _entry("KMS" if code.startswith("KMS.") else code or str(status))
    if texts is None:
        return _unclear(account, body, answer, place)
    values = _values(account, body, doing=doing, url=url, answer=answer)
    what, fix = texts[0].format_map(values), texts[1].format_map(values)
    return kind(detail=f"{what} ({code})" if code else what, fix=fix, **place)


def _entry(word: str) -> tuple[type[StoreError], tuple[str, str] | None]:
    """Return the error for a code or a status, and the texts of its detail and its fix; None if it is not known."""
    return (StoreDenied, _DENIED[word]) if word in _DENIED else (StoreError, _PLACE.get(word))


def _is_page(status: int, code: str, body: str) -> bool:
    """Return whether the answer is a page for a browser, and not that of a busy server."""
    return not code and status not in _BUSY and re.match(r"\s*<(?:!doctype )?html", body, re.IGNORECASE) is not None


def _unclear(account: Account, body: str, answer: str, place: dict[str, str]) -> StoreError:
    fix = f"is the endpoint right? {account.endpoint}" if account.endpoint else "is the store's URL right?"
    fix = f"see what the documentation of the store says about {answer}" if code_in(body) else fix
    message = outside(re.sub(r"<[^>]*>", " ", body), 120)
    detail = f"the server says {answer or 'nothing that could be understood'} {message}".strip()
    return StoreError(detail=detail, fix=fix, **place)


def _values(account: Account, body: str, *, doing: str, url: str, answer: str) -> dict[str, str]:
    """Return what the texts of `_DENIED` and `_PLACE` can name."""
    return {
        "where": account.where, "region": account.region or "that is set", "doing": doing, "url": url,
        "needs": _NEEDS.get(doing, "it"), "code": answer, "right": _region(body), "theirs": _clock(body),
        "now": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }  # fmt: skip


def not_a_store(account: Account, status: int = 0, *, url: str, key: str = "") -> StoreError:
    """Return the error for an answer that is not of a store: of a portal, a proxy or a web server."""
    where = f" at {account.endpoint}" if account.endpoint else ""
    where += f" with {status}" if status else ""
    fix = "check the endpoint, and that no proxy or login page answers instead of it"
    return StoreError(detail=f"what answers{where} is not an object store", fix=fix, url=url, key=key)


def _region(body: str) -> str:
    found = re.search(r"<Region>([a-z0-9-]{1,40})</Region>|expecting '([a-z0-9-]{1,40})'", body)
    return (found[1] or found[2]) if found else "NAME"


def _clock(body: str) -> str:
    found = re.search(r"<ServerTime>([0-9TZ:.+-]{1,40})</ServerTime>", body)
    return f" ({found[1]})" if found else ""
