"""A network behind an HTTP endpoint: pictures are posted to it, probabilities come back.

The protocol is two requests to one URL:

- GET answers with JSON: `{"classes": ["cat", "dog"], "size": [224, 224], "channels": 3,
  "version": "any text", "batch": 64}`. `size` is height and width in pixels. `version` changes with
  the weights. `channels` (3) and `batch`, the most pictures per request (64), may be left out.
- POST sends JSON: `{"images": ["...", ...]}`, each a PNG in base64, of that size, gray or RGB. The
  answer is JSON: `{"probabilities": [[0.9, 0.1], ...]}`, one row per picture, each summing to one.
"""

import base64
import json
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from tinyrefinery.errors import CheckpointError
from tinyrefinery.models.network_file import NetworkInfo
from tinyrefinery.reading.json_text import parse_json_object

HTTP = ("http://", "https://")
SECONDS = 60.0  # that one request may take; our choice
WAITS = (0.5, 1.0, 2.0)  # seconds before each further try; our choice
_AGAIN = (429, 500, 502, 503, 504)  # answers of a server that may recover
_MOST_BYTES = 1 << 28  # of an answer
_TOLERANCE = 1e-3  # of the sum of a row
_BATCH = 64
_LOCAL = ("localhost", "127.0.0.1", "::1")


def is_endpoint(word: str) -> bool:
    """Whether a word names an HTTP endpoint."""
    return word.startswith(HTTP)


def read_endpoint(url: str) -> NetworkInfo:
    """What an endpoint tells of its network. Its normalization is its own: it takes pixels.

    Raises:
        CheckpointError: when it doesn't answer, or not as the protocol says.
    """
    facts = _json(url, None)
    classes: Any = facts.get("classes")
    size: Any = facts.get("size")
    version, channels = facts.get("version"), facts.get("channels", 3)
    batch = facts.get("batch", _BATCH)
    wrong = [
        name
        for name, is_right in {
            "classes": _is_list(classes, str) and len(classes) > 1,
            "size": _is_list(size, int) and len(size) == 2 and min(size) > 0,
            "version": isinstance(version, str) and bool(version),
            "channels": channels in (1, 3),
            "batch": type(batch) is int and batch > 0,
        }.items()
        if not is_right
    ]
    if wrong:
        raise CheckpointError(
            f"{url}: its answer to GET has no valid {', '.join(wrong)}. It must be JSON such as "
            '{"classes": ["cat", "dog"], "size": [224, 224], "version": "1"}'
        )
    extra = {"version": version, "batch": batch}
    neutral = (0.0,) * channels, (1.0,) * channels
    return NetworkInfo(url, {}, tuple(classes), tuple(size), channels, *neutral, extra)


def endpoint_digest(info: NetworkInfo) -> str:
    """SHA-256 of what an endpoint tells of its network, wherever it is reached."""
    facts = [info.classes, info.size, info.channels, info.extra["version"]]
    return sha256(json.dumps(facts).encode()).hexdigest()


class HttpNetwork(nn.Module):
    """Images (B, C, h, w) in 0 to 1 -> logarithms of probabilities (B, K). It has no gradient."""

    has_gradient = False

    def __init__(self, info: NetworkInfo) -> None:
        """Use the endpoint that `read_endpoint` described."""
        super().__init__()
        self.url, self.info = info.name, info
        self.identity = endpoint_digest(info)

    def forward(self, images: Tensor) -> Tensor:
        """Logarithms of probabilities, (B, K) float32.

        Raises:
            CheckpointError: when the endpoint fails, or its answer is not a distribution.
        """
        pixels = (images.detach().float().cpu() * 255).round().clamp(0, 255).to(torch.uint8)
        pixels = pixels.permute(0, 2, 3, 1).numpy()  # (B, C, h, w) -> (B, h, w, C)
        step = self.info.extra["batch"]
        parts = [self._predict(pixels[i : i + step]) for i in range(0, len(pixels), step)]
        probabilities = torch.from_numpy(np.concatenate(parts)).to(images.device)
        return probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()

    def _predict(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities (b, K) float32 of pictures (b, h, w, C) uint8."""
        answer = _json(self.url, {"images": [_png(picture) for picture in pixels]})
        shape = (len(pixels), len(self.info.classes))
        try:
            found = np.array(answer["probabilities"], np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.url}: its answer to POST has no valid probabilities"
            ) from error
        if found.shape != shape:
            raise CheckpointError(
                f"{self.url}: gives probabilities of shape {found.shape} for {shape[0]} pictures "
                f"and {shape[1]} classes"
            )
        sums = found.sum(axis=1)
        if not ((found >= 0).all() and (np.abs(sums - 1) < _TOLERANCE).all()):  # NaN fails too
            raise CheckpointError(
                f"{self.url}: its answer has wrong probabilities: they must be at least 0, and "
                f"each row must sum to 1 (sums here: {sums.min():.3g} to {sums.max():.3g})"
            )
        return found.astype(np.float32)


def _png(picture: np.ndarray) -> str:
    """A picture (h, w, C) uint8 as PNG in base64."""
    file = BytesIO()
    Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(
        file, "PNG", compress_level=1
    )
    return base64.b64encode(file.getvalue()).decode()


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(type(item) is kind for item in value)


def _json(url: str, content: Mapping[str, Any] | None) -> dict[str, Any]:
    """The answer to a POST of JSON, or to a GET where there is no content."""
    body = None if content is None else json.dumps(content).encode()
    request = Request(url, body, {"Content-Type": "application/json"})
    remedy = "Check that the address is that of a network's endpoint."
    return parse_json_object(_answer(url, request, WAITS), url, remedy, CheckpointError)


def _answer(url: str, request: Request, waits: Sequence[float]) -> bytes:
    """The body of an answer. A server that is busy or out of reach is tried again."""
    opener, reason = _opener(url), ""
    for wait in (*waits, None):
        try:
            with opener.open(request, timeout=SECONDS) as answer:
                return answer.read(_MOST_BYTES)
        except HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code not in _AGAIN:
                break
        except (OSError, ValueError) as error:  # time-outs and lost connections are OSErrors
            reason = str(getattr(error, "reason", None) or error)
        if wait is not None:
            time.sleep(wait)
    raise CheckpointError(
        f"{url}: the endpoint doesn't answer ({reason}). Check that it runs and that the address "
        "is right. Run the same command again to resume"
    )


def _opener(url: str) -> OpenerDirector:
    """What opens a URL: without a proxy where it is this machine's."""
    local = urlsplit(url).hostname in _LOCAL
    return build_opener(*([ProxyHandler({})] if local else []))
