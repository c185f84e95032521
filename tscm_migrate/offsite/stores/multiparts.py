"""The S3 calls that obstore lacks: unfinished uploads, a listing of any keys, and why a request without a body failed.

obstore ends a listing at the first key that it cannot parse, treats a page of HTML as an empty one, and the answer to a
HEAD has no body with the server's code.

Requests are signed with AWS Signature Version 4 (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html);
botocore would do it too, for 25 MB and half a second at the start.
"""

import hashlib
import hmac
import html
import http.client
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from tscm_migrate.errors import MigrateError, StoreError, StoreUnavailable
from tscm_migrate.model import Secret
from tscm_migrate.offsite.stores import refusals
from tscm_migrate.offsite.stores.base import Odd, Stat, Unfinished, is_key, shown
from tscm_migrate.offsite.stores.refusals import Account, not_a_store

_EMPTY = hashlib.sha256(b"").hexdigest()
_LIMIT = 4 << 20  # bytes of an answer; 1000 uploads are well under 1 MB
_PAGES = 200
_LISTED = 10_000  # pages of a listing
_TIMEOUT = 60.0  # seconds
_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 15.0, 15.0, 15.0, 15.0)  # seconds between tries; about 90 in all
_BACK = {200, 204}


@dataclass(frozen=True)
class AwsKeys:
    """Credentials from the standard environment variables or `~/.aws/credentials`."""

    access_key: str
    secret_key: Secret
    token: Secret | None = None
    where: str = ""  # they came from


