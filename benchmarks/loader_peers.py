"""Crops a core-second of photographs, beside timm's loader, torchvision's and DALI's on the CPU.

All read the same JPEG files of 500x375 pixels, cut a random box of 8 to 100 % of the area, resize
it to 96x96, mirror half of them and normalize them, on one thread. Ours keeps nothing decoded here
either. DALI is measured where a folder that has it is named; install it apart:

    python -m venv dali && dali/bin/pip install nvidia-dali-cuda120
    python benchmarks/loader_peers.py --dali dali/lib/python3.11/site-packages
"""

import argparse
import os
import sys
import tempfile
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from large_photos import PHOTOS, SIZES, epochs, write_photos
from timing import Way, compared, report, seconds_an_item

BATCH, SIDE = 8, 96
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OURS = "Tiny Refinery"


def counted(loader) -> Way:
    """An epoch of a PyTorch loader."""

    def way() -> int:
        return sum(len(images) for images, _ in loader)

    return way


def of_timm(root: Path) -> Way:
    """Timm's loader, with its usual random-resized crops and mirroring, and nothing else."""
    from timm.data import create_dataset, create_loader

    data: Any = create_dataset("", root=str(root))
    loader = create_loader(
        data,
        input_size=(3, SIDE, SIDE),
        batch_size=BATCH,
        is_training=True,
        use_prefetcher=False,
        no_aug=False,
        color_jitter=0.0,
        auto_augment=None,
        num_workers=0,
        mean=MEAN,
        std=STD,
        device=torch.device("cpu"),
        persistent_workers=False,
    )
    return counted(loader)


def of_torchvision(root: Path) -> Way:
    """An image folder with transforms of torchvision's second version, on tensors."""
    from torchvision.datasets import ImageFolder
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            v2.RandomResizedCrop(SIDE, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    def read(path: str) -> torch.Tensor:
        return decode_image(path, ImageReadMode.RGB)

    data = ImageFolder(str(root), transform, loader=read)
    return counted(torch.utils.data.DataLoader(data, BATCH, shuffle=True))


def of_dali(root: Path, place: str) -> Way:
    """DALI's CPU pipeline, which decodes only the box."""
    sys.path.append(place)
    dali = import_module("nvidia.dali")
    fn, pipeline_def, types = import_module("nvidia.dali.fn"), dali.pipeline_def, dali.types

    @pipeline_def(batch_size=BATCH, num_threads=1, device_id=None)
    def pipeline() -> Any:
        files, labels = fn.readers.file(file_root=str(root), random_shuffle=True)
        images = fn.decoders.image_random_crop(
            files, random_area=(0.08, 1.0), output_type=types.RGB
        )
        images = fn.resize(images, size=(SIDE, SIDE), antialias=True)
        normalized = fn.crop_mirror_normalize(
            images,
            mirror=fn.random.coin_flip(),
            mean=[255 * value for value in MEAN],
            std=[255 * value for value in STD],
        )
        return normalized, labels

    pipe = pipeline()
    pipe.build()

    def way() -> int:
        done = 0
        while done < PHOTOS:
            done += len(pipe.run()[0])
        return done

    return way


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no CSV rows")
    parser.add_argument("--dali", help="folder of packages that has DALI")
    given = parser.parse_args()
    short, place = given.quick, given.dali
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TINYREFINERY_CACHE"] = f"{folder}/cache"
        root = Path(folder) / "photos"
        write_photos(root, SIZES["500x375"])
        ways = {
            "timm": partial(of_timm, root),
            OURS: partial(epochs, root, whole=False),
            "torchvision": partial(of_torchvision, root),
        }
        if place is not None:
            ways["DALI on the CPU"] = partial(of_dali, root, place)
        taken = seconds_an_item(ways, 2 if short else 9)
    figures = compared(taken, "img/core-s", "timm")
    report("Loaders (more is better)", figures, keep=not short)


if __name__ == "__main__":
    main()
