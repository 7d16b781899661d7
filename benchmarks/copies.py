"""Copies found: planted ones of many kinds, people's lists of near duplicates, and whole sets.

    python benchmarks/copies.py DATA [--sets imagenet_samples cifar10] [--pairs CIFAIR] [--out CSV]

DATA is a folder with a folder of Parquet files for each set. Of each set (at most 10,000 images),
500 images are changed and copied into it, once as they are and once mirrored. `copies.csv` counts
the copies that are found, certain or likely, and beside them those that a plain 64-bit hash finds:
the signs of a discrete cosine transform against their median, at most 10 bits apart. Before that,
the set is searched as it is: the pairs found are in the set, or false. Look at them.

CIFAIR is `duplicates_cifar10.csv` of the ciFAIR project (cvjena/cifair, folder meta): pairs of
test and training images of CIFAR-10 that people judged. It also times the search in all 60,000.
Lines of sets that are not named stay in the CSV.
"""

import argparse
import csv
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from tinyrefinery.data.copies.fingerprints import Fingerprints, fingerprint
from tinyrefinery.data.copies.near_pairs import near_pairs
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.open import open_data
from tinyrefinery.data.properties.small_images import Chunk, Stack, map_chunks, shrink

MOST, PLANTED, BITS = 10_000, 500, 10
SETS = {
    "imagenet_samples": 3,
    "imagenette128": 3,
    "cifar10": 3,
    "person_crops": 3,
    "mnist10k": 1,
    "fashion_mnist900": 1,
}
Change = Callable[[Image.Image], Image.Image]


def changes() -> dict[str, Change]:
    """Name of each change, and the function that makes it."""
    random = np.random.default_rng(0)

    def noisy(image: Image.Image) -> Image.Image:
        pixels = np.asarray(image, float)
        return _image(pixels + random.normal(0, 8, pixels.shape))

    return {
        "gray": lambda image: image.convert("L").convert(image.mode),
        "saturation 0.3": lambda image: ImageEnhance.Color(image).enhance(0.3),
        "crop 95 %": _crop,
        "turned by 2 degrees": lambda image: image.rotate(2, Image.Resampling.BICUBIC),
        "caption over 12 %": _caption,
        "caption below": _caption_below,
        "border over 3 %": _border,
        "border around": lambda image: ImageOps.expand(image, _thickness(image), _white(image)),
        "JPEG quality 50": _jpeg,
        "half the size": _half,
        "noise 8": noisy,
        "gain 0.6": lambda image: _image(np.asarray(image) * 0.6),
        "gain 1.3": lambda image: _image(np.asarray(image) * 1.3),
    }


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _white(image: Image.Image) -> int | tuple[int, ...]:
    return 255 if image.mode == "L" else (255, 255, 255)


def _thickness(image: Image.Image) -> int:
    return max(1, round(min(image.size) * 0.03))


def _crop(image: Image.Image) -> Image.Image:
    x, y = (round(side * 0.025) for side in image.size)
    box = x, y, image.width - x, image.height - y
    return image.crop(box).resize(image.size, Image.Resampling.BICUBIC)


def _caption(image: Image.Image) -> Image.Image:
    image = image.copy()
    height = round(image.height * 0.12)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, image.height - height, image.width, image.height), fill=0)
    text = image.width * 0.1, image.height - height
    draw.text(text, "A caption", fill=_white(image), font_size=max(6, height * 0.8))
    return image


def _caption_below(image: Image.Image) -> Image.Image:
    height = round(image.height * 0.12)
    whole = Image.new(image.mode, (image.width, image.height + height), _white(image))
    whole.paste(image, (0, 0))
    text = image.width * 0.1, image.height
    ImageDraw.Draw(whole).text(text, "A caption", fill=0, font_size=max(6, height * 0.8))
    return whole


def _border(image: Image.Image) -> Image.Image:
    image = image.copy()
    box = 0, 0, image.width - 1, image.height - 1
    ImageDraw.Draw(image).rectangle(box, outline=0, width=_thickness(image))
    return image


def _jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=50)
    return Image.open(file)


def _half(image: Image.Image) -> Image.Image:
    size = max(1, image.width // 2), max(1, image.height // 2)
    return image.resize(size, Image.Resampling.BILINEAR)


def opened(folder: Path, channels: int) -> Dataset:
    """The set, its pixels not in memory if they have several sizes."""
    files = sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("raw"))
    named = {path.stem.replace("val", "validation"): str(path) for path in files}
    place = {"train": str(files[0])} if len(files) == 1 else named
    return open_data("parquet", path=place, channels=channels, validation=0.0)


def fingerprints(images: list[np.ndarray]) -> Fingerprints:
    """Fingerprints of some pictures, uint8 (H, W, C)."""
    stacks = [Stack(np.array([0]), shrink(image)[None]) for image in images]
    return Fingerprints.concatenate([fingerprint(Chunk(np.zeros(1), (one,))) for one in stacks])


def sign_hashes(thumbs: np.ndarray) -> np.ndarray:
    """Bits (n, 64) of a plain hash: the signs of the low frequencies against their median."""
    places = np.arange(32) + 0.5
    cosines = np.cos(np.pi / 32 * np.outer(np.arange(8), places))
    low = (cosines @ thumbs.astype(float) @ cosines.T).reshape(len(thumbs), -1)
    return low > np.median(low, axis=1, keepdims=True)


