"""Copies found in sets and after changes that the thresholds were not chosen on.

    python benchmarks/copies_held_out.py DATA [--sets food3 bccd_voc] [--out CSV] [--sheets FOLDER]

The thresholds of near copies were chosen on Imagenette, on ciFAIR's pairs of CIFAR-10 and on the
changes in `copies.py`. This command uses other sets and other changes. DATA is a folder with a
folder of Parquet files for each set, and `voc_detection/` with zips of images with boxes.

`copies_held_out.csv` counts per set and change: copies planted, copies found, those of them that
are certain, and pairs with a changed image that are wrong. A wrong pair joins the changed image to
one that is not its original and that is not a copy of its original either. Change `none` counts the
pairs in the set as it is. They are real copies or false alarms: look at them in FOLDER.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
from copies import fingerprints, opened, write
from copy_changes import Change, held_out_changes
from PIL import Image

from tinyrefinery.data.copies.fingerprints import Fingerprints, fingerprint
from tinyrefinery.data.copies.near_pairs import NearPairs, near_pairs
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.properties.small_images import map_chunks
from tinyrefinery.detection.voc import open_voc
from tinyrefinery.recipe.detection import Voc

MOST, PLANTED, SHOWN, SIDE = 10_000, 200, 40, 128
SETS = {
    "food3": 3,
    "tiny_imagenet100": 3,
    "sign_digits": 3,
    "person_crops": 3,
    "fashion_mnist900": 1,
}
ZIPS = ("raccoon_voc", "bccd_voc")


def boxes_set(data: Path, name: str) -> Dataset:
    """The images of a zip with boxes, without their boxes."""
    part = Voc(root=str(data / "voc_detection" / f"{name}.zip"), near_copies="apart")
    boxes = open_voc(part)
    columns = {"id": list(boxes.ids), "path": list(boxes.paths)}
    labels = pa.array(np.zeros(len(boxes), np.int64))
    table = pa.table({**columns, "label": labels, "split": boxes.splits.tolist()})
    return Dataset(name, Manifest(table, ("object", "none")), boxes.images)


def measured(name: str, data: Dataset, sheets: Path | None) -> list[dict[str, object]]:
    """Lines of the CSV for one set."""
    data = data.select(np.arange(min(len(data.manifest), MOST)))
    rows = np.arange(len(data.manifest))
    prints = Fingerprints.concatenate(list(map_chunks(data, rows, fingerprint)))
    _, first = np.unique(data.manifest.column("id").astype(str), return_index=True)
    distinct = np.sort(first)
    as_it_is = near_pairs(prints, distinct)
    if sheets is not None:
        show(data, as_it_is, sheets, name)
    certain = int(as_it_is.certain.sum())
    lines = [line(name, len(rows), "none", "", len(as_it_is.pairs), certain, "")]
    choice = np.random.default_rng(2).permutation(distinct[~prints.flat[distinct]])
    chosen = np.sort(choice[: min(PLANTED, len(rows) // 4)])
    for title, change in held_out_changes().items():
        counts = planted(data, prints, as_it_is, chosen, change)
        lines.append(line(name, len(rows), title, len(chosen), *counts))
        print(*lines[-1].values(), flush=True)
    return lines


def planted(
    data: Dataset, prints: Fingerprints, as_it_is: NearPairs, chosen: np.ndarray, change: Change
) -> tuple[int, int, int]:
    """Copies found, those of them that are certain, and wrong pairs with a changed image."""
    images = [np.squeeze(data.images.pixels(int(row))) for row in chosen]
    copies = [np.asarray(change(Image.fromarray(image))) for image in images]
    new = fingerprints([copy if copy.ndim == 3 else copy[..., None] for copy in copies])
    n = len(prints.flat)
    found = near_pairs(Fingerprints.concatenate([prints, new]), np.arange(n + len(chosen)))
    copies_of = {(int(a), int(b)) for a, b in as_it_is.pairs}
    hits = certain = wrong = 0
    for (a, b), sure in zip(found.pairs.tolist(), found.certain.tolist(), strict=True):
        if b < n:
            continue
        original, other = int(chosen[b - n]), a if a < n else int(chosen[a - n])
        if a < n and other == original:
            hits, certain = hits + 1, certain + sure
        elif other != original and (min(original, other), max(original, other)) not in copies_of:
            same = data.manifest.column("id")[original] == data.manifest.column("id")[other]
            wrong += not same
    return hits, certain, wrong


def show(data: Dataset, found: NearPairs, folder: Path, name: str) -> None:
    """Write a picture of the set's pairs, likely ones first, to look at them."""
    order = np.argsort(found.certain, kind="stable")[:SHOWN]
    tiles = []
    for a, b in found.pairs[order]:
        sides = [np.squeeze(data.images.pixels(int(row))) for row in (a, b)]
        small = [Image.fromarray(side).convert("RGB").resize((SIDE, SIDE)) for side in sides]
        tiles.append(np.hstack([np.asarray(image) for image in small]))
    if not tiles:
        return
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 5)
    sheet = np.vstack([np.hstack(tiles[at : at + 5]) for at in range(0, len(tiles), 5)])
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(folder / f"{name}.png")


def line(
    name: str, images: int, change: str, copies: object, found: int, certain: int, wrong: object
) -> dict[str, object]:
    """One line of the CSV."""
    return {
        "set": name,
        "images": images,
        "change": change,
        "copies": copies,
        "found": found,
        "certain": certain,
        "wrong": wrong,
    }


def main() -> None:
    """Measure the named sets, and keep the lines of the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    names = [*SETS, *ZIPS]
    parser.add_argument("--sets", nargs="+", default=names, choices=names)
    parser.add_argument("--out", type=Path, default=Path("docs/results/copies_held_out.csv"))
    parser.add_argument("--sheets", type=Path, help="folder for pictures of the pairs found")
    options = parser.parse_args()
    for name in options.sets:
        if name in SETS:
            data = opened(options.data / name, SETS[name])
        else:
            data = boxes_set(options.data, name)
        write(options.out, name, measured(name, data, options.sheets))


if __name__ == "__main__":
    main()
