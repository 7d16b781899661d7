"""Results of the benchmarks."""

import csv

from tables.reading import ROOT, markdown

TRAINING = ("data_path", "imports", "training_step")  # benchmarks of docs/results.md


def _rows() -> list[dict[str, str]]:
    """Rows of the benchmarks, of all machines."""
    rows: list[dict[str, str]] = []
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.csv")):
        with path.open() as file:
            rows += csv.DictReader(file)
    return rows


def speed(script: str | None = None) -> str:
    """Ratios of the benchmarks' last run, for one script or for those about training."""
    last = {(r["script"], r["figure"], r["unit"]): r for r in _rows()}
    lines = [["measurement", "unit", "median", "min to max", "n", "ratio", "relative to"]]
    for (_, figure, unit), r in last.items():
        if r["script"] not in ((script,) if script else TRAINING):
            continue
        numbers = [f"{float(r[key]):.4g}" for key in ("median", "min", "max")]
        ratio = f"{float(r['ratio']):.2g}" if r["ratio"] and float(r["ratio"]) < 0.1 else ""
        ratio = f"{float(r['ratio']):.2f}" if r["ratio"] and not ratio else ratio
        cells = [figure, unit, numbers[0], f"{numbers[1]} to {numbers[2]}", r["n"]]
        lines.append([*cells, ratio, r.get("to", "")])
    return markdown(lines)


def store_claim() -> str:
    """The cost of refining per ResNet8 step, from the benchmark of the label store."""
    rows = {r["figure"]: r for r in _rows() if r["script"] == "label_store"}
    plain = float(rows["plain"]["median"])  # core-milliseconds per step of 128 crops
    labels = 128_000 / float(rows["resnet18: making labels"]["median"])
    numbers = {
        "labels from a store": float(rows["from a store, float32"]["ratio"]),
        "a live refiner of the same size": float(rows["by a live resnet8"]["ratio"]),
        "the first use of a ResNet-18's labels, including making them": (plain + labels) / plain,
    }
    lines = [["ResNet8 training step with", "time relative to a plain step"]]
    return markdown([*lines, *([name, f"{value:.2f} x"] for name, value in numbers.items())])