@dataclass(frozen=True)
class Multiparts:
    """One bucket below one prefix ("" or ending in a slash), without obstore."""

    endpoint: str  # "https://s3.eu-central-1.amazonaws.com", without the bucket
    bucket: str
    prefix: str
    region: str
    keys: AwsKeys
    account: Account = field(default_factory=Account)

    @property
    def url(self) -> str:
        """Return the store's URL."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def entries(self, below: str, odd: Odd) -> Iterator[Stat]:
        """List the objects below a folder; call `odd` for keys that are not of this tool."""
        asked = f"{self.prefix}{below}/" if below else self.prefix
        query = {"list-type": "2", "prefix": asked, "max-keys": "1000", "encoding-type": "url"}
        again = {"continuation-token": "NextContinuationToken"}
        for page in self._pages("list", query, "ListBucketResult", again):
            for text in re.findall(r"<Contents>(.*?)</Contents>", page, re.DOTALL):
                if (found := self._stat(text, odd)) is not None:
                    yield found

    def _pages(self, doing: str, query: dict[str, str], root: str, again: dict[str, str]) -> Iterator[str]:
        """Yield the pages of a listing.

        Args:
            doing: for an error.
            query: of the first page.
            root: name of the answer's root element.
            again: what is added to the query of the next page: name → element of the page with its value.

        Raises:
            StoreError: the listing has more than 10,000 pages, or returns to a page that it had.
        """
        marker: dict[str, str] = {}
        seen: set[str] = set()
        while len(seen) < _LISTED and str(marker) not in seen:
            seen.add(str(marker))
            page = self._call("GET", f"/{self.bucket}", {**query, **marker}, doing)
            if f"<{root}" not in page[:1000]:
                raise not_a_store(self.account, url=self.url)
            yield page
            marker = {name: _field(page, element) for name, element in again.items()}
            if _field(page, "IsTruncated") != "true" or not any(marker.values()):
                return
        fix = f"is the endpoint right? {self.endpoint}"
        raise StoreError(detail=f"its listing does not end after {len(seen)} pages", fix=fix, url=self.url)

    def _stat(self, text: str, odd: Odd) -> Stat | None:
        raw, size, at = _field(text, "Key"), _field(text, "Size"), _when(_field(text, "LastModified"))
        # Servers differ in how they encode keys; our keys have no letter that is encoded, but a prefix may.
        names = [name.removeprefix(self.prefix) for name in (raw, unquote_plus(raw), unquote(raw))
                 if name.startswith(self.prefix)]  # fmt: skip
        if not names:
            return None
        key = next((name for name in names if is_key(name)), None)
        if key is None or not re.fullmatch(r"[0-9]{1,18}", size, re.ASCII) or at is None:
            odd(
                shown(names[-1]),
                "its name is unknown to this tool" if key is None else "its size or time cannot be read",
            )
            return None
        return Stat(key, int(size), at)

    def why(self, key: str) -> tuple[int, str]:
        """Read the first byte of an object; return status and body of the refusal."""
        status, body = self._once("GET", f"/{self.bucket}/{quote(self.prefix + key, safe='/~-._')}", {}, "bytes=0-0")
        return status, body

    def unfinished(self) -> list[Unfinished]:
        """List unfinished uploads, of 200 pages at most."""
        query = {"uploads": "", "prefix": self.prefix, "max-uploads": "1000"}
        again = {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}
        pages = self._pages("list unfinished uploads", query, "ListMultipartUploadsResult", again)
        texts = (
            text for page in islice(pages, _PAGES) for text in re.findall(r"<Upload>(.*?)</Upload>", page, re.DOTALL)
        )
        return [item for text in texts if (item := self._item(text))]

    def _item(self, text: str) -> Unfinished | None:
        key, handle, started = (_field(text, name) for name in ("Key", "UploadId", "Initiated"))
        if not (handle and key.startswith(self.prefix)):
            return None
        return Unfinished(shown(key.removeprefix(self.prefix)), handle, _when(started) or datetime.now(UTC))

    def abandon(self, item: Unfinished) -> None:
        """Abort an upload; its parts are deleted."""
        path = f"/{self.bucket}/{quote(self.prefix + item.key, safe='/~-._')}"
        self._call("DELETE", path, {"uploadId": item.handle}, "delete")

    def _call(self, method: str, path: str, query: dict[str, str], doing: str) -> str:
        """Send a request again until it is answered, refused permanently, or the time is over."""
        error: MigrateError
        for wait in (*_WAITS, 0.0):
            try:
                status, body = self._once(method, path, query)
            except StoreUnavailable as unavailable:
                error = unavailable
            else:
                code = refusals.code_in(body) if body.lstrip().startswith(("<?xml", "<Error")) else ""
                if (status in _BACK and "<Error>" not in body[:500]) or code == "NoSuchUpload":
                    return body
                error = refusals.refusal(status, body, self.account, url=self.url, key="", doing=doing)
            if not wait or not isinstance(error, StoreUnavailable):
                break
            time.sleep(wait)
        raise error

    def _once(self, method: str, path: str, query: dict[str, str], span: str = "") -> tuple[int, str]:
        parts = urlsplit(self.endpoint)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=_TIMEOUT)
        line = "&".join(f"{quote(name, safe='~-._')}={quote(query[name], safe='~-._')}" for name in sorted(query))
        base = quote(parts.path.rstrip("/"), safe="/~-._%")
        try:
            headers = self._signed(method, parts.netloc, base + path, line) | ({"range": span} if span else {})
            connection.request(method, f"{base}{path}{'?' if line else ''}{line}", headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(_LIMIT).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            fix = f"run the same command again later; is the endpoint right? {self.endpoint}"
            raise StoreUnavailable(detail=f"no answer ({error})", fix=fix, url=self.url) from error
        finally:
            connection.close()

    def _signed(self, method: str, host: str, path: str, query: str) -> dict[str, str]:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": host, "x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
        if self.keys.token:
            headers["x-amz-security-token"] = self.keys.token.reveal()
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{_EMPTY}"
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = b"AWS4" + self.keys.secret_key.reveal().encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers


def _field(text: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return html.unescape(found[1]) if found else ""


def _when(text: str) -> datetime | None:
    """Parse a time of S3; None if it is not valid."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
