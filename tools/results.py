"""Write the result tables of README.md and docs/ from the CSV files in docs/results/.

Run: python tools/results.py (with --check: fail if a table does not match the CSV files)
The CSV files are the results.csv of runs; docs/results.md names the command that makes each.
"""

import sys
from collections.abc import Callable
from functools import partial

from tables.curation import capacity, factory, factory_gain, suspects, suspects_gains, wrong_labels
from tables.label_quality import label_levels, label_modes, label_people
from tables.lookup_tradeoff import tradeoff_table
from tables.networks import detection, variances
from tables.papers import gains_by_row, paper_rows, paper_table, printed, replication
from tables.reading import ROOT
from tables.refiners import refiner_gains, refiner_ranks, verdicts_on_real_images
from tables.runs import (
    CIFAR,
    CIFAR_INCEPTION,
    CIFAR_LONG,
    CIFAR_RUNNING,
    CIFAR_SMALL,
    DEMO,
    IMAGENETTE,
    IMAGENETTE_08,
    against,
    beside,
    gains,
    stages,
    street,
)
from tables.speed import speed, store_claim

TABLES: dict[str, Callable[[], str]] = {
    "detection": detection,
    **{f"table{number}": partial(paper_table, f"table{number}") for number in range(1, 8)},
    **{f"printed-{n}": partial(printed, "label-refinery", n) for n in range(1, 8)},
    **{f"printed-bias-loss-{n}": partial(printed, "bias-loss", n) for n in range(1, 7)},
    "printed-replication": partial(printed, "replication", 1),
    "real-images": partial(paper_table, "real_images"),
    "real-images-better": partial(paper_rows, "real_images-better"),
    "replication-few": partial(replication, "few"),
    "replication-deep": partial(replication, "deep"),
    "losses": lambda: gains_by_row("losses"),
    "losses-variances": lambda: variances(
        *(
            (f"{network}{loss}", trained, what)
            for network in ("resnet8", "skipblocknet")
            for loss, trained, what in (
                ("", "no", "untrained"),
                ("", "yes", "cross-entropy"),
                ("_bias", "yes", "Bias Loss as printed"),
                ("_bias_normalized", "yes", "Bias Loss by variances, mean-normalized"),
            )
        )
    ),
    "demo": lambda: stages("demo", truth=True),
    "lookup-tradeoff": tradeoff_table,
    "cifar10": lambda: stages("cifar10", "pad"),
    "imagenette": lambda: stages("imagenette", "area35"),
    "faq-sets": lambda: gains(DEMO, CIFAR, IMAGENETTE),
    "faq-capacity": lambda: gains(CIFAR, CIFAR_SMALL),
    "faq-crop-area": lambda: gains(CIFAR, CIFAR_INCEPTION, IMAGENETTE, IMAGENETTE_08),
    "faq-epochs": lambda: gains(*street("soft_crop", "twice_as_long"), CIFAR, CIFAR_LONG),
    "faq-batch-norm": lambda: gains(*street("soft_crop", "running"), CIFAR, CIFAR_RUNNING),
    "faq-level": lambda: gains(*street("soft_crop", "hard", "image", "category")),
    "food3": lambda: beside(
        "food3",
        "scratch",
        ("from scratch", "scratch"),
        ("all weights, head replaced", "all_weights"),
        ("head replaced, `layer_decay: 0.75`", "layer_decay"),
        ("head replaced, first eight blocks frozen", "frozen"),
        ("head only", "head_only"),
    ),
    "speed": speed,
    "store-claim": store_claim,
    "store-speed": lambda: speed("label_store"),
    "dynamics-speed": lambda: speed("dynamics"),
    "compiling": lambda: speed("compiling"),
    "wrong-labels": wrong_labels,
    "label-levels": lambda: label_levels("label_quality_street"),
    "label-modes": lambda: label_modes("label_quality_street"),
    "label-people": lambda: label_people("label_quality_people"),
    "refiner-gains": refiner_gains,
    "refiner-verdicts": verdicts_on_real_images,
    "refiner-ranks": refiner_ranks,
    "suspects-human": lambda: suspects("human_label1"),
    "suspects-imagenette": lambda: suspects("imagenette_25"),
    "suspects-aggregate": lambda: suspects("aggregate_label"),
    "suspects-worst": lambda: suspects("worst_label"),
    "suspects-gains": lambda: suspects_gains(
        human_label1="one label", aggregate_label="vote of three", worst_label="worst of three"
    ),
    "suspects-test": lambda: suspects("cifar_test"),
    "shortcut-capacity": capacity,
    "factory": factory,
    "factory-gain": lambda: factory_gain("suspects", "at random"),
    "store-forms": lambda: against(
        "street_store",
        "live",
        "refined",
        ("live refiner, or float32 (400 bytes)", "live"),
        ("float16 (200 bytes)", "float16"),
        ("compact: top 10 (20 bytes)", "compact"),
        ("top 3 (6 bytes)", "top_3"),
    ),
    "store-pools": lambda: against(
        "street_store",
        "fresh_50",
        "refined",
        ("50 epochs, each with fresh crops", "fresh_50"),
        *((f"50 epochs of a pool of {n}", f"pool_{n}") for n in (20, 10, 5)),
    ),
    "store-long-pools": lambda: against(
        "street_store",
        "fresh_100",
        "refined",
        ("100 epochs, each with fresh crops", "fresh_100"),
        ("100 epochs of a pool of 50", "pool_50"),
    ),
    "floor": lambda: speed("floor"),
}


def main() -> int:
    """Fill every `<!-- results:NAME -->` of README.md and docs/."""
    stale = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text()
        for name, table in TABLES.items():
            begin, end = f"<!-- results:{name} -->", "<!-- /results -->"
            if begin in text:
                head, _, rest = text.partition(begin)
                _, _, tail = rest.partition(end)
                text = f"{head}{begin}\n{table()}\n{end}{tail}"
        if text != path.read_text():
            stale.append(path.relative_to(ROOT))
            if "--check" not in sys.argv:
                path.write_text(text)
    print("\n".join(f"{'stale' if '--check' in sys.argv else 'written'}: {path}" for path in stale))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
