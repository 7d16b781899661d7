"""Figures and pictures embedded in a page: SVG in the page's colors, images as data: URIs."""

import io
import re
from base64 import b64encode
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image, features

from tinyrefinery.pages.overlays import as_image
from tinyrefinery.pages.style import GRID, INK, MUTED, PLAIN, REFINED, STYLE

_THEME = {INK: "ink", MUTED: "muted", GRID: "grid", PLAIN: "plain", REFINED: "refined"}


def inline_svg(figure: Figure, title: str) -> Markup:
    """Convert a figure to an `<svg>` element.

    The page must define the custom properties of `_THEME`.

    Args:
        figure: drawn in the colors of `style`.
        title: unique on the page, as it makes the element's ids unique. Screen readers read it.
    """
    buffer = io.StringIO()
    with rc_context({**STYLE, "svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'id="(figure|subfigure|axes|text|line2d|patch|legend|matplotlib\.axis|xtick|ytick|\w+Collection)_\d+"',
        "",
        text,
    )
    text = re.sub(r'font: ([^"]*?)([\d.]+px) [^";]*', r"font: \1\2 var(--font)", text)
    for hexadecimal, variable in _THEME.items():
        text = text.replace(hexadecimal, f"var(--{variable})")
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    width = 96 * figure.get_figwidth()  # a CSS pixel is 1/96 inch
    style = f'role="img" aria-label="{Markup.escape(title)}" style="max-width:{width:.0f}px"'
    return Markup(text.replace("<svg", f"<svg {style}", 1))


def data_uri(pixels: np.ndarray) -> str:
    """Pixels uint8 (H, W, 1 or 3) as a PNG in a data: URI."""
    buffer = io.BytesIO()
    as_image(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode()


SIDE = 96
"""Longest side in pixels. Larger pictures are downscaled."""
EXACT = 3200
"""Values (pixels times channels) up to which a picture is stored lossless, such as 32x32 RGB."""
QUALITY = 75
"""Quality of larger ones: 500 photographs and their network inputs at 96 pixels take 2.5 MB."""


def thumbnail(pixels: np.ndarray, side: int = SIDE) -> str:
    """Pixels uint8 (H, W, 1, 3 or 4) as a data: URI, downscaled if needed.

    The format is WebP, lossless for tiny pictures, or PNG and JPEG if Pillow was built without it.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    exact = image.width * image.height * len(image.getbands()) <= EXACT
    if features.check("webp"):
        return _encoded(image, "webp", lossless=exact, quality=QUALITY)
    if exact or image.mode == "RGBA":
        return _encoded(image, "png", optimize=True)
    return _encoded(image, "jpeg", quality=QUALITY, optimize=True)


def _encoded(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64," + b64encode(buffer.getvalue()).decode()
