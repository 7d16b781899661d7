"""Names of the properties of images. Separate from their computation, which imports torch."""

import pyarrow as pa

MEASURES: dict[str, str] = {
    "width": "of the source, in pixels",
    "height": "of the source, in pixels",
    "aspect": "width divided by height",
    "brightness": "mean luma",
    "contrast": "standard deviation of luma",
    "sharpness": "variance of the Laplacian of luma; low: blurred or empty",
    "entropy": "of the luma histogram, in bits, 0 to 8; low: little detail",
    "border": "mean luma of the outermost sixteenth on each side",
    "colorfulness": "Hasler and Süsstrunk (2003), M3; 0: gray",
    "saturation": "mean of (max - min) / max over the channels, 0 to 1",
    "red_green": "mean of red minus green",
    "yellow_blue": "mean of (red + green) / 2 minus blue",
}
"""Property -> description, for all images. Gray datasets lack the last four, which need color."""

COLOR = ("colorfulness", "saturation", "red_green", "yellow_blue")

KINDS: dict[str, pa.DataType] = {
    "bytes": pa.float64(),
    "bytes_per_pixel": pa.float64(),
    "format": pa.string(),
    "transparency": pa.float64(),
    "jpeg_quality": pa.float64(),
    "camera": pa.string(),
}
"""Columns of `file_facts.file_facts`.

`bytes`: size of the file. `bytes_per_pixel`: the size per pixel of the source. `format`: Pillow's
name, e.g. JPEG, PNG. `transparency`: 1 if the file has an alpha channel or a transparent color,
else 0. `jpeg_quality`: libjpeg's quality, 1 to 100, estimated from the luma quantization; null for
other formats. `camera`: maker and model from EXIF; null if the file has none.
"""
