"""An HTTP endpoint as labeller: each image goes there as a PNG, probabilities come back as JSON.

The answer is an object of class names and probabilities, such an object under `probabilities`, or a
list of probabilities in the order of the classes.
"""

import io
import json
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

from tinyrefinery.auto_label.labellers import distinct, pooled
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.pages.overlays import as_image

MOST_ANSWER = 1 << 20  # bytes
AT_ONCE = 4
_AGAIN = (429, 500, 502, 503, 504)
_OVER = 1e-3  # that a sum may be above one


class _NoRedirect(HTTPRedirectHandler):
    """Pictures go where the person said, and nowhere else."""

    def redirect_request(self, *args: Any, **more: Any) -> None:
        """None: the redirection is an error."""


@dataclass(frozen=True)
class EndpointLabeller:
    """Asks an address about one image at a time, a few at once."""

    url: str
    outputs: tuple[str, ...]
    channels: int = 3
    size: tuple[int, int] = (224, 224)
    """Only for what people are shown; the endpoint gets whole images."""
    timeout: float = 30.0
    """Seconds that an answer may take."""
    retries: int = 3
    """Further tries after an error that may pass."""
    pause: float = 0.5
    """Seconds before the second try; each further pause is twice as long."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DataError(f"{self.url}: is no http:// or https:// address")

    @property
    def name(self) -> str:
        """The host; the rest of an address may hold a secret."""
        return f"http:{urlsplit(self.url).hostname}"

    @property
    def classes(self) -> tuple[str, ...]:
        """K names."""
        return distinct(self.outputs)

    def __call__(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n, K) float64.

        Raises:
            DataError: when an image gets no answer, or one that isn't understood; it names both.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            work = [pool.submit(self._of_image, dataset, int(row)) for row in rows]
            try:
                found = [each.result() for each in work]
            except BaseException:
                for each in work:
                    each.cancel()
                raise
        probabilities = np.array(found).reshape(len(found), len(self.outputs))
        return pooled(probabilities, self.outputs)

    def _of_image(self, dataset: Dataset, row: int) -> list[float]:
        buffer = io.BytesIO()
        as_image(dataset.images.pixels(row)).save(buffer, "PNG")
        where = f"{self.name}, {dataset.manifest.column('path')[row]}"
        try:
            content = json.loads(self._asked(buffer.getvalue(), where))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: the answer is no JSON ({error})") from error
        return self._understood(content, where)

    def _asked(self, picture: bytes, where: str) -> bytes:
        """The answer's bytes."""
        why = ""
        for turn in range(self.retries + 1):
            if turn:
                time.sleep(self.pause * 2 ** (turn - 1))
            try:
                return self._once(picture, where)
            except HTTPError as error:
                why = f"HTTP {error.code} {error.reason}"
                error.close()
                if error.code not in _AGAIN:
                    raise DataError(f"{where}: {why}") from None
            except (URLError, OSError, HTTPException) as error:
                why = str(getattr(error, "reason", None) or error or type(error).__name__)
        raise DataError(f"{where}: no answer after {self.retries + 1} tries, last: {why}")

    def _once(self, picture: bytes, where: str) -> bytes:
        headers = {"Content-Type": "image/png", "Accept": "application/json"}
        request = Request(self.url, picture, headers, method="POST")
        with build_opener(_NoRedirect).open(request, timeout=self.timeout) as answer:
            content = answer.read(MOST_ANSWER + 1)
        if len(content) > MOST_ANSWER:
            raise DataError(f"{where}: the answer is longer than {MOST_ANSWER:,} bytes")
        return content

    def _understood(self, content: Any, where: str) -> list[float]:
        """Probabilities in the order of the outputs."""
        if isinstance(content, Mapping) and "probabilities" in content:
            content = content["probabilities"]
        if isinstance(content, Mapping):
            if unknown := [str(name) for name in content if name not in self.outputs]:
                raise DataError(
                    f"{where}: speaks of '{unknown[0][:60]}', which is none of "
                    f"{', '.join(self.outputs[:8])}"
                )
            content = [content.get(name, 0.0) for name in self.outputs]
        if not isinstance(content, list) or len(content) != len(self.outputs):
            raise DataError(
                f"{where}: expected {len(self.outputs)} probabilities, or an object of them by "
                f"class; got {str(content)[:80]}"
            )
        numbers = [v if type(v) in (int, float) else float("nan") for v in content]
        if not all(0 <= v <= 1 + _OVER for v in numbers) or sum(numbers) > 1 + _OVER:
            raise DataError(f"{where}: these are no probabilities: {str(content)[:80]}")
        return [float(v) for v in numbers]
