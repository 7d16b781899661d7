"""Small data sets in Pascal VOC's layout, sound and faulty."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

Box = tuple[str, float, float, float, float]


def xml(name: str, boxes: list[Box], size: tuple[int, int] | None = (40, 60), **more: str) -> str:
    """An annotation; size is height, width. `more`: replacements of text."""
    inner = "".join(
        f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{x1}</xmin>"
        f"<ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for label, x1, y1, x2, y2 in boxes
    )
    told = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>" if size else ""
    text = f"<annotation><filename>{name}.jpg</filename>{told}{inner}</annotation>"
    for old, new in more.items():
        text = text.replace(old, new)
    return text


def jpeg(seed: int, height: int = 40, width: int = 60) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG")
    return content.getvalue()


def sound(count: int = 12) -> dict[str, str | bytes]:
    """Files of a sound set: cats left, dogs right, two thirds to train, the rest to test."""
    files: dict[str, str | bytes] = {}
    for i in range(count):
        label, left = ("cat", 2) if i % 2 else ("dog", 31)
        files[f"JPEGImages/im{i}.jpg"] = jpeg(i)
        files[f"Annotations/im{i}.xml"] = xml(f"im{i}", [(label, left, 5, left + 25, 30)])
    names = [f"im{i}" for i in range(count)]
    files["ImageSets/Main/train.txt"] = "\n".join(names[: count * 2 // 3])
    files["ImageSets/Main/test.txt"] = "\n".join(names[count * 2 // 3 :]) + "\n\n"
    return files


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def write_zip(path: Path, files: dict[str, str | bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path
