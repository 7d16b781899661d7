import io
import json
import os
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection

import numpy as np
import pytest
from PIL import Image

from tests.review.queues import SOURCE, served, small_queue
from tinyrefinery.data.open import open_data
from tinyrefinery.data.overlay.decisions import newest_by_image, read_decisions
from tinyrefinery.review.queue import write_queue


@pytest.fixture
def server(tmp_path):
    with served(tmp_path / "d.jsonl") as server:
        yield server


def asked(server, method, path, body=None, headers=(), *, plain=False):
    """Status and body. Paths without / in front are below the token's."""
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    given = {} if plain else {"Origin": server.url.split("/" + server.token)[0]}
    if body is not None and not plain:
        given["Content-Type"] = "application/json"
    given |= dict(headers)
    whole = path if path.startswith("/") or "://" in path else f"/{server.token}/{path}"
    connection.request(method, whole, body, given)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, dict(answer.getheaders())


OK = json.dumps({"index": 0, "verdict": "ok"})


def untouched(server):
    return not server.review.path.exists()


def test_the_page_its_state_and_its_pictures(server):
    status, page, headers = asked(server, "GET", "")
    assert status == 200
    assert b"http://" not in page
    assert b"https://" not in page
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Python" not in headers["Server"]
    state = json.loads(asked(server, "GET", "state")[1])
    assert len(state["items"]) == 6
    assert "uid" not in state["items"][0]
    kinds = {k: asked(server, "GET", f"image/1/{k}") for k in ("seen", "source")}
    seen, source = (np.asarray(Image.open(io.BytesIO(kinds[k][1]))) for k in ("seen", "source"))
    assert seen.shape == (16, 24)
    data = open_data("street_numbers", **{k: v for k, v in SOURCE.items() if k != "name"})
    assert (source == data.images.pixels(16)[..., 0]).all()


def test_a_decision_is_on_disk_when_it_is_answered(server):
    assert asked(server, "POST", "decide", OK)[0] == 200
    assert [each.verdict for each in read_decisions(server.review.path)] == ["ok"]
    assert asked(server, "POST", "undo", "{}")[0] == 200
    assert newest_by_image(read_decisions(server.review.path)) == {}


def test_without_the_token_nobody_gets_in(server):
    for token in ("", "x", server.token[:-1], server.token + "x", server.token[::-1], "%2e%2e"):
        for path in ("", "state", "image/0/seen"):
            assert asked(server, "GET", f"/{token}/{path}")[0] == 404
        assert asked(server, "POST", f"/{token}/decide", OK)[0] == 404
    assert asked(server, "GET", "/")[0] == 404
    assert untouched(server)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", "", "0.0.0.0:80", "[::1]:80"]
)
def test_another_host_is_refused(server, host):
    for method, path, body in (("GET", "", None), ("GET", "state", None), ("POST", "decide", OK)):
        assert asked(server, method, path, body, {"Host": host})[0] == 403
    assert untouched(server)


def test_two_hosts_are_refused(server):
    right = f"127.0.0.1:{server.server_port}"
    lines = f"GET /{server.token}/state HTTP/1.1\r\nHost: {right}\r\nHost: evil.example\r\n\r\n"
    assert b" 403 " in raw(server, lines.encode())


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
        "file://",
        "",
    ],
)
def test_another_origin_is_refused(server, origin):
    headers = {"Origin": origin.format(port=server.server_port)}
    assert asked(server, "POST", "decide", OK, headers)[0] == 403
    assert asked(server, "GET", "state", None, headers)[0] == 403
    assert untouched(server)


def test_a_change_without_origin_or_from_another_site_is_refused(server):
    kind = {"Content-Type": "application/json"}
    assert asked(server, "POST", "decide", OK, kind, plain=True)[0] == 403
    for site in ("cross-site", "same-site"):
        assert asked(server, "POST", "decide", OK, {"Sec-Fetch-Site": site})[0] == 403
        assert asked(server, "GET", "image/0/seen", None, {"Sec-Fetch-Site": site})[0] == 403
    assert untouched(server)


@pytest.mark.parametrize(
    "path",
    [
        "../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "image/../../../../etc/passwd",
        "image/0/..%2fsource",
        "image/0/source/../../../../etc/passwd",
        "image/%30/source",
        "image/-1/source",
        "image/0x1/source",
        "image/٣/source",
        "image/6/source",
        "image/9999999/source",
        "image/99999999999999999999/source",
        "image//etc/passwd",
        "....//....//etc/passwd",
        "state%00.html",
        "state?x=1",
        "state/",
        "STATE",
        "..\\..\\etc\\passwd",
        "review.js",
        "d.jsonl",
    ],
)
def test_no_address_leads_anywhere_else(server, path):
    encoded = path.encode("utf-8").decode("latin-1")
    lines = (
        f"GET /{server.token}/{encoded} HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.server_port}\r\nConnection: close\r\n\r\n"
    )
    answer = raw(server, lines.encode("latin-1"))
    assert b" 404 " in answer.split(b"\r\n")[0]
    assert b"root:" not in answer


