"""An HTTP endpoint as labeler: it gets each image as a PNG and returns probabilities as JSON.

The response is an object of class names and probabilities, such an object under `probabilities`, or
a list of probabilities in the order of the classes.
"""

import io
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import numpy as np

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.pages.overlays import as_image
from tinyrefinery.prediction.outputs import distinct, pooled
from tinyrefinery.reading.json_text import parse_json

MOST_RESPONSE = 1 << 20  # bytes
PARALLEL = 4  # requests at a time
_RETRY_STATUS = (429, 500, 502, 503, 504)
_TOLERANCE = 1e-3  # by which a sum may exceed one


class _NoRedirect(HTTPRedirectHandler):
    """Refuses redirects: images are sent to the given address only."""

    def redirect_request(self, *args: Any, **more: Any) -> None:
        """Return None, which makes the redirect an error."""


@dataclass(frozen=True)
class EndpointLabeler:
    """Labels images through an HTTP endpoint, one image per request, a few requests in parallel."""

    url: str
    outputs: tuple[str, ...]
    channels: int = 3
    size: tuple[int, int] = (224, 224)
    """Only for display in reviews. The endpoint gets whole images."""
    timeout: float = 30.0
    """Seconds to wait for a response."""
    retries: int = 3
    """Further attempts after a temporary error."""
    pause: float = 0.5
    """Seconds before the second attempt. Each further pause is twice as long."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DataError(f"{self.url}: not an http:// or https:// address")

    @property
    def name(self) -> str:
        """The host only, as the rest of the address may contain a secret."""
        return f"http:{urlsplit(self.url).hostname}"

    @property
    def classes(self) -> tuple[str, ...]:
        """K names."""
        return distinct(self.outputs)

    def __call__(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """Request probabilities (n, K) float64.

        Raises:
            DataError: when a response is missing or invalid. The message names the image.
        """
        with ThreadPoolExecutor(PARALLEL) as pool:
            futures = [pool.submit(self._label_image, dataset, int(row)) for row in rows]
            try:
                results = [future.result() for future in futures]
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
        probabilities = np.array(results).reshape(len(results), len(self.outputs))
        return pooled(probabilities, self.outputs)

    def _label_image(self, dataset: Dataset, row: int) -> list[float]:
        buffer = io.BytesIO()
        as_image(dataset.images.pixels(row)).save(buffer, "PNG")
        where = f"{self.name}, {dataset.manifest.column('path')[row]}"
        response = self._request(buffer.getvalue(), where)
        return self._parse(parse_json(response, f"{where}: the response"), where)

    def _request(self, picture: bytes, where: str) -> bytes:
        """The response's bytes, after retries if needed."""
        why = ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return self._request_once(picture, where)
            except HTTPError as error:
                why = f"HTTP {error.code} {error.reason}"
                error.close()
                if error.code not in _RETRY_STATUS:
                    raise DataError(f"{where}: {why}") from None
            except (URLError, OSError, HTTPException) as error:
                why = str(getattr(error, "reason", None) or error or type(error).__name__)
        raise DataError(f"{where}: no response after {self.retries + 1} attempts, last: {why}")

    def _request_once(self, picture: bytes, where: str) -> bytes:
        headers = {"Content-Type": "image/png", "Accept": "application/json"}
        request = Request(self.url, picture, headers, method="POST")
        with build_opener(_NoRedirect).open(request, timeout=self.timeout) as response:
            content = response.read(MOST_RESPONSE + 1)
        if len(content) > MOST_RESPONSE:
            raise DataError(f"{where}: the response is longer than {MOST_RESPONSE:,} bytes")
        return content

    def _parse(self, content: Any, where: str) -> list[float]:
        """Probabilities in the order of the outputs."""
        if isinstance(content, Mapping) and "probabilities" in content:
            content = content["probabilities"]
        if isinstance(content, Mapping):
            if unknown := [str(name) for name in content if name not in self.outputs]:
                raise DataError(
                    f"{where}: the response has an unknown class '{unknown[0][:60]}'. The classes "
                    f"are {', '.join(self.outputs[:8])}"
                )
            content = [content.get(name, 0.0) for name in self.outputs]
        if not isinstance(content, list) or len(content) != len(self.outputs):
            raise DataError(
                f"{where}: expected {len(self.outputs)} probabilities, as a list or an object by "
                f"class, but got {str(content)[:80]}"
            )
        numbers = [v if type(v) in (int, float) else float("nan") for v in content]
        if not all(0 <= v <= 1 + _TOLERANCE for v in numbers) or sum(numbers) > 1 + _TOLERANCE:
            raise DataError(f"{where}: the response has no probabilities: {str(content)[:80]}")
        return [float(v) for v in numbers]
