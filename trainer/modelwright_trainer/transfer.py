"""Reads and writes objects by presigned address. Nothing else of the store is known here, and no credentials."""

import errno
import hashlib
import http.client
import io
import math
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, TypeVar

from .errors import JobError

ATTEMPTS = 6
FIRST_WAIT_S = 0.5
TIMEOUT_S = 60.0
CHUNK_BYTES = 1024 * 1024
#: A store's explanation of a refusal is read so far.
REFUSAL_BYTES = 4096
#: What the own disk says, not the store: another attempt is of no use.
OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}

T = TypeVar("T")
#: Of an object, or of the same object on several sites of the store: tried in turn.
Address = str | Sequence[str]
#: Raises what ends the job; called between pieces of a transfer.
Check = Callable[[], None]


class Missing(JobError):
    """The store has no such object, or does not say so to this address."""

    def __init__(self, what: str, why: str = "failed (404): the store has none there") -> None:
        super().__init__("storage", f"{what} an object {why}")


def sites(address: Address) -> tuple[str, ...]:
    return (address,) if isinstance(address, str) else tuple(address)


def fetch(address: Address, sha256: str) -> bytes:
    """The object's bytes, which have the SHA-256 asked for, from whichever site has them right."""
    urls = sites(address)
    for at in range(len(urls)):
        try:
            data = read(urls[at:] + urls[:at], lambda body: body.read())
        except Missing:
            if at + 1 == len(urls):
                raise
            continue
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
    raise JobError("storage", "an object of the dataset does not have the SHA-256 of its manifest")


def read(address: Address, use: Callable[[IO[bytes]], T], check: Check = lambda: None) -> T:
    """What `use` makes of the object's bytes; it begins again when they break off. Raises Missing where there is no object."""

    def get(url: str) -> T:
        check()
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            return use(response)

    return _retried("reading", sites(address), get)


def chunks(body: "IO[bytes] | Counted", check: Check = lambda: None) -> Iterable[bytes]:
    while data := body.read(CHUNK_BYTES):
        check()
        yield data


def upload(address: Address, path: Path, *, patience_s: float = math.inf, check: Check = lambda: None) -> None:
    """No attempt begins after `patience_s`. The file may be removed meanwhile."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size

        def body() -> Iterable[bytes]:
            file.seek(0)
            return chunks(file, check)

        send(address, body, size, patience_s=patience_s)


def send(address: Address, body: Callable[[], Iterable[bytes]], size: int, *, patience_s: float = math.inf) -> None:
    """Writes `size` bytes that each attempt asks for anew."""
    urls = sites(address)
    if urls[0].startswith("file:"):
        Path(urllib.request.url2pathname(urls[0].removeprefix("file://"))).write_bytes(b"".join(body()))
        return

    def put(url: str) -> None:
        request = urllib.request.Request(url, data=body(), method="PUT")
        request.add_header("Content-Length", str(size))
        request.add_header("Content-Type", "application/octet-stream")
        for name, value in signed_with(url).items():
            request.add_header(name, value)
        with urllib.request.urlopen(request, timeout=min(TIMEOUT_S, max(1.0, patience_s))) as response:
            response.read()

    _retried("writing", urls, put, patience_s)


def signed_with(url: str) -> dict[str, str]:
    """Headers without which the store refuses the address: those that it was signed with and whose values it has as parameters."""
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    return {name: query[name] for name in query.get("X-Amz-SignedHeaders", "").split(";") if name in query}


def _retried(what: str, urls: Sequence[str], work: Callable[[str], T], patience_s: float = math.inf) -> T:
    wait, ends = FIRST_WAIT_S, time.monotonic() + patience_s
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work(urls[(attempt - 1) % len(urls)])
        except urllib.error.HTTPError as error:
            cause, problem = error, _problem_of(what, error)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, FileNotFoundError):
                raise Missing(what) from error
            if getattr(reason, "errno", None) in OF_THE_DISK:
                raise
            cause, problem = error, f"the store does not answer ({type(error).__name__})"
        if attempt == ATTEMPTS or time.monotonic() + wait > ends:
            raise JobError("storage", f"{what} an object failed: {problem}") from cause
        time.sleep(wait)
        wait *= 2
    raise AssertionError("not reached")


def _problem_of(what: str, error: urllib.error.HTTPError) -> str:
    """In words; raises where the same address again is of no use."""
    try:
        said = error.read(REFUSAL_BYTES)
    except (OSError, http.client.HTTPException):
        said = b""
    if error.code >= 500 or error.code in (408, 429) or b"RequestTimeout" in said:
        return f"the store answers {error.code}"
    if error.code == 404:
        raise Missing(what) from error
    if error.code == 403:
        if b"expired" in said.lower():
            raise JobError("storage", f"{what} an object was refused (403): its address has expired") from error
        # Where an address may not list, a store says "denied" of what is not there.
        if b"AccessDenied" in said:
            raise Missing(what, "was refused (403): its address does not allow it, or there is no such object") from error
        raise JobError("storage", f"{what} an object was refused (403): its address is not valid") from error
    raise JobError("storage", f"{what} an object failed with status {error.code}") from error


def counted(body: IO[bytes], name: str) -> "Counted":
    """By what the store says of its size."""
    size = body.headers.get("Content-Length")  # type: ignore[attr-defined]
    if size is None:
        raise JobError("storage", f"the store does not say how long {name} is")
    return Counted(body, int(size), name)


class Counted(io.RawIOBase):
    """A body that must have so many bytes: one that breaks off is not taken for the whole, one that goes on is not read for ever."""

    def __init__(self, body: IO[bytes], size: int, name: str) -> None:
        super().__init__()
        self.body, self.left, self.name = body, size, name

    def readable(self) -> bool:
        return True

    def readinto(self, into) -> int:  # type: ignore[no-untyped-def]
        data = self.body.read(min(len(into), self.left + 1))
        if len(data) > self.left:
            raise JobError("storage", f"{self.name} is longer in the store than its description says")
        if not data and self.left:
            raise ConnectionError("the body broke off")
        into[: len(data)] = data
        self.left -= len(data)
        return len(data)