def raw(server, request, *, more=b""):
    """What the server answers to bytes, until it closes or says nothing for a while."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as connection:
        connection.sendall(request + more)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


def head(server, length, *extra):
    lines = [
        f"POST /{server.token}/decide HTTP/1.1",
        f"Host: 127.0.0.1:{server.server_port}",
        f"Origin: http://127.0.0.1:{server.server_port}",
        "Content-Type: application/json",
        *([] if length is None else [f"Content-Length: {length}"]),
        *extra,
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def test_bodies_that_are_too_large_or_lie_are_refused(server):
    assert asked(server, "POST", "decide", "x" * 5000)[0] == 413
    for length, status in (("999999999", b"413"), ("-1", b"411"), ("1e3", b"411"), (None, b"411")):
        assert b" " + status + b" " in raw(server, head(server, length)).split(b"\r\n")[0]
    assert b" 411 " in raw(server, head(server, 2, "Content-Length: 30"), more=b"{}")
    assert b" 400 " in raw(server, head(server, 100), more=OK.encode())
    chunked = head(server, 2, "Transfer-Encoding: chunked")
    assert b" 400 " in raw(server, chunked, more=b"{}")
    smuggled = OK.encode() + b"POST /x HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    answer = raw(server, head(server, 3), more=b"{x}" + smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1  # what follows a refusal is not looked at
    assert untouched(server)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        ("[" * 4000, 400),
        ("\xff\xfe", 400),
        ("null", 400),
        ('{"index": 0}', 400),
        ('{"index": 1e99, "verdict": "ok"}', 400),
        ('{"index": 0, "verdict": "ok", "seconds": NaN}', 400),
        ('{"index": 0, "verdict": "relabel", "label": "../x"}', 400),
        ('{"index": 77, "verdict": "ok"}', 400),
        ('{"index": 0, "verdict": "drop everything"}', 400),
    ],
)
def test_what_is_no_decision_is_refused(server, body, status):
    found = asked(server, "POST", "decide", body.encode("latin-1"))
    assert found[0] == status
    assert "error" in json.loads(found[1])
    assert untouched(server)


def test_forms_and_other_methods_are_refused(server):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert asked(server, "POST", "decide", OK, form)[0] == 415
    assert asked(server, "POST", "decide", OK, {"Content-Type": "text/plain"})[0] == 415
    assert asked(server, "GET", "decide")[0] == 405
    assert asked(server, "POST", "state", "{}")[0] == 405
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"):
        assert asked(server, method, "decide", OK)[0] == 501
    assert untouched(server)


def test_what_is_no_http_ends_quietly(server, capfd):
    for request in (b"\x00\xff\x16\x03\x01" * 100, b"GET " + b"/" * 70000 + b" HTTP/1.1\r\n\r\n"):
        raw(server, request)
    many = b"".join(b"X-%d: y\r\n" % n for n in range(300))
    raw(server, b"GET / HTTP/1.1\r\n" + many + b"\r\n")
    assert asked(server, "GET", "state")[0] == 200
    assert server.token not in "".join(capfd.readouterr())


def test_it_listens_on_the_loopback_only(server):
    assert server.server_address[0] == "127.0.0.1"


def test_a_full_disk_is_told_and_nothing_counts(server, monkeypatch):
    from tinyrefinery.errors import StorageError

    def full(path, decisions):
        raise StorageError("no space")

    monkeypatch.setattr("tinyrefinery.review.reviewing.append_decisions", full)
    status, body, _ = asked(server, "POST", "decide", OK)
    assert (status, json.loads(body)) == (500, {"error": "no space"})
    assert server.review.state()["decided"] == {}


def start(folder):
    """The command itself, in a process of its own."""
    words = [sys.executable, "-m", "tinyrefinery", "review", "queue.jsonl", "--reviewer", "ann"]
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("http://"):
            return process, line.strip()
    raise AssertionError("the command ended")


def test_kill_9_between_decisions_loses_nothing(tmp_path):
    write_queue(tmp_path / "queue.jsonl", small_queue())
    given = []
    for index in range(3):
        process, url = start(tmp_path)
        try:
            host, token = url.removeprefix("http://").rstrip("/").split("/")
            connection = HTTPConnection(host, timeout=20)
            headers = {"Origin": f"http://{host}", "Content-Type": "application/json"}
            connection.request("GET", f"/{token}/state", headers=headers)
            decided = json.loads(connection.getresponse().read())["decided"]
            assert decided == {str(n): "ambiguous" for n in range(index)}
            body = json.dumps({"index": index, "verdict": "ambiguous"})
            connection.request("POST", f"/{token}/decide", body, headers)
            assert connection.getresponse().status == 200
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            connection.close()
        given.append(small_queue().items[index].uid)
        path = tmp_path / "queue.decisions.jsonl"
        assert [each.uid for each in read_decisions(path)] == given
        with path.open("ab") as file:  # and one that was killed in the middle of a line
            file.write(b'{"uid": "sha256:')
