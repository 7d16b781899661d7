"""C sources of an int8 LiteRT file against LiteRT for Microcontrollers: bits, flash, RAM, work.

    python benchmarks/c_runtime.py OUT.csv FILE.tflite VECTORS.npz [--tflm TREE] [--boards N]

VECTORS.npz has `inputs` (n, H, W, C), as the file takes them, and `outputs` (n, K), which LiteRT
for Microcontrollers computed elsewhere, e.g. by the Python package `tflite_micro`:

    interpreter = runtime.Interpreter.from_file(file, arena_size=8_000_000)
    interpreter.set_input(image[None], 0); interpreter.invoke(); interpreter.get_output(0)

The sources replay all vectors on each processor whose compiler and emulator are installed, with
-Os; Cortex-M boards the first N (50), which takes seconds each. A row per processor has the outputs
that differ, the bytes of code, constants and static memory by `size`, and for Cortex-M boards the
instructions per image, counted by QEMU. TREE is a source tree of tflite-micro. With it, the same
file is run by its reference kernels, built with -Os, on the Cortex-M boards. Instructions are no
cycles.
"""

import argparse
import csv
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tinyrefinery.deploy.c_source.c_network import Description, network_files
from tinyrefinery.deploy.c_source.source_check import check_sources
from tinyrefinery.deploy.emulation.replaying import replay
from tinyrefinery.deploy.export.side_files import Vectors, write_artifact
from tinyrefinery.deploy.integer.integer_lowering import plan_network
from tinyrefinery.deploy.integer.integer_run import run_plan
from tinyrefinery.deploy.integer.layers import Plan
from tinyrefinery.deploy.toolchain.processors import PROCESSORS

COLUMNS: tuple[str, ...] = (
    "file",
    "runtime",
    "processor",
    "vectors",
    "outputs",
    "different",
    "code",
    "constants",
)
COLUMNS += ("ram", "instructions", "ratio")


AT_ONCE = 25
"""Vectors of one program."""


def our_rows(file: Path, vectors: Vectors, boards: int, place: Path) -> list[dict[str, Any]]:
    """The NumPy computation, and the C sources on every processor that is there."""
    plan = plan_network(file)
    found = run_plan(plan, vectors.inputs)
    common = {"file": file.name, "vectors": len(found), "outputs": found.size}
    different = int((found != vectors.outputs).sum())
    rows = [common | {"runtime": "numpy", "processor": "host", "different": different}]
    for name in (name for name, each in PROCESSORS.items() if not each.missing):
        count = boards if PROCESSORS[name].bare else len(found)
        rows.append(
            common
            | {"runtime": "c", "processor": name}
            | replayed(plan, vectors, count, name, place)
        )
        print(rows[-1], flush=True)
    return rows


def replayed(
    plan: Plan, vectors: Vectors, count: int, processor: str, place: Path
) -> dict[str, Any]:
    """What a processor computed for the first vectors, some of them at a time."""
    about, checks = Description("Benchmark", plan.name, plan.name, "", ""), []
    for start in range(0, min(count, len(vectors.inputs)), AT_ONCE):
        some = slice(start, min(start + AT_ONCE, count))
        files = network_files(plan, "network", about, vectors.inputs[some], vectors.outputs[some])
        for name, text in files.items():
            (place / name).write_text(text, "utf-8")
        checks.append(check_sources(place, processor))
    size = checks[0].size
    counted = [each.instructions * each.vectors for each in checks if each.instructions]
    n = sum(each.vectors for each in checks)
    return {
        **{"vectors": n, "outputs": sum(each.outputs for each in checks)},
        **{"different": sum(each.different for each in checks)},
        **{"code": size.code, "constants": size.constants, "ram": size.ram},
        "instructions": sum(counted) // n if counted else None,
    }


def their_rows(file: Path, vectors: Vectors, tree: Path, place: Path) -> list[dict[str, Any]]:
    """LiteRT for Microcontrollers on the Cortex-M boards, with two vectors."""
    height, width, channels = vectors.inputs.shape[1:]
    facts = {
        "classes": [str(number) for number in range(vectors.outputs.shape[1])],
        **{"size": [height, width], "channels": channels, "mean": [0.0], "std": [1.0]},
        **{"input": "", "output": "", "preprocessing": "", "network": "", "version": ""},
    }
    few = Vectors(vectors.inputs[:2], vectors.outputs[:2].astype(np.float32), 1e9)
    copy = place / file.name
    write_artifact(copy, file.read_bytes(), few, facts)
    rows = []
    for name, processor in PROCESSORS.items():
        if processor.bare and not processor.missing:
            done = replay(copy, name, tree, print)
            figures = {"ram": done.arena_used, "instructions": done.instructions}
            rows.append({"file": file.name, "runtime": "tflm", "processor": name} | figures)
    return rows


def main() -> None:
    """Measure, and write all rows."""
    parser = argparse.ArgumentParser(description="C sources against LiteRT for Microcontrollers.")
    parser.add_argument("out", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--tflm", type=Path)
    parser.add_argument("--boards", type=int, default=50)
    options = parser.parse_args()
    arrays = np.load(options.vectors)
    vectors = Vectors(arrays["inputs"], arrays["outputs"], 0.0)
    with TemporaryDirectory() as place:
        rows = our_rows(options.file, vectors, options.boards, Path(place))
        if options.tflm:
            rows += their_rows(options.file, vectors, options.tflm, Path(place))
    counts = {(row["runtime"], row["processor"]): row.get("instructions") for row in rows}
    for row in rows:
        theirs = counts.get(("tflm", row["processor"]))
        if row["runtime"] == "c" and theirs and row["instructions"]:
            row["ratio"] = f"{row['instructions'] / theirs:.4f}"
    is_new = not options.out.exists()
    with options.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
