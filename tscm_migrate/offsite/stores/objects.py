"""S3 and compatible stores, Azure and Google, through obstore.

Uploads are streamed as multiparts, which are visible only once they are complete; a source that raises aborts them.
A request is never longer than a part, so one timeout is right for slow and fast lines.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any, TypedDict

import obstore
from obstore import exceptions as foreign

from tscm_migrate.errors import ObjectExists, ObjectMissing, StoreDenied, StoreError, StoreUnavailable
from tscm_migrate.offsite.stores.base import CHUNK, Odd, Stat, Unfinished, check_key, is_key, shown
from tscm_migrate.offsite.stores.multiparts import Multiparts
from tscm_migrate.offsite.stores.refusals import Account, not_a_store, refusal
from tscm_migrate.util.redact import outside

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, ObjectStore, RetryConfig


_PART = 8 << 20  # bytes; with 10,000 parts at most, what is larger than 80 GB gets larger parts
_MAX_PARTS = 9_000
_PARALLEL = 4  # parts that are sent at once
_SLICE = 16 << 20  # bytes of one ranged read

CLIENT: ClientConfig = {"connect_timeout": timedelta(seconds=15), "timeout": timedelta(seconds=180)}
# About 90 seconds for an answer that may become another one; a refusal that lasts is not asked about again.
RETRY: RetryConfig = {
    "max_retries": 30,
    "retry_timeout": timedelta(seconds=90),
    "backoff": {"init_backoff": timedelta(seconds=0.5), "max_backoff": timedelta(seconds=15), "base": 2},
}
_METADATA = ("169.254.169.254", "metadata.google.internal")  # where a machine's role is asked for
_STRANGERS = ("ETag Header missing", "Got invalid", "Last-Modified Header missing", "Content-Length Header missing")


class _Place(TypedDict):
    """Where an error occurred."""

    url: str
    key: str


class Objects:
    """One bucket (container) and a prefix in it."""

    def __init__(
        self, inner: ObjectStore, url: str, multiparts: Multiparts | None = None, account: Account | None = None
    ) -> None:
        """Wrap an obstore store whose prefix is set already; `multiparts` asks what obstore cannot."""
        self._inner = inner
        self._multiparts = multiparts
        self._account = account or Account()
        self.url = url
        self.sweeps = multiparts is not None

    def upload(self, key: str, chunks: Iterable[bytes], *, size_hint: int = 0) -> int:
        """See `Store.upload`."""
        self._refuse_taken(key)
        counted = _Counted(chunks)
        part = max(_PART, size_hint // _MAX_PARTS + 1)
        with self._translated(key, "write", counted):
            _interruptible(
                lambda: obstore.put(
                    self._inner, key, counted, use_multipart=True, chunk_size=part, max_concurrency=_PARALLEL
                ),
                counted.stop,
            )
        return counted.size

    def create(self, key: str, body: bytes) -> None:
        """See `Store.create`; also checks first, because some servers ignore the condition."""
        self._refuse_taken(key)
        with self._translated(key, "write"):
            obstore.put(self._inner, key, body, mode="create", use_multipart=False)

    def read(self, key: str) -> Generator[bytes, None, None]:
        """See `Store.read`: slices, the next one fetched while this one is used."""
        meta = self._head(key, ask=True)
        size, tag = meta["size"], meta["e_tag"]
        if size <= _SLICE:
            yield from self._complete(key)
            return
        starts = iter(range(0, size, _SLICE))
        with ThreadPoolExecutor(1, thread_name_prefix="store-read") as ahead:
            pending: Future[bytes] | None = ahead.submit(self._slice, key, next(starts), size, tag)
            while pending is not None:
                with self._translated(key, "read"):
                    try:
                        body = pending.result()
                    except foreign.GenericError as error:
                        if "non-partial" not in str(error):
                            raise
                        break  # a server without ranges
                start = next(starts, None)
                pending = None if start is None else ahead.submit(self._slice, key, start, size, tag)
                yield body
            else:
                return
        yield from self._complete(key)

    def _complete(self, key: str) -> Generator[bytes, None, None]:
        with self._translated(key, "read"):
            for chunk in obstore.get(self._inner, key).stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def _slice(self, key: str, start: int, size: int, tag: str | None) -> bytes:
        end = min(start + _SLICE, size)
        options: Any = {"range": (start, end)} | ({"if_match": tag} if tag else {})
        body = bytearray()
        for chunk in obstore.get(self._inner, key, options=options).stream(min_chunk_size=CHUNK):
            body += chunk
            if len(body) > end - start:  # `bytes()` would keep whatever the server sends
                detail = f"the server sends more than the {end - start} bytes that were asked for"
                raise StoreError(detail=detail, url=self.url, key=key)
        return bytes(body)

    def stat(self, key: str) -> Stat:
        """See `Store.stat`."""
        meta = self._head(key)
        return Stat(key, meta["size"], meta["last_modified"])

    def _head(self, key: str, *, ask: bool = False) -> ObjectMeta:
        """Return size and time of an object; `ask`: find out whether the object or its bucket is missing."""
        try:
            with self._translated(check_key(key), "look at objects"):
                return obstore.head(self._inner, key)
        except StoreUnavailable:
            raise
        except StoreError as error:
            if self._multiparts is None or (isinstance(error, ObjectMissing) and not ask):
                raise
            status, body = self._multiparts.why(key)  # a HEAD is refused without a word
            if status in {200, 206}:
                raise
            raise refusal(status, body, self._account, url=self.url, key=key, doing="look at objects") from error

    def entries(self, prefix: str = "", *, odd: Odd | None = None) -> Iterator[Stat]:
        """See `Store.entries`."""
        tell = odd or (lambda _key, _why: None)
        if prefix:
            check_key(prefix)
        if self._multiparts is not None:
            yield from self._multiparts.entries(prefix, tell)
            return
        number = 0
        with self._translated(prefix, "list"):
            for batch in obstore.list(self._inner, prefix=prefix or None, chunk_size=1000):
                for meta in batch:
                    number += 1
                    if is_key(meta["path"]):
                        yield Stat(meta["path"], meta["size"], meta["last_modified"])
                    else:
                        tell(shown(meta["path"]), "its name is unknown to this tool")
        if not number:
            self._refuse_other_server()

    def _refuse_other_server(self) -> None:
        """Refuse a server that is not a store: obstore treats its page of HTML as an empty listing."""
        try:
            self._head(f"clock/{secrets.token_hex(16)}")
        except ObjectMissing:
            return
        raise not_a_store(self._account, url=self.url)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        with self._translated(check_key(key), "delete"):
            try:
                obstore.delete(self._inner, key)
            except FileNotFoundError:  # Azure and Google say so; S3 does not
                return

    def unfinished(self) -> list[Unfinished]:
        """See `Store.unfinished`."""
        return self._multiparts.unfinished() if self._multiparts else []

    def abandon(self, item: Unfinished) -> None:
        """See `Store.abandon`."""
        if self._multiparts:
            self._multiparts.abandon(item)

    def close(self) -> None:
        """See `Store.close`: obstore's pool closes by itself."""

    def _refuse_taken(self, key: str) -> None:
        try:
            self.stat(key)
        except ObjectMissing:
            return
        raise ObjectExists(detail="already there", url=self.url, key=key)

    @contextmanager
    def _translated(self, key: str, doing: str, source: _Counted | None = None) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            if source is not None and source.failure is not None:
                raise source.failure from None
            if not isinstance(error, (foreign.BaseError, OSError, ValueError)):
                raise
            raise _ours(error, self._account, {"url": self.url, "key": key}, doing) from error


