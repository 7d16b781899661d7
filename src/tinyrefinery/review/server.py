"""The server of the review page, for one person at this machine.

It listens on the loopback interface only. But other programs and any web page open in a browser
can reach that too. So a request must contain the token of the printed address, the right host
(which excludes foreign names that resolve to 127.0.0.1), and no foreign origin. Addresses are
matched against a fixed list and images are requested by number, so no path of a request ever
reaches the file system.
"""

import json
import re
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from typing import Any

from tinyrefinery.errors import DataError, RefineryError, StorageError
from tinyrefinery.reading.json_text import parse_json
from tinyrefinery.review.page import content_policy, live_page
from tinyrefinery.review.queue_pictures import Pictures
from tinyrefinery.review.reviewing import Review

HOST = "127.0.0.1"
MOST_BODY = 4096
"""Bytes of a request's body. A decision has about 100."""
SILENCE = 30
"""Seconds after which a silent connection is closed."""
_ADDRESS = re.compile(r"/([A-Za-z0-9_-]{1,86})/(|state|decide|undo|image/(\d{1,7})/(seen|source))")
_CHANGES = ("decide", "undo")


class ReviewServer(ThreadingHTTPServer):
    """A server for one review, to open at `url`."""

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, review: Review, pictures: Pictures, port: int = 0) -> None:
        """Bind to a port.

        Args:
            review: the review.
            pictures: pictures of its queue.
            port: port number; 0 for any free one.

        Raises:
            StorageError: when the port is not available.
        """
        self.review, self.pictures, self.token = review, pictures, token_urlsafe(32)
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise StorageError(f"port {port} is not available ({error}): try --port 0") from error

    @property
    def url(self) -> str:
        """Address of the page, with the token."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Host headers that are accepted."""
        return f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections."""


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """Handles one connection."""

    server: ReviewServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "TinyRefinery", ""
    timeout = SILENCE

    def do_GET(self) -> None:
        """Serve the page, its state, and pictures."""
        self._handle(changes=False)

    def do_POST(self) -> None:
        """Record or undo a decision."""
        self._handle(changes=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the token must not get into logs."""

    def _handle(self, *, changes: bool) -> None:
        try:
            kind, body, keep = self._answer(changes=changes)
        except _RefusedError as error:
            self._refuse(error.status, str(error))
        except DataError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except (RefineryError, OSError) as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        else:
            self._send(HTTPStatus.OK, kind, body, keep=keep)

    def _answer(self, *, changes: bool) -> tuple[str, bytes, bool]:
        """MIME type, bytes, and whether the browser may cache them."""
        self._check_origin(changes=changes)
        match = _ADDRESS.fullmatch(self.path)
        if match is None or not compare_digest(match[1], self.server.token):
            raise _RefusedError(
                HTTPStatus.NOT_FOUND, "not found: open the address that the command printed"
            )
        name, review = match[2], self.server.review
        if changes != (name in _CHANGES):
            raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "wrong method")
        if name == "":
            return "text/html; charset=utf-8", live_page().encode(), False
        if name == "state":
            return _json(review.state())
        if match[3] is not None:
            return self._picture(int(match[3]), match[4])
        content = self._body()
        return _json(review.decide(content) if name == "decide" else review.undo())

    def _picture(self, number: int, kind: str) -> tuple[str, bytes, bool]:
        tasks = self.server.review.tasks
        if number >= len(tasks):
            raise _RefusedError(HTTPStatus.NOT_FOUND, "no such image")
        return *self.server.pictures.encoded(tasks[number].item.uid, kind), True

    def _check_origin(self, *, changes: bool) -> None:
        """Refuse requests that are not from the page itself."""
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0] not in self.server.hosts:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "wrong host")
        origins = self.headers.get_all("Origin") or []
        if any(origin != f"http://{hosts[0]}" for origin in origins) or (changes and not origins):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "wrong origin")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "wrong site")

    def _body(self) -> Any:
        """The request's body, parsed from JSON."""
        if self.headers.get_content_type() != "application/json":
            raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected JSON")
        length = self.headers.get_all("Content-Length") or []
        if len(length) != 1 or not re.fullmatch(r"\d{1,9}", length[0]):
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "expected one Content-Length")
        if self.headers.get("Transfer-Encoding") is not None:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "Transfer-Encoding is not supported")
        if int(length[0]) > MOST_BODY:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request too large")
        content = self.rfile.read(int(length[0]))
        if len(content) < int(length[0]):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "incomplete request")
        try:
            return parse_json(content, "request")
        except DataError:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "not JSON") from None

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True  # the rest of the request is not read
        self._send(status, "application/json", json.dumps({"error": why}).encode(), keep=False)

    def _send(self, status: HTTPStatus, kind: str, body: bytes, *, keep: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "private, max-age=3600" if keep else "no-store")
        self.send_header("Content-Security-Policy", content_policy())
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _json(content: Any) -> tuple[str, bytes, bool]:
    return "application/json", json.dumps(content, ensure_ascii=False).encode(), False
