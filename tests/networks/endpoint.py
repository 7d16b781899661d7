"""A local HTTP endpoint as the protocol of `models.http_network` has it, for tests."""

import base64
import io
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

FACTS = {"classes": [str(n) for n in range(10)], "size": [16, 16], "version": "1", "batch": 20}


def by_color(pixels):
    """Probabilities (B, 10) of pictures (B, h, w, 3): a softmax of their mean colors."""
    means = pixels.astype(np.float64).mean((1, 2)) / 255  # (B, 3)
    logits = means @ np.linspace(-4, 4, 30).reshape(3, 10)
    power = np.exp(logits)
    return power / power.sum(1, keepdims=True)


class Endpoint:
    """What a server answers, and what it was asked."""

    def __init__(self, facts=None, predict=by_color):
        self.facts, self.predict = facts or FACTS, predict
        self.failures: list[int] = []
        """Status codes of the next answers, before it answers as it should."""
        self.posts: list[int] = []
        """Number of pictures in each request."""
        self.pictures: list[np.ndarray] = []
        self.url = ""

    def answer(self, body):
        """The JSON of an answer to a POST."""
        texts = json.loads(body)["images"]
        decoded = [np.array(Image.open(io.BytesIO(base64.b64decode(text)))) for text in texts]
        pixels = np.stack(decoded)
        self.posts.append(len(pixels))
        self.pictures.append(pixels)
        return {"probabilities": self.predict(pixels).tolist()}


@contextmanager
def serving(endpoint: Endpoint):
    """Serve on a free port of this machine; `endpoint.url` is where."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self, content):
            if endpoint.failures:
                self.send_error(endpoint.failures.pop(0))
                return
            text = json.dumps(content()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self):
            self.reply(lambda: endpoint.facts)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(lambda: endpoint.answer(body))

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_port}/predict"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