def planted(
    prints: Fingerprints, rows: np.ndarray, copies: list[np.ndarray]
) -> tuple[int, int, int]:
    """Copies found, those of them that are certain, and those that the plain hash finds."""
    n, new = len(prints.flat), fingerprints(copies)
    found = near_pairs(Fingerprints.concatenate([prints, new]), np.arange(n + len(rows)))
    pairs = dict(zip(map(tuple, found.pairs.tolist()), found.certain.tolist(), strict=True))
    hits = [pairs.get((int(row), n + place)) for place, row in enumerate(rows)]
    bits = sign_hashes(prints.thumbs[rows]) != sign_hashes(new.thumbs)
    hashed = int((bits.sum(1) <= BITS).sum())
    return sum(hit is not None for hit in hits), sum(hit is True for hit in hits), hashed


def measured(name: str, data: Dataset) -> list[dict[str, object]]:
    """Lines of the CSV: the set as it is, and each change, as it is and mirrored."""
    data = data.select(np.arange(min(len(data.manifest), MOST)))
    rows = np.arange(len(data.manifest))
    prints = Fingerprints.concatenate(list(map_chunks(data, rows, fingerprint)))
    as_it_is = near_pairs(prints, rows)
    certain = int(as_it_is.certain.sum())
    lines = [line(name, len(rows), "none", "", len(as_it_is.pairs), certain, "")]
    choice = np.random.default_rng(1).permutation(np.flatnonzero(~prints.flat))
    chosen = np.sort(choice[: min(PLANTED, len(rows) // 2)])
    for what, change in changes().items():
        images = [np.squeeze(data.images.pixels(int(row))) for row in chosen]
        copies = [np.asarray(change(Image.fromarray(image))) for image in images]
        copies = [copy if copy.ndim == 3 else copy[..., None] for copy in copies]
        for mirrored in (False, True):
            turned = [copy[:, ::-1] for copy in copies] if mirrored else copies
            title = f"{what}, mirrored" if mirrored else what
            lines.append(
                line(name, len(rows), title, len(chosen), *planted(prints, chosen, turned))
            )
            print(*lines[-1].values(), flush=True)
    return lines


def line(
    name: str, images: int, change: str, copies: object, found: int, certain: int, hashed: object
) -> dict[str, object]:
    """One line of the CSV."""
    return {
        "set": name,
        "images": images,
        "change": change,
        "copies": copies,
        "found": found,
        "certain": certain,
        "hash": hashed,
    }


def judged(file: Path, data: Dataset) -> list[dict[str, object]]:
    """Lines for pairs that people judged, and the time of the search, in core-seconds."""
    start = time.process_time()
    rows = np.arange(len(data.manifest))
    prints = Fingerprints.concatenate(list(map_chunks(data, rows, fingerprint)))
    found = near_pairs(prints, rows)
    print(f"{len(rows):,} images: {time.process_time() - start:.1f} core-seconds")
    pairs = dict(zip(map(tuple, found.pairs.tolist()), found.certain.tolist(), strict=True))
    number = data.manifest.column("orig_index").astype(int)
    splits = data.manifest.column("split")
    row_of = {
        (split, index): row for row, (split, index) in enumerate(zip(splits, number, strict=True))
    }
    lines = []
    with file.open(newline="") as text:
        judgments = list(csv.DictReader(text))
    for judgment, title in (("1", "ciFAIR: same picture"), ("2", "ciFAIR: similar picture")):
        asked = [
            sorted((row_of["test", int(one["TestID"])], row_of["train", int(one["TrainID"])]))
            for one in judgments
            if one["Judgment"] == judgment
        ]
        hits = [pairs.get((a, b)) for a, b in asked]
        first, second = np.array(asked).T
        bits = sign_hashes(prints.thumbs[first]) != sign_hashes(prints.thumbs[second])
        hashed = int((bits.sum(1) <= BITS).sum())
        near, certain = sum(hit is not None for hit in hits), sum(hit is True for hit in hits)
        lines.append(line("cifar10", len(rows), title, len(asked), near, certain, hashed))
        print(*lines[-1].values(), flush=True)
    return lines


def main() -> None:
    """Measure the named sets, and keep the lines of the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--pairs", type=Path, help="duplicates_cifar10.csv of ciFAIR")
    parser.add_argument("--out", type=Path, default=Path("docs/results/copies.csv"))
    options = parser.parse_args()
    for name in options.sets:
        data = opened(options.data / name, SETS[name])
        lines = measured(name, data)
        if name == "cifar10" and options.pairs:
            lines += judged(options.pairs, data)
        write(options.out, name, lines)


def write(out: Path, name: str, lines: list[dict[str, object]]) -> None:
    """Put the lines of a set into the CSV, in place of those that it had."""
    others: list[dict[str, object]] = []
    if out.exists():
        with out.open(newline="") as file:
            others = [dict(line) for line in csv.DictReader(file) if line["set"] != name]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*others, *lines])


if __name__ == "__main__":
    main()
