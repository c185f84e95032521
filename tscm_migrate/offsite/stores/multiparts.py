"""The two S3 calls that obstore has not: list multipart uploads that were never completed, and abort one.

Signed as AWS Signature Version 4 asks for (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html);
botocore would do it too, for 25 MB and half a second at the start.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import http.client
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from tscm_migrate.errors import StoreDenied, StoreError, StoreUnavailable
from tscm_migrate.offsite.stores.base import Unfinished

if TYPE_CHECKING:
    from tscm_migrate.site import Secret

_EMPTY = hashlib.sha256(b"").hexdigest()
_LIMIT = 4 << 20  # bytes of an answer; 1000 uploads are well under 1 MB
_PAGES = 200
_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True)
class AwsKeys:
    """Credentials as the standard environment variables and `~/.aws/credentials` hold them."""

    access_key: str
    secret_key: Secret
    token: Secret | None = None


@dataclass(frozen=True)
class Multiparts:
    """The unfinished uploads of one bucket below one prefix ("" or ending in a slash)."""

    endpoint: str  # "https://s3.eu-central-1.amazonaws.com", without the bucket
    bucket: str
    prefix: str
    region: str
    keys: AwsKeys

    def unfinished(self) -> list[Unfinished]:
        """List them all; a server that pages forever is left after 200 pages."""
        found: list[Unfinished] = []
        marker: dict[str, str] = {}
        for _ in range(_PAGES):
            query = {"uploads": "", "prefix": self.prefix, "max-uploads": "1000", **marker}
            page = self._call("GET", f"/{self.bucket}", query)
            found += [
                item for text in re.findall(r"<Upload>(.*?)</Upload>", page, re.DOTALL) if (item := self._item(text))
            ]
            if _field(page, "IsTruncated") != "true":
                break
            marker = {
                "key-marker": _field(page, "NextKeyMarker"),
                "upload-id-marker": _field(page, "NextUploadIdMarker"),
            }
        return found

    def _item(self, text: str) -> Unfinished | None:
        key, handle, started = (_field(text, name) for name in ("Key", "UploadId", "Initiated"))
        if not (handle and key.startswith(self.prefix)):
            return None
        when = datetime.fromisoformat(started) if started else datetime.now(UTC)
        return Unfinished(key.removeprefix(self.prefix), handle, when if when.tzinfo else when.replace(tzinfo=UTC))

    def abandon(self, item: Unfinished) -> None:
        """Abort one; its parts are freed."""
        path = f"/{self.bucket}/{quote(self.prefix + item.key, safe='/~-._')}"
        self._call("DELETE", path, {"uploadId": item.handle})

    def _call(self, method: str, path: str, query: dict[str, str]) -> str:
        parts = urlsplit(self.endpoint)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=_TIMEOUT)
        line = "&".join(f"{quote(name, safe='~-._')}={quote(query[name], safe='~-._')}" for name in sorted(query))
        try:
            connection.request(method, f"{path}?{line}", headers=self._signed(method, parts.netloc, path, line))
            answer = connection.getresponse()
            body = answer.read(_LIMIT).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise StoreUnavailable(detail=f"no answer ({error})", url=f"s3://{self.bucket}") from error
        finally:
            connection.close()
        return self._checked(answer.status, body)

    def _checked(self, status: int, body: str) -> str:
        url, why = f"s3://{self.bucket}/{self.prefix}", _field(body, "Code")[:60]
        if status in {200, 204} or why == "NoSuchUpload":
            return body
        if status in {401, 403}:
            raise StoreDenied(detail=f"may not see or abort unfinished uploads ({why or status})", url=url)
        if status == http.HTTPStatus.TOO_MANY_REQUESTS or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise StoreUnavailable(detail=f"the server says {status} {why}".strip(), url=url)
        raise StoreError(detail=f"the server says {status} {why}".strip(), url=url)

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
