"""One turn of the cycle on planted faults: mined decisions against as many at random.

Run: python benchmarks/factory_turn.py [--seeds 1,2,3,4,5] [--out FOLDER]
Writes a line for each seed, way and test to docs/results/factory_turn.csv. About a minute of
processor time a seed.
"""

import argparse
import csv
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "recipes" / "factory"))

import turn  # noqa: E402

CSV = ROOT / "docs" / "results" / "factory_turn.csv"
FIELDS = ("seed", "way", "decisions", "relabeled", "test", "verdict", "value", "n")
RANDOM = ("label_suspect=0", "random=1", "failed_test=0", "disagreement=0", "shortcut=0")
WAYS = {
    "remedies alone": (0, ()),
    "suspects": (300, turn.SUSPECTS),
    "shares as they are": (300, ()),
    "at random": (300, RANDOM),
    "at random, 1000": (1000, RANDOM),
    "every label": (5000, RANDOM),
}
"""Name -> how many decisions, and by which shares they are mined."""
MAIN = ("remedies alone", "suspects", "at random")


def lines_of(seed: int, way: str, run: Path, decided: tuple[int, int]) -> list[dict]:
    """What the tests said of one network."""
    (kept,) = run.glob("data_tests/results/data_tests-*/*.json")
    return [
        {
            **{"seed": seed, "way": way, "decisions": decided[0], "relabeled": decided[1]},
            **{"test": each["name"], "verdict": each["verdict"]},
            **{"value": each["measured"]["value"], "n": each["measured"]["n"]},
        }
        for each in json.loads(kept.read_text())["results"]
    ]


def counted(decisions: Path) -> tuple[int, int]:
    """How many decisions, and how many of them gave another label."""
    verdicts = [json.loads(line)["verdict"] for line in decisions.read_text().splitlines()]
    return len(verdicts), verdicts.count("relabel")


def measure(out: Path, seed: int, ways: tuple[str, ...]) -> list[dict]:
    """Some ways from one first network, which is trained when it isn't there."""
    found = []
    if not (out / "audit" / "audit.json").exists():
        turn.first_half(out, seed)
    if MAIN[0] in ways:
        found = lines_of(seed, "before", out / "before", (0, 0))
    for way in ways:
        (budget, shares), name = WAYS[way], way.replace(",", "").replace(" ", "_")
        said, overlay = out / f"{name}-labels.decisions.jsonl", None
        if budget:
            overlay = turn.decisions(out, f"{name}-labels", budget, shares)
        turn.second_half(out, overlay, seed, name)
        found += lines_of(seed, way, out / name, counted(said) if budget else (0, 0))
    return found


def write(lines: list[dict]) -> None:
    """The CSV file, in the order of the ways."""
    order = ["before", *WAYS]
    with CSV.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(lines, key=lambda each: (order.index(each["way"]), each["seed"])))


def main() -> None:
    """Measure the main ways of all seeds, then the others; the file grows with each seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--out", type=Path, default=Path("factory-turns"))
    given = parser.parse_args()
    seeds = [int(each) for each in given.seeds.split(",")]
    found: list[dict] = []
    for ways in (MAIN, tuple(way for way in WAYS if way not in MAIN)):
        for seed in seeds:
            found += measure(given.out / f"seed{seed}", seed, ways)
            write(found)
    print(f"\n{CSV}: {len(found)} lines, {time.process_time():.0f} s of processor time")


if __name__ == "__main__":
    main()
