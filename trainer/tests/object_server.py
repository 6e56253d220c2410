"""A store over HTTP for tests: objects by path, and faults on request."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


class ObjectServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        #: "METHOD /path" of every request that was answered or not.
        self.asked: list[str] = []
        #: Those of the last PUT.
        self.headers: Mapping[str, str] = {}
        #: (method, path) -> what happens instead: (status, body), "drop" or "cut"; None is the usual.
        self.fault: Callable[[str, str], tuple[int, bytes] | str | None] = lambda method, path: None
        #: Called with the path after an object is there.
        self.written: Callable[[str], None] = lambda path: None

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no error."""


class Handler(BaseHTTPRequestHandler):
    server: ObjectServer

    def do_GET(self) -> None:
        path = self.path.removeprefix("/")
        self.server.asked.append(f"GET {path}")
        fault = self.server.fault("GET", path)
        if self._failed(fault):
            return
        data = self.server.objects.get(path)
        if data is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._answer(200, data, cut=fault == "cut")

    def do_PUT(self) -> None:
        path = self.path.removeprefix("/")
        self.server.asked.append(f"PUT {path}")
        self.server.headers = self.headers
        size = int(self.headers["Content-Length"])
        data = self.rfile.read(size)
        if self._failed(self.server.fault("PUT", path)):
            return
        if len(data) == size:
            self.server.objects[path] = data
            self.server.written(path)
            self._answer(200, b"")

    def _failed(self, fault: tuple[int, bytes] | str | None) -> bool:
        if fault == "drop":
            self.close_connection = True
        elif isinstance(fault, tuple):
            self._answer(*fault)
        return fault == "drop" or isinstance(fault, tuple)

    def _answer(self, status: int, data: bytes, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = self.close_connection or cut

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    server = ObjectServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
