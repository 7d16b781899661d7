"""Who ranks wrong labels best: refined labels, training dynamics, p[given label], or cleanlab.

Reads what `suspects_signals.py` kept of trainings on labels known to be wrong, and writes
docs/results/suspects.csv: one line a set, seed and ranking. Lines of others that stand there stay.

Run: python benchmarks/suspects_signals.py DATA SIGNALS
     python benchmarks/suspects.py SIGNALS       (cleanlab's lines need the extra `cleanlab`)
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score

from tinyrefinery.evaluation.likely_label_errors import suspicion

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "suspects.csv"
FIRST = (100, 500, 1000)
REVIEWED = {"cifar_test": 10_000}
"""Set -> how many of its labels, the first ones, people reviewed; the others only trained along."""
HEADER = (
    *("set", "seed", "ranking", "labels", "wrong_share", *(f"p{n}" for n in FIRST)),
    "average_precision",
)


def rankings(table: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """Name and suspicion of each label, (N,), larger is worse."""
    labels = table["label"].to_numpy()
    refined = table.select(["refined.aum", "refined.given_probability"])
    yield "ours: suspects.csv", suspicion(refined.rename_columns(["aum", "given_probability"]))
    yield "refined labels alone", -table["refined.given_probability"].to_numpy()
    yield "margin, given labels", -table["plain.aum"].to_numpy()
    yield "margin, refined labels", -table["refined.aum"].to_numpy()
    for source, name in (("plain", "in sample"), ("oof", "out of fold")):
        if f"{source}.probabilities" in table.column_names:
            told = np.stack(table[f"{source}.probabilities"].to_pylist()).astype(np.float64)
            told /= told.sum(1, keepdims=True)
            yield f"p[given], {name}", -told[np.arange(len(labels)), labels]
            yield from ((f"{each}, {name}", scores) for each, scores in cleanlab(labels, told))


def cleanlab(labels: np.ndarray, told: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Label quality scores of cleanlab that are not p[given], and its list of issues in order."""
    try:
        from cleanlab.filter import find_label_issues  # pyright: ignore[reportMissingImports]
        from cleanlab.rank import get_label_quality_scores  # pyright: ignore[reportMissingImports]
    except ImportError:
        print("cleanlab is not installed: its lines are left out")
        return
    for method in ("normalized_margin", "confidence_weighted_entropy"):
        scores = get_label_quality_scores(labels, told, method=method)
        yield f"cleanlab {method.replace('_', ' ')}", -scores
    for by in ("prune_by_noise_rate", "confident_learning"):
        issues = find_label_issues(
            labels, told, filter_by=by, return_indices_ranked_by="self_confidence", n_jobs=1
        )
        scores = -get_label_quality_scores(labels, told, method="self_confidence") - 1.0
        scores[issues] += 1.0  # what it lists comes before what it doesn't
        yield f"cleanlab {by.replace('_', ' ')}", scores


def line_of(file: Path, name: str, wrong: np.ndarray, scores: np.ndarray) -> list[str]:
    """A line of the CSV file."""
    known, _, seed = file.stem.rpartition("-")
    scores = np.nan_to_num(scores, nan=-np.inf)
    order = np.argsort(-scores, kind="stable")
    first = [wrong[order[:n]].mean() for n in FIRST]
    finite = np.where(np.isfinite(scores), scores, scores[np.isfinite(scores)].min() - 1)
    average = average_precision_score(wrong, finite)
    numbers = (f"{value:.5f}" for value in (wrong.mean(), *first, average))
    share, *rest = numbers
    return [known, seed, name, str(len(wrong)), share, *rest]


def kept(path: Path) -> dict[tuple[str, str, str], list[str]]:
    """Lines that are there already, by set, seed and ranking."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {(line[0], line[1], line[2]): line for line in list(csv.reader(file))[1:]}


def main() -> None:
    """Score, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("signals", type=Path, help="folder that suspects_signals.py wrote")
    parser.add_argument("--out", type=Path, default=RESULTS)
    told = parser.parse_args()
    lines = kept(told.out)
    for file in sorted(told.signals.glob("*.parquet")):
        table = pq.read_table(file)
        some = slice(REVIEWED.get(file.stem.rpartition("-")[0]))
        wrong = table["wrong"].to_numpy()[some]
        for name, scores in rankings(table):
            line = line_of(file, name, wrong, scores[some])
            lines[line[0], line[1], name] = line
            print(*line, flush=True)
    with told.out.open("w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([HEADER, *(lines[key] for key in sorted(lines, key=lambda k: k[:2]))])


if __name__ == "__main__":
    main()
