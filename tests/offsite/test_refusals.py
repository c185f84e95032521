"""Error answers of object stores: how each is reported, and which requests are repeated. The test server refuses."""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.support import servers
from tests.support.incoming import NOW, Given, encrypted
from tscm_migrate.errors import MigrateError, Retry, StoreDenied, StoreError, StoreUnavailable
from tscm_migrate.offsite import catalog
from tscm_migrate.offsite.stores import multiparts
from tscm_migrate.offsite.stores.factory import open_store
from tscm_migrate.offsite.upload import CopyPolicy, make_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tscm_migrate.offsite.stores.base import Store

CALLS: dict[str, Callable[[Store], object]] = {
    "list": lambda store: list(store.entries("hosts")),
    "get": lambda store: list(store.read("hosts/a/x")),
    "head": lambda store: store.stat("hosts/a/x"),
    "put": lambda store: store.create("hosts/a/x", b"x"),
    "upload": lambda store: store.upload("hosts/a/x", [b"x" * 100]),
    "delete": lambda store: store.delete("hosts/a/x"),
    "unfinished": lambda store: store.unfinished(),
}


class Refusing:
    """The answer to every request, until the time `until`."""

    def __init__(self) -> None:
        self.status, self.body, self.requests, self.until = 403, "", 0, 0.0


@pytest.fixture
def refusing() -> Iterator[tuple[Refusing, Store]]:
    answers = Refusing()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            answers.requests += 1
            over = bool(answers.until) and time.monotonic() > answers.until
            text = "<ListBucketResult></ListBucketResult>" if over else answers.body
            self.send_response_only(200 if over else answers.status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text.encode())

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"s3://bucket/some prefix?region=eu-north-1&endpoint=http://127.0.0.1:{server.server_address[1]}"
    try:
        with contextlib.closing(open_store(url, env=servers.ENV)) as store:
            yield answers, store
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


