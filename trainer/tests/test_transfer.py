"""What a store may do to a transfer, and what the job says of it."""

import errno
import hashlib
from pathlib import Path

import pytest
from object_server import DENIED, EXPIRED, ObjectServer

from modelwright_trainer import transfer
from modelwright_trainer.errors import JobError
from modelwright_trainer.transfer import Counted, Missing, chunks, fetch, read, upload

DATA = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def one(store: ObjectServer) -> None:
    store.objects["one"] = DATA


def some_times(count: int, what):  # type: ignore[no-untyped-def]
    left = [count]

    def fault(method: str, path: str):  # type: ignore[no-untyped-def]
        left[0] -= 1
        return what if left[0] >= 0 else None

    return fault


@pytest.mark.parametrize("what", ["drop", "cut", (503, b"SlowDown"), (500, b""), (429, b""), (400, b"<Code>RequestTimeout</Code>")])
def test_short_troubles_are_ridden_through(store: ObjectServer, tmp_path: Path, what) -> None:  # type: ignore[no-untyped-def]
    store.fault = some_times(3, what)
    assert fetch(store.url("one"), hashlib.sha256(DATA).hexdigest()) == DATA
    if what != "cut":
        store.fault = some_times(3, what)
        (tmp_path / "file").write_bytes(DATA)
        upload(store.url("two"), tmp_path / "file")
        assert store.objects["two"] == DATA


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("drop", "the store does not answer"),
        ((503, b""), "the store answers 503"),
        ((403, EXPIRED), "its address has expired"),
        ((403, b"<Code>ExpiredToken</Code>"), "its address has expired"),
        ((403, b"<Code>SignatureDoesNotMatch</Code>"), "its address is not valid"),
        ((403, DENIED), "does not allow it"),
        ((404, b""), "404"),
        ((400, b""), "status 400"),
    ],
)
def test_what_lasts_is_a_sentence_of_class_storage(store: ObjectServer, tmp_path: Path, what, says: str) -> None:  # type: ignore[no-untyped-def]
    store.fault = lambda method, path: what
    (tmp_path / "file").write_bytes(DATA)
    for work in (lambda: fetch(store.url("one"), "0"), lambda: upload(store.url("two"), tmp_path / "file")):
        store.asked.clear()
        with pytest.raises(JobError) as caught:
            work()
        assert caught.value.kind == "storage" and says in caught.value.message
        assert "http" not in caught.value.message
        # The same address is asked again only where that can help.
        assert len(store.asked) == (transfer.ATTEMPTS if what in ("drop", (503, b"")) else 1)


def test_the_other_site_is_asked_where_one_is_away_lacks_the_object_or_has_it_wrong(store: ObjectServer, tmp_path: Path) -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    away = "http://127.0.0.1:9/one"
    store.objects["wrong"] = b"wrong"
    for first in (away, store.url("none"), store.url("wrong")):
        assert fetch((first, store.url("one")), digest) == DATA
        assert fetch((store.url("one"), first), digest) == DATA
    with pytest.raises(JobError, match="does not have the SHA-256"):
        fetch((store.url("wrong"), store.url("wrong")), digest)
    (tmp_path / "file").write_bytes(DATA)
    upload((away, store.url("two")), tmp_path / "file")
    assert store.objects["two"] == DATA


def test_what_is_not_there_is_told_from_what_is_refused(store: ObjectServer) -> None:
    with pytest.raises(Missing):
        read(store.url("none"), lambda body: body.read())
    store.fault = lambda method, path: (403, DENIED)
    with pytest.raises(Missing):
        read(store.url("one"), lambda body: body.read())
    store.fault = lambda method, path: (403, EXPIRED)
    with pytest.raises(JobError) as caught:
        read(store.url("one"), lambda body: body.read())
    assert not isinstance(caught.value, Missing)


def test_a_full_disk_is_not_taken_for_the_store(store: ObjectServer) -> None:
    def full(body: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        read(store.url("one"), full)
    assert store.asked == ["GET one"]


def test_a_body_longer_than_told_is_refused(store: ObjectServer) -> None:
    with pytest.raises(JobError, match="longer"):
        read(store.url("one"), lambda body: b"".join(chunks(Counted(body, len(DATA) - 1, "it"))))


def test_no_attempt_begins_after_the_patience(store: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "FIRST_WAIT_S", 10.0)
    store.fault = lambda method, path: (503, b"")
    (tmp_path / "file").write_bytes(DATA)
    with pytest.raises(JobError, match="503"):
        upload(store.url("two"), tmp_path / "file", patience_s=5.0)
    assert len(store.asked) == 1


def test_an_address_that_was_signed_with_headers_is_sent_with_them(store: ObjectServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    signed = "two?X-Amz-SignedHeaders=host%3Bx-amz-storage-class&x-amz-storage-class=COLD%20ONE&x-id=PutObject"
    upload(store.url(signed), tmp_path / "file")
    assert store.headers["x-amz-storage-class"] == "COLD ONE"
    assert store.headers["Host"] == store.url("").split("/")[2]
    upload(store.url("three?X-Amz-SignedHeaders=host&x-amz-storage-class=COLD"), tmp_path / "file")
    assert "x-amz-storage-class" not in store.headers
