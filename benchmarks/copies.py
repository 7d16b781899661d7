"""Which copies the audit finds, and what it takes for one: planted copies, and whole sets.

    python benchmarks/copies.py DATA [--sets mnist10k cifar10] [--out docs/results/copies.csv]

DATA is a folder with a folder of Parquet files for each set. Of each set (at most 10,000 images),
500 images are copied into it, changed in five ways: JPEG of quality 50, half the size, noise of 8
grey levels, gains of .6 and 1.3. `found` counts groups that hold an image and its own copy. Before
that, the set is searched as it is: what is found then stands in it, or is a mistake; look at it.
Lines of sets that aren't named stay in the CSV.
"""

import argparse
import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from tinyrefinery.audit import duplicates
from tinyrefinery.audit.fingerprints import Fingerprints, fingerprint, hashes, thumbnails
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.open import open_data
from tinyrefinery.data.properties.small_images import map_chunks

MOST, PLANTED = 10_000, 500
SETS = {"mnist10k": 1, "fashion_mnist900": 1, "cifar10": 3, "person_crops": 3}
Change = Callable[[np.ndarray], np.ndarray]


def changes() -> dict[str, Change]:
    random = np.random.default_rng(0)

    def noisy(pixels: np.ndarray) -> np.ndarray:
        return _bytes(pixels + random.normal(0, 8, pixels.shape))

    return {
        "JPEG quality 50": _jpeg,
        "half the size": _half,
        "noise 8": noisy,
        "gain 0.6": lambda pixels: _bytes(pixels * 0.6),
        "gain 1.3": lambda pixels: _bytes(pixels * 1.3),
    }


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _jpeg(pixels: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    _image(pixels).save(file, "JPEG", quality=50)
    return np.asarray(Image.open(file)).reshape(pixels.shape)


def _half(pixels: np.ndarray) -> np.ndarray:
    height, width = (max(1, side // 2) for side in pixels.shape[:2])
    small = _image(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small).reshape(height, width, pixels.shape[2])


def opened(folder: Path, channels: int) -> Dataset:
    files = sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("raw"))
    named = {path.stem: str(path) for path in files}
    place = {"train": str(files[0])} if len(files) == 1 else named
    data = open_data("parquet", path=place, channels=channels, validation=0.0)
    return data.select(np.arange(min(len(data.manifest), MOST)))


def searched(data: Dataset, prints: Fingerprints, *, relative: bool) -> list[duplicates.CopyGroup]:
    """Copies, with and without the comparison with strangers."""
    nearer, duplicates.NEARER = duplicates.NEARER, duplicates.NEARER if relative else np.inf
    try:
        return duplicates.find_copies(data, prints)
    finally:
        duplicates.NEARER = nearer


def planted(data: Dataset, prints: Fingerprints, change: Change, *, relative: bool) -> int:
    """How many of the images that are copied into the set are found together with their copy."""
    n = len(data.manifest)
    random = np.random.default_rng(1)
    chosen = random.choice(np.flatnonzero(~prints.flat), min(PLANTED, n // 2), replace=False)
    copies = [change(data.images.pixels(int(row)))[None] for row in chosen]
    new = Fingerprints(
        np.concatenate([hashes(each) for each in copies]),
        np.concatenate([thumbnails(each) for each in copies]),
        np.zeros(len(copies), bool),
    )
    groups = searched(
        _twice(data, chosen), Fingerprints.concatenate([prints, new]), relative=relative
    )
    group = {int(row): number for number, each in enumerate(groups) for row in each.rows}
    return sum(
        group.get(int(row), -1) == group.get(n + place, -2) for place, row in enumerate(chosen)
    )


def _twice(data: Dataset, rows: np.ndarray) -> Dataset:
    """The data with some rows again, under other ids: the fingerprints are given separately."""
    whole = data.select(np.concatenate([np.arange(len(data.manifest)), rows]))
    table = whole.manifest.table
    ids = [f"{number}" for number in range(len(table))]
    column = table.column("id").type
    table = table.set_column(table.schema.get_field_index("id"), "id", pa.array(ids, column))
    return replace(whole, manifest=type(whole.manifest)(table, whole.manifest.classes))


def measured(name: str, folder: Path) -> list[dict[str, object]]:
    data = opened(folder, SETS[name])
    every = np.arange(len(data.manifest))
    prints = Fingerprints.concatenate(list(map_chunks(data, every, fingerprint)))
    found = []
    for relative in (False, True):
        way = "relative to strangers" if relative else "likeness alone"
        groups = searched(data, prints, relative=relative)
        near = [each for each in groups if each.kind in ("near", "mirrored")]
        line: dict[str, object] = {"set": name, "images": len(every), "rule": way}
        line["images in near groups"] = sum(len(each.rows) for each in near)
        for what, change in changes().items():
            line[what] = planted(data, prints, change, relative=relative)
        found.append(line | {"planted": min(PLANTED, len(every) // 2)})
        print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--out", type=Path, default=Path("docs/results/copies.csv"))
    options = parser.parse_args()
    for name in options.sets:
        kept(options.out, name, measured(name, options.data / name))


def kept(out: Path, name: str, lines: list[dict[str, object]]) -> None:
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
