"""Figures and pixels as parts of one page: SVG that follows its theme, images as data."""

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
    """A figure as an `<svg>` element for a page that defines the custom properties of `_THEME`.

    Args:
        figure: drawn with colors of `plots`.
        title: tells the element's ids from those of other figures on the page, and is read out by
            screen readers.
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
    """PNG of uint8 pixels (H, W, 1 or 3) as a data: address."""
    buffer = io.BytesIO()
    as_image(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode()


SIDE = 96
"""Longest side in pixels; larger pictures are shrunk to it."""


EXACT = 3200
"""Numbers (pixels times channels) up to which a picture is kept exactly, as 32 x 32 RGB is."""


QUALITY = 75
"""Of larger ones: 500 photographs, each also as a network sees it at 96 pixels, take 2.5 MB."""


def thumbnail(pixels: np.ndarray, side: int = SIDE) -> str:
    """uint8 pixels (H, W, 1, 3 or 4) as a data: address; never enlarged.

    WebP, lossless for tiny pictures; PNG and JPEG where Pillow was built without it.
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
