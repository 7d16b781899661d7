"""Core-seconds and memory of an audit of CIFAR-10 without a network, beside cleanvision.

Both read the same folder of image files. Each round starts both commands anew, with an empty cache.
Memory is the largest resident set of a single process. cleanvision is measured where a Python that
has it is named; install it in an environment of its own:

    python -m venv cv && cv/bin/pip install cleanvision
    python benchmarks/audit_peers.py DATA/cifar10 --cleanvision cv/bin/python
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq
from timing import Figure, report

OURS = "tinyrefinery audit"
PEER = "cleanvision"
_PEER_CODE = "import sys; from cleanvision import Imagelab; Imagelab(sys.argv[1]).find_issues()"


def write_folder(source: Path, root: Path, most: int) -> int:
    """Image files of Parquet files, as SPLIT/CLASS/NUMBER.jpg; returns how many."""
    count = 0
    for split in ("train", "test"):
        table = pq.read_table(source / f"{split}.parquet", columns=["image", "label"])
        table = table.slice(0, max(0, most - count))
        for label in set(table.column("label").to_pylist()):
            (root / split / f"class {label}").mkdir(parents=True)
        for image, label in zip(*(column.to_pylist() for column in table), strict=True):
            path = root / split / f"class {label}" / f"{count:05}.jpg"
            path.write_bytes(image["bytes"] if isinstance(image, dict) else image)
            count += 1
    return count


def spent(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Core-seconds of a command and its children, and the largest resident set in MiB."""
    environment = os.environ | {"TINYREFINERY_CACHE": str(folder / "cache")}
    with (folder / "log.txt").open("w") as log:
        actions = [(os.POSIX_SPAWN_DUP2, log.fileno(), number) for number in (1, 2)]
        child = os.posix_spawnp(command[0], list(command), environment, file_actions=actions)
        _, status, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):  # 1: the audit found copies across splits
        sys.exit(f"{command[0]} failed:\n{(folder / 'log.txt').read_text()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--cleanvision", metavar="PYTHON", help="an interpreter that has it")
    parser.add_argument("--images", type=int, default=60_000, help="at most so many")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="keep no rows")
    given = parser.parse_args()
    taken: dict[str, list[tuple[float, float]]] = {OURS: []}
    if given.cleanvision:
        taken[PEER] = []
    else:
        print("cleanvision is not measured: name a Python that has it with --cleanvision")
    with tempfile.TemporaryDirectory() as temporary:
        images = Path(temporary) / "images"
        count = write_folder(given.source, images, given.images)
        for number in range(given.rounds):
            for name in taken:
                with tempfile.TemporaryDirectory() as folder:
                    taken[name].append(spent(_command(name, images, given, folder), Path(folder)))
                print(f"round {number + 1}: {name}: {taken[name][-1]}", file=sys.stderr, flush=True)
    report(f"{count:,} images", figures(taken, count), keep=not given.quick)


def _command(name: str, images: Path, given: argparse.Namespace, folder: str) -> list[str]:
    if name == PEER:
        return [given.cleanvision, "-c", _PEER_CODE, str(images)]
    out = ["--out", f"{folder}/audit"]
    return [sys.executable, "-m", "tinyrefinery", "audit", str(images), "validation=0", *out]


def figures(taken: dict[str, list[tuple[float, float]]], count: int) -> list[Figure]:
    """Core-seconds and memory of each command, with the ratio to the peer's."""
    found = []
    for place, unit in enumerate(("core-s", "MiB")):
        for name, values in taken.items():
            numbers, ratio = [value[place] for value in values], None
            if name == OURS and PEER in taken:
                pairs = zip(numbers, (value[place] for value in taken[PEER]), strict=True)
                ratio = median(ours / theirs for ours, theirs in pairs)
            title = f"{name} of {count:,} images"
            to = f"{PEER} of {count:,} images"
            found.append(Figure(title, unit, numbers, ratio, "" if ratio is None else to))
    return found


if __name__ == "__main__":
    main()
