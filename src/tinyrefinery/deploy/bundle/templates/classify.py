"""Classify pictures with the LiteRT file that facts.json names. Needs nothing else beside it."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
FACTS = json.loads((HERE / "facts.json").read_text("utf-8"))


class Classifier:
    """The network, run by LiteRT."""

    def __init__(self, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter: Any = Interpreter(str(HERE / FACTS["file"]), num_threads=threads)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]
        self.output = self.interpreter.get_output_details()[0]

    def run(self, values: np.ndarray) -> np.ndarray:
        """Outputs (classes,) for one image (H, W, C), as the model takes it."""
        image = values.reshape(self.input["shape"]).astype(self.input["dtype"])
        self.interpreter.set_tensor(self.input["index"], image)
        self.interpreter.invoke()
        found = self.interpreter.get_tensor(self.output["index"])[0]
        scale, zero = self.output["quantization"]
        if found.dtype.kind == "f" or not scale:
            return found.astype(np.float32)
        return (found.astype(np.float32) - zero) * np.float32(scale)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (H, W, C), 0 to 255, as the model takes them."""
        if FACTS["preprocessing"] == "inside":
            return pixels
        mean, std = np.float32(FACTS["mean"]), np.float32(FACTS["std"])
        values = (pixels / np.float32(255) - mean) / std
        scale, zero = self.input["quantization"]
        if not scale:
            return values
        limits = np.iinfo(self.input["dtype"])
        return np.clip(np.round(values / scale) + zero, limits.min, limits.max)


def read_picture(path: str) -> np.ndarray:
    """Pixels (H, W, C) of a picture: upright, resized, the middle cut out."""
    height, width = FACTS["size"]
    image = ImageOps.exif_transpose(Image.open(path))
    image = image.convert("L" if FACTS["channels"] == 1 else "RGB")
    if FACTS["resize"]:
        scale = FACTS["resize"] / min(image.size)
    else:  # just large enough to cover the cut
        scale = max(width / image.width, height / image.height)
    size = (max(width, int(image.width * scale)), max(height, int(image.height * scale)))
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    pixels = np.asarray(image.crop((left, top, left + width, top + height)))
    return pixels.reshape(height, width, FACTS["channels"])


def check(classifier: Classifier) -> bool:
    """Replay the test vectors, print the largest difference, and tell whether it is allowed."""
    vectors = np.load(HERE / "vectors.npz")
    found = np.stack([classifier.run(each) for each in vectors["inputs"]])
    difference = float(np.abs(found - vectors["outputs"]).max())
    passed = difference <= float(vectors["tolerance"])
    print(
        f"{'PASS' if passed else 'FAIL'}: {len(found)} test vectors, outputs differ by at most "
        f"{difference:.3g} (tolerance {float(vectors['tolerance']):.3g})"
    )
    return passed


def measure(classifier: Classifier) -> None:
    """Print the time of an image on this machine."""
    image = np.load(HERE / "vectors.npz")["inputs"][0]
    times = []
    for _ in range(60):
        start = time.perf_counter()
        classifier.run(image)
        times.append(time.perf_counter() - start)
    times = sorted(times[10:])  # the first ones warm up
    print(f"median {times[len(times) // 2] * 1e3:.2f} ms, least {times[0] * 1e3:.2f} ms, 50 images")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Classify pictures.")
    parser.add_argument("pictures", nargs="*")
    parser.add_argument("--check", action="store_true", help="replay the test vectors")
    parser.add_argument("--time", action="store_true", help="measure the time of an image")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if not (options.pictures or options.check or options.time):
        parser.error("name pictures, or give --check or --time")
    classifier = Classifier(options.threads)
    passed = check(classifier) if options.check else True
    if options.time:
        measure(classifier)
    names = FACTS["classes"]
    for path in options.pictures:
        outputs = classifier.run(classifier.encode(read_picture(path)))
        first = np.argsort(-outputs, kind="stable")[:3]
        print(f"{path}: {', '.join(f'{names[i]} {outputs[i]:.1%}' for i in first)}")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