class _Counted:
    """The source for obstore: counts bytes, keeps an error of the source, and stops on request."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.size = 0
        self.stop = Event()
        self.failure: BaseException | None = None

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> bytes:
        if self.stop.is_set():
            raise InterruptedError("stopped")
        try:
            chunk = next(self._chunks)
        except StopIteration:
            raise
        except BaseException as error:
            self.failure = error
            raise
        self.size += len(chunk)
        return chunk


def _interruptible(work: Callable[[], object], stop: Event) -> None:
    """Run `work`, which blocks inside a library, in a thread, so that Ctrl-C still ends it."""
    with ThreadPoolExecutor(1, thread_name_prefix="store-write") as pool:
        future: Future[object] = pool.submit(work)
        try:
            while True:
                try:
                    future.result(timeout=0.5)
                except NotYet:
                    if future.done():
                        raise
                else:
                    return
        except BaseException:
            stop.set()
            raise


def _ours(error: Exception, account: Account, where: _Place, doing: str) -> StoreError:
    """Translate obstore's errors, by the server's code if there is one."""
    message = str(error).partition("\n\nDebug source")[0]
    if isinstance(error, (foreign.AlreadyExistsError, foreign.PreconditionError)):
        return ObjectExists(detail="already there", **where)
    answer = _answer(error, message)
    if answer is not None:
        return refusal(*answer, account, **where, doing=doing)
    if any(sign in message for sign in _METADATA):
        return StoreDenied(detail="no credentials were found", fix=f"looked for: {account.where}", **where)
    if any(sign in message for sign in _STRANGERS):
        return not_a_store(account, **where)
    line = outside(next(iter(message.splitlines()), ""), 300)
    if any(sign in message for sign in ("HTTP error", "retries", "timed out", "error sending request")):
        also = f"; is the endpoint right? {account.endpoint}" if account.endpoint else ""
        return StoreUnavailable(detail=line, fix=f"run the same command again later{also}", **where)
    return StoreError(detail=line, **where)


def _answer(error: Exception, message: str) -> tuple[int, str] | None:
    """Return status and body of the server's answer from obstore's error; None if it has no answer."""
    if "redirect without LOCATION" in message:
        return 301, "<Code>PermanentRedirect</Code>"
    found = re.search(r"status code: (\d{3})[^:]*:?(.*)", message, re.DOTALL)
    if found or "<Code>" in message:
        return (int(found[1]), found[2]) if found else (0, message)
    if isinstance(error, FileNotFoundError):
        return 404, ""
    return (403, "") if isinstance(error, (foreign.PermissionDeniedError, foreign.UnauthenticatedError)) else None
