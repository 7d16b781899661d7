"""Which properties of images can be computed; apart from how, which takes torch to import."""

import pyarrow as pa

MEASURES: dict[str, str] = {
    "width": "of the source, in pixels",
    "height": "of the source, in pixels",
    "aspect": "width divided by height",
    "brightness": "mean luma",
    "contrast": "standard deviation of luma",
    "sharpness": "variance of the Laplacian of luma; low: blurred or empty",
    "entropy": "of the luma histogram, in bits, 0 to 8; low: little in it",
    "border": "mean luma of the outermost sixteenth on each side",
    "colorfulness": "Hasler and Süsstrunk (2003), M3; 0: grey",
    "saturation": "mean of (max - min) / max over the channels, 0 to 1",
    "red_green": "mean of red less green",
    "yellow_blue": "mean of (red + green) / 2 less blue",
}
"""What is measured of every image. The last four need color and are missing from grey data sets."""

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

`bytes`: size of the file. `bytes_per_pixel`: that, per pixel of the source. `format`: as Pillow
names it, e.g. JPEG, PNG. `transparency`: 1 where the file has an alpha channel or a transparent
color, else 0. `jpeg_quality`: 1 to 100 as libjpeg counts it, estimated from the luma quantization;
null for other formats. `camera`: maker and model from EXIF; null where the file names none.
"""
