"""S3 and what speaks like it, Azure and Google, through obstore.

Uploads are streamed as multiparts, which are visible only once they are complete; a source that raises aborts them.
A request is never longer than a part, so one time-out serves slow lines and fast ones.
"""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions as foreign

from tscm_migrate.errors import ObjectExists, ObjectMissing, StoreDenied, StoreError, StoreUnavailable
from tscm_migrate.offsite.stores.base import CHUNK, Caps, Stat, Unfinished, check_key

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from obstore.store import ClientConfig, ObjectStore, RetryConfig

    from tscm_migrate.offsite.stores.multiparts import Multiparts

_PART = 8 << 20  # bytes; with 10,000 parts at most, what is larger than 80 GB gets larger parts
_MAX_PARTS = 9_000
_PARALLEL = 4  # parts on their way at once
_SLICE = 16 << 20  # bytes of one ranged read

CLIENT: ClientConfig = {"connect_timeout": timedelta(seconds=15), "timeout": timedelta(seconds=180)}
RETRY: RetryConfig = {"max_retries": 6, "retry_timeout": timedelta(seconds=90)}


class Objects:
    """One bucket (container) and a prefix in it."""

    def __init__(self, inner: ObjectStore, url: str, multiparts: Multiparts | None = None) -> None:
        """Wrap an obstore store whose prefix is set already; `multiparts` can list and abort killed uploads."""
        self._inner = inner
        self._multiparts = multiparts
        self.url = url
        self.caps = Caps(conditional=True, exclusive_upload=False, sweeps=multiparts is not None)

    def upload(self, key: str, chunks: Iterable[bytes], *, size_hint: int = 0) -> int:
        """See `Store.upload`."""
        self._refuse_taken(key)
        counted = _Counted(chunks)
        part = max(_PART, size_hint // _MAX_PARTS + 1)
        with self._translated(key, counted):
            _interruptible(
                lambda: obstore.put(
                    self._inner, key, counted, use_multipart=True, chunk_size=part, max_concurrency=_PARALLEL
                ),
                counted.stop,
            )
        return counted.size

    def create(self, key: str, body: bytes) -> None:
        """See `Store.create`; looks first, too, since some servers ignore the condition."""
        self._refuse_taken(key)
        with self._translated(key):
            obstore.put(self._inner, key, body, mode="create", use_multipart=False)

    def read(self, key: str) -> Generator[bytes, None, None]:
        """See `Store.read`: slices, the next one fetched while this one is used."""
        with self._translated(check_key(key)):
            meta = obstore.head(self._inner, key)
        size, tag = meta["size"], meta["e_tag"]
        if size <= _SLICE:
            yield from self._whole(key)
            return
        starts = iter(range(0, size, _SLICE))
        with ThreadPoolExecutor(1, thread_name_prefix="store-read") as ahead:
            pending: Future[bytes] | None = ahead.submit(self._slice, key, next(starts), size, tag)
            while pending is not None:
                with self._translated(key):
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
        yield from self._whole(key)

    def _whole(self, key: str) -> Generator[bytes, None, None]:
        with self._translated(key):
            for chunk in obstore.get(self._inner, key).stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def _slice(self, key: str, start: int, size: int, tag: str | None) -> bytes:
        end = min(start + _SLICE, size)
        options: Any = {"range": (start, end)} | ({"if_match": tag} if tag else {})
        return obstore.get(self._inner, key, options=options).bytes().to_bytes()

    def stat(self, key: str) -> Stat:
        """See `Store.stat`."""
        with self._translated(check_key(key)):
            meta = obstore.head(self._inner, key)
        return Stat(key, meta["size"], meta["last_modified"])

    def entries(self, prefix: str = "") -> Iterator[Stat]:
        """See `Store.entries`."""
        with self._translated(prefix):
            for batch in obstore.list(self._inner, prefix=check_key(prefix) if prefix else None, chunk_size=1000):
                for meta in batch:
                    yield Stat(meta["path"], meta["size"], meta["last_modified"])

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        with self._translated(check_key(key)):
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
    def _translated(self, key: str, source: _Counted | None = None) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            if source is not None and source.failure is not None:
                raise source.failure from None
            if not isinstance(error, (foreign.BaseError, OSError, ValueError)):
                raise
            raise _ours(error, self.url, key) from error


class _Counted:
    """The source as obstore takes it: counts, remembers what was raised in it, and stops when it is told to."""

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
    """Run `work`, which blocks inside a library, so that Ctrl-C in the main thread still gets through."""
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


def _ours(error: Exception, url: str, key: str) -> StoreError:
    """Say in our words what obstore said; only its first line, without its debug output."""
    said = str(error)
    line = next(iter(said.splitlines()), "").strip()[:300]
    where = {"url": url, "key": key}
    if "NoSuchBucket" in said or "ContainerNotFound" in said:
        return StoreUnavailable(detail="the bucket or container does not exist", fix="make it first", **where)
    if isinstance(error, (foreign.AlreadyExistsError, foreign.PreconditionError)):
        return ObjectExists(detail="already there", **where)
    if isinstance(error, FileNotFoundError):
        return ObjectMissing(detail="not there", **where)
    if isinstance(error, (foreign.PermissionDeniedError, foreign.UnauthenticatedError)):
        return StoreDenied(detail=_reason(said) or "permission denied", **where)
    if any(sign in said for sign in ("HTTP error", "retries", "timed out", "error sending request")):
        return StoreUnavailable(detail=line, fix="try again later; is the endpoint right?", **where)
    return StoreError(detail=_reason(said) or line, **where)


def _reason(said: str) -> str:
    """The code in an S3 or Azure error body, as `AccessDenied`; "" where there is none."""
    found = re.search(r"<Code>([A-Za-z0-9.]{1,60})</Code>", said)
    return found[1] if found else ""
