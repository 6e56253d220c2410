"""The loader against a store that fails in every way that stores do."""

import hashlib
import json
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import modelwright_load
import pytest
import torch
from modelwright_load import LoadError, Part, load_parts


class Store(ThreadingHTTPServer):
    """Shards by path. `fault`: what happens to a request instead, by how many there were: a status, or how many bytes are sent of all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.shards: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.asked_for: list[str] = []
        self.fault: Callable[[int], tuple[str, int] | None] = lambda number: None

    def put(self, tensors: dict[str, torch.Tensor], spoilt: Callable[[bytes], bytes] = lambda data: data) -> tuple[dict, Part]:
        header, data = {}, b""
        for name, tensor in tensors.items():
            raw = bytes(tensor.reshape(-1).view(torch.uint8).numpy())
            header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
        text = json.dumps(header).encode()
        shard = spoilt(struct.pack("<Q", len(text)) + text + data)
        sha256 = hashlib.sha256(shard).hexdigest()
        self.shards[sha256] = shard
        told = {name: {"shard": sha256, "dtype": one["dtype"], "shape": one["shape"]} for name, one in header.items()}
        return told, Part(sha256, len(shard), f"http://127.0.0.1:{self.server_address[1]}/{sha256}?signed=1")


NAMES = {getattr(torch, dtype): name for name, dtype in modelwright_load.DTYPES.items()}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Store

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("range", "all"))
        self.server.asked_for.append(self.path[1:].partition("?")[0])
        fault = self.server.fault(len(self.server.asked))
        if fault and fault[0] == "status":
            self.send_response(fault[1])
            self.send_header("content-length", "0")
            self.end_headers()
            return
        data = self.server.shards[self.path[1:].partition("?")[0]]
        begin = int(self.headers["range"].removeprefix("bytes=").removesuffix("-")) if "range" in self.headers else 0
        self.send_response(206 if begin else 200)
        self.send_header("content-length", str(len(data) - begin))
        self.end_headers()
        self.wfile.write(data[begin : begin + fault[1]] if fault else data[begin:])
        self.close_connection = fault is not None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(modelwright_load, "PAUSE_SECONDS", 0.01)
    with Store() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def some() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {
        "odd": torch.tensor([1, 2, 3], dtype=torch.uint8),
        "weights": torch.randn(300, 500, generator=generator),
        "half": torch.randn(7, generator=generator).to(torch.bfloat16),
        "nothing": torch.empty(0, 4),
        "scalar": torch.tensor(2.5),
    }


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_tensors_are_what_was_stored_whatever_their_kind_and_place(store: Store) -> None:
    first, one = store.put(some())
    second, two = store.put({f"more.{name}": tensor for name, tensor in some().items()})
    _, unused = store.put({"left out": torch.zeros(3)})
    found = load_parts({**first, **second}, [one, two, unused])
    assert same(found, {**some(), **{f"more.{name}": tensor for name, tensor in some().items()}})
    assert len(store.asked) == 2


def test_goes_on_where_a_connection_broke(store: Store) -> None:
    told, part = store.put(some())
    store.fault = lambda number: ("cut", 200_000) if number == 1 else ("status", 503) if number == 2 else None
    assert same(load_parts(told, [part]), some())
    assert store.asked[0] == "all" and store.asked[2].startswith("bytes=") and store.asked[2] != "bytes=0-"


def test_gives_up_and_says_where(store: Store) -> None:
    told, part = store.put(some())
    store.fault = lambda number: ("cut", 1_000)
    with pytest.raises(LoadError, match=f"shard {part.sha256} broke off at byte 4000 of {part.bytes}"):
        load_parts(told, [part])
    store.fault = lambda number: ("status", 403)
    with pytest.raises(LoadError, match="the store answered 403.*the API's key may not read the bucket, or clocks differ"):
        load_parts(told, [part])
    store.fault = lambda number: ("status", 404)
    with pytest.raises(LoadError, match=f"shard {part.sha256} is missing in the store: tell the operator"):
        load_parts(told, [part])


@pytest.mark.parametrize("place", [0, 9, 100, 5_000, -1])
def test_one_wrong_bit_is_found_before_a_tensor_is_used(store: Store, place: int) -> None:
    told, part = store.put(some())
    shard = bytearray(store.shards[part.sha256])
    shard[place] ^= 4
    store.shards[part.sha256] = bytes(shard)
    with pytest.raises(LoadError, match=f"shard {part.sha256} is damaged"):
        load_parts(told, [part])


def test_what_is_shorter_or_longer_than_its_manifest_says_is_refused(store: Store) -> None:
    told, part = store.put(some())
    with pytest.raises(LoadError, match="is longer than"):
        load_parts(told, [Part(part.sha256, part.bytes - 1, part.url)])
    with pytest.raises(LoadError, match="broke off at byte"):
        load_parts(told, [Part(part.sha256, part.bytes + 1, part.url)])


def with_header(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(8)


def tensors_at(*places: tuple[int, int]) -> bytes:
    """Of bytes each."""
    return json.dumps({f"t{i}": {"dtype": "U8", "shape": [max(end - begin, 0)], "data_offsets": [begin, end]} for i, (begin, end) in enumerate(places)}).encode()


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (lambda data: b"\xff" * 8 + data[8:], "no safetensors file: its header would be"),
        (lambda data: data[:4], "no safetensors file"),
        (lambda data: struct.pack("<Q", 100_000_001) + data[8:], "its header would be 100000001 bytes long"),
        (lambda data: b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19" + data, "begins like a Python pickle"),
        (lambda data: b"PK\x03\x04" + data, "begins like a zip file, as PyTorch"),
        (lambda data: b"GGUF" + data, "begins like a GGUF file"),
        (lambda data: data[:8] + b"}" + data[9:], "its header is not JSON"),
        (lambda data: with_header(b"[" * 90_000 + b"]" * 90_000), "its header is not JSON"),
        (lambda data: with_header(b"[]"), "its header is not an object"),
        (lambda data: with_header(b"{\"a\":1,\"a\":2}"), "its header names a twice"),
        (lambda data: with_header(b"{\"a\":7}"), "has no type, shape and offsets"),
        (lambda data: with_header(tensors_at((0, 6), (4, 8))), "tensor t1 of shard [0-9a-f]{64} starts at 4, the one before ends at 6"),
        (lambda data: with_header(tensors_at((0, 2), (4, 8))), "tensor t1 of shard [0-9a-f]{64} starts at 4, the one before ends at 2"),
        (lambda data: with_header(tensors_at((0, 4))), "has 8 bytes of tensors, its header describes 4"),
        (lambda data: with_header(tensors_at((0, 9))), "is not what lies at 0 to 9"),
        (lambda data: with_header(tensors_at((8, 0))), "is not what lies at 8 to 0"),
        (lambda data: with_header(b"{\"a\":{\"dtype\":\"U8\",\"shape\":[-1,-8],\"data_offsets\":[0,8]}}"), "is not what lies at 0 to 8"),
        (lambda data: data.replace(b'"shape": [300, 500]', b'"shape": [900, 500]'), "is not what lies at"),
        (lambda data: data.replace(b'"F32"', b'"F99"', 1), "is not what lies at"),
    ],
)
def test_what_is_no_safetensors_file_is_refused(store: Store, spoilt: Callable[[bytes], bytes], said: str) -> None:
    told, part = store.put(some(), spoilt)
    with pytest.raises(LoadError, match=said):
        load_parts(told, [part])


def test_a_manifest_that_says_otherwise_is_refused(store: Store) -> None:
    told, part = store.put(some())
    with pytest.raises(LoadError, match="the manifest says"):
        load_parts({"weights": {**told["weights"], "shape": [500, 300]}}, [part])
    with pytest.raises(LoadError, match="does not hold tensor other"):
        load_parts({"other": told["weights"]}, [part])