class Endless(BaseHTTPRequestHandler):
    """A server whose listing returns to its second page, and whose answers are longer than what was asked for."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def head(self, status: int, size: int, **headers: str) -> None:
        self.send_response_only(status)
        given = {"content-length": size, "etag": '"x"', "last-modified": "Fri, 27 Nov 2026 00:00:00 GMT", **headers}
        for name, value in given.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def do_HEAD(self) -> None:
        self.head(200, SIZE)

    def do_GET(self) -> None:
        if "list-type" in self.path:
            page = "<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>"
            text = f"<ListBucketResult>{page}</ListBucketResult>".encode()
            self.head(200, len(text))
            self.wfile.write(text)
            return
        span = self.headers["range"].removeprefix("bytes=")
        self.head(206, 100 * SIZE, content_range=f"bytes {span}/{SIZE}")
        with contextlib.suppress(OSError):
            for _ in range(100):
                self.wfile.write(bytes(SIZE))


SIZE = 20 << 20


@pytest.fixture
def endless() -> Iterator[Store]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"s3://bucket/p?region=eu-north-1&endpoint=http://127.0.0.1:{server.server_address[1]}"
    try:
        with contextlib.closing(open_store(url, env=servers.ENV)) as store:
            yield store
    finally:
        server.shutdown()
        server.server_close()


def test_more_bytes_than_were_asked_for_are_refused(endless: Store) -> None:
    with pytest.raises(StoreError, match="sends more than the 16777216 bytes"):
        list(endless.read("hosts/a/x"))


def test_a_listing_that_returns_to_a_page_is_refused(endless: Store) -> None:
    with pytest.raises(StoreError, match="does not end after 2 pages"):
        list(endless.entries("hosts"))


def error(code: str, more: str = "") -> str:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>secret words</Message>{more}</Error>'


REFUSALS: list[tuple[int, str, type[StoreError], str, str]] = [
    (403, error("InvalidAccessKeyId"), StoreDenied, "does not know this access key", "AWS_ACCESS_KEY_ID"),
    (403, error("SignatureDoesNotMatch"), StoreDenied, "secret key", "AWS_SECRET_ACCESS_KEY"),
    (400, error("ExpiredToken"), StoreDenied, "session token has expired", "aws configure export-credentials"),
    (403, error("InvalidToken"), StoreDenied, "session token is not valid", "aws configure export-credentials"),
    (403, error("RequestTimeTooSkewed", "<ServerTime>2030-01-01T00:00:00Z</ServerTime>"), StoreDenied,
     "2030-01-01T00:00:00Z", "timedatectl"),
    (403, error("AccessDenied"), StoreDenied, "may not", "s3:"),
    (400, error("AuthorizationHeaderMalformed", "<Region>eu-west-7</Region>"), StoreError, "region eu-north-1",
     "?region=eu-west-7"),
    (301, error("PermanentRedirect"), StoreError, "region eu-north-1", "AWS_REGION"),
    (404, error("NoSuchBucket"), StoreError, "does not exist", "create it"),
    (507, error("QuotaExceeded"), StoreError, "full", "offsite prune"),
    (403, "<html><body>Forbidden by the proxy</body></html>", StoreError, "403 is not an object store", "proxy"),
    (407, "<!DOCTYPE html>\n<title>Proxy Authentication Required</title>", StoreError, "not an object store", "proxy"),
    (403, error("InvalidObjectState"), StoreError, "cold storage", "restore-object"),
    (400, error("KMS.DisabledException"), StoreError, "encryption key of the bucket", "kms:Decrypt"),
    (403, "", StoreDenied, "may not", "s3:"),
    (400, error("SomethingNew").replace("secret", "new"), StoreError, "new words", "SomethingNew"),
    (418, "I am a teapot", StoreError, "418", "endpoint"),
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("refusal", REFUSALS, ids=[f"{status}-{body[27:50]}" for status, body, *_ in REFUSALS])
def test_a_permanent_refusal_is_reported_by_its_code_at_once(
    refusing: tuple[Refusing, Store], call: str, refusal: tuple[int, str, type[StoreError], str, str]
) -> None:
    answers, store = refusing
    answers.status, answers.body, kind, words, remedy = refusal
    if answers.status == 507 and call != "unfinished":
        pytest.skip("obstore repeats a request after a status from 500 on")
    if "NoSuchBucket" in answers.body and call in {"delete", "head"}:
        pytest.skip("the answer to HEAD has no body, so the key seems to be missing")
    with pytest.raises(kind) as caught:
        CALLS[call](store)
    refused = caught.value
    assert words in refused.message(), refused.message()
    assert remedy in refused.remedy(), refused.remedy()
    assert refused.retry is not Retry.LATER
    assert answers.requests <= 3, "a permanent refusal is not repeated"
    assert not [word for word in ("<", "secret words", "Debug") if word in str(refused)]


@pytest.mark.parametrize("body", ["<html><body>Please log in</body></html>", "", "{}", error("AccessDenied")])
@pytest.mark.parametrize("call", ["list", "unfinished"])
def test_an_html_page_with_status_200_is_not_an_empty_store(
    refusing: tuple[Refusing, Store], body: str, call: str
) -> None:
    answers, store = refusing
    answers.status, answers.body = 200, body
    with pytest.raises(StoreError):
        CALLS[call](store)
    with pytest.raises(StoreError):
        catalog.load(store)
    with pytest.raises(StoreError):
        make_copy(Given(encrypted(10)), store, CopyPolicy(), now=NOW)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["list", "unfinished", "get"])
def test_a_store_busy_for_some_seconds_is_waited_for(refusing: tuple[Refusing, Store], call: str) -> None:
    answers, store = refusing
    answers.status, answers.body, answers.until = 503, error("SlowDown"), time.monotonic() + 4
    with contextlib.suppress(StoreError):  # the later answer is an empty listing
        CALLS[call](store)
    assert time.monotonic() > answers.until, "it gave up while the server was busy"


def test_requests_are_repeated_for_about_ninety_seconds() -> None:
    from tscm_migrate.offsite.stores.objects import RETRY

    assert 60 <= sum(multiparts._WAITS) <= 100
    assert RETRY["retry_timeout"].total_seconds() == 90
    assert RETRY["max_retries"] * RETRY["backoff"]["init_backoff"].total_seconds() >= 15


def test_a_store_that_stays_busy_is_reported_as_busy(
    refusing: tuple[Refusing, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, store = refusing
    monkeypatch.setattr(multiparts, "_WAITS", (0.01, 0.01))
    answers.status, answers.body = 503, error("SlowDown")
    with pytest.raises(StoreUnavailable, match="busy") as caught:
        list(store.entries())
    assert caught.value.retry is Retry.LATER
    assert answers.requests == 3


def test_missing_credentials_are_reported_with_the_places_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"AWS_SHARED_CREDENTIALS_FILE": "/none", "AWS_PROFILE": "ops", "AWS_EC2_METADATA_DISABLED": "true"}
    with pytest.raises(MigrateError) as caught:
        open_store("s3://bucket/x", env=env)
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (not set)" in caught.value.message()
    assert "profile 'ops' of /none (no such file)" in caught.value.message()
    assert "169.254" not in caught.value.message() + caught.value.remedy()
