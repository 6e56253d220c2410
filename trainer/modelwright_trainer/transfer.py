"""Reads and writes objects by presigned address. Nothing else of the store is known here, and no credentials."""

import hashlib
import time
import urllib.error
import urllib.request
from pathlib import Path

from .errors import JobError

ATTEMPTS = 6
FIRST_WAIT_S = 0.5
TIMEOUT_S = 60


def fetch(url: str, sha256: str) -> bytes:
    """The object's bytes, which have the SHA-256 asked for."""
    data = _retried("reading", lambda: _request(urllib.request.Request(url)))
    if hashlib.sha256(data).hexdigest() != sha256:
        raise JobError("storage", "an object of the dataset does not have the SHA-256 of its manifest")
    return data


def upload(url: str, path: Path) -> None:
    if url.startswith("file:"):
        Path(urllib.request.url2pathname(url.removeprefix("file://"))).write_bytes(path.read_bytes())
        return

    def put() -> bytes:
        with open(path, "rb") as body:
            request = urllib.request.Request(url, data=body, method="PUT")
            request.add_header("Content-Length", str(path.stat().st_size))
            request.add_header("Content-Type", "application/octet-stream")
            return _request(request)

    _retried("writing", put)


def _request(request: urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        return bytes(response.read())


def _retried(what: str, work) -> bytes:  # type: ignore[no-untyped-def]
    wait = FIRST_WAIT_S
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return bytes(work())
        except urllib.error.HTTPError as error:
            # The address has run out or is refused: the same address again is of no use.
            if error.code < 500 and error.code != 429 or attempt == ATTEMPTS:
                raise JobError("storage", f"{what} an object failed with status {error.code}") from error
        except (urllib.error.URLError, OSError) as error:
            if attempt == ATTEMPTS:
                raise JobError("storage", f"{what} an object failed: the store does not answer ({type(error).__name__})") from error
        time.sleep(wait)
        wait *= 2
    raise AssertionError("not reached")
