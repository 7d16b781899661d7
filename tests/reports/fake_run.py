"""A run folder as a real run leaves it: four stages, three seeds, numbers from a formula."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = ("00", "<script>alert(1)</script>", "a&b", "$x_1$", *(f"{i:02d}" for i in range(4, 30)))
SEEDS = (0, 1, 2)
STAGES: dict[str, dict[str, Any]] = {
    "compact": {
        "model": "tiny_cnn",
        "labels": "ground truth",
        "top1": 0.785,
        "gap": 0.14,
        "kl": 5.1,
    },
    "large": {"model": "wide_cnn", "labels": "ground truth", "top1": 0.86, "gap": 0.12, "kl": 5.1},
    "refined": {
        **{"model": "tiny_cnn", "labels": "<large> (crop, soft)", "refiners": ["large"]},
        **{"top1": 0.825, "gap": 0.07, "kl": 0.92},
    },
    "again": {
        **{"model": "tiny_cnn", "labels": "refined (crop, soft)", "refiners": ["refined"]},
        **{"top1": 0.79, "gap": 0.05, "kl": 1.1},
    },
}
SPREAD = {"compact": 0.004, "large": 0.005, "refined": 0.004, "again": 0.012}
RECIPE = "title: <b>demo</b>\nstages:\n" + "".join(f"  - id: {name}\n" for name in STAGES)


def key(stage: str, seed: int) -> str:
    """Key of a stage."""
    return sha256(f"{stage}/{seed}".encode()).hexdigest()


def write_fake_run(folder: Path, seeds: tuple[int, ...] = SEEDS, epochs: int = 15) -> Path:
    """Write the run folder and return it; one more stage is unfinished."""
    for stage in STAGES:
        for seed in seeds:
            _write_stage(folder, stage, seed, epochs)
    unfinished = folder / "stages" / "unfinished-01234567"
    unfinished.mkdir(parents=True)
    (unfinished / "stage.json").write_text("{")
    (folder / "recipe.yaml").write_text(RECIPE)
    environment = {
        "python": "3.11.2",
        "packages": {"torch": "2.15.0"},
        "cpu": "2 cores",
        "gpus": [],
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    data = {"name": "street numbers", "splits": {"train": 6000}, "classes": list(CLASSES)}
    (folder / "data.json").write_text(json.dumps(data))
    lines = ["kind,where,what", '"broken_image","a/<i>.png","zero bytes, left out"']
    (folder / "excluded.csv").write_text("\n".join(lines) + "\n")
    write_samples(folder)
    return folder


def evaluation(stage: str, seed: int) -> dict[str, Any]:
    """evaluation.json of a stage."""
    random = np.random.default_rng([seed, *stage.encode()])
    facts = STAGES[stage]
    test = facts["top1"] + 0.003 * seed + random.normal(0, SPREAD[stage])
    train = test + facts["gap"] + random.normal(0, 0.004)
    splits = {"train": train, "validation": test + 0.01, "test": test}
    found: dict[str, Any] = {
        split: {
            "n": 1000,
            "top1": top1,
            "top5": top1 + 0.03,
            "nll": 1 - top1,
            "ece": 0.04,
            "brier": 0.2,
        }
        for split, top1 in splits.items()
    }
    cost = {"parameters": 78_666 if facts["model"] == "tiny_cnn" else 865_000, "macs": 12_500_000}
    quality = {"kl": facts["kl"] + 0.01 * seed, "total_variation": 0.3, "top1_agreement": 0.8}
    return found | {
        "gap": train - test - 0.01,
        "label_quality": quality,
        "cost": cost,
        "per_category": [_category(name, train, test, random) for name in CLASSES],
    }


def _category(name: str, train: float, test: float, random: np.random.Generator) -> dict[str, Any]:
    hard = random.beta(2, 6)
    return {
        **{"category": name, "train_n": 60, "train_top1": float(np.clip(train + 0.2 - hard, 0, 1))},
        "validation_n": 0 if name == "00" else 10,
        "validation_top1": None if name == "00" else float(np.clip(test + 0.2 - 1.2 * hard, 0, 1)),
    }


def _write_stage(folder: Path, stage: str, seed: int, epochs: int) -> None:
    path = folder / "stages" / f"{stage}-{key(stage, seed)[:8]}"
    path.mkdir(parents=True)
    facts = STAGES[stage]
    names = {
        "data": "0123456789abcdef",
        "stage": stage,
        "key": key(stage, seed),
        "seed": seed,
        "rows": [],
    }
    names |= {"kind": "classifier", "model": facts["model"], "labels": facts["labels"]}
    names["generation"] = {"refined": 2, "again": 3}.get(stage, 1)
    names["refiners"] = [key(each, seed) for each in facts.get("refiners", ())]
    (path / "stage.json").write_text(json.dumps(names))
    found = evaluation(stage, seed)
    (path / "evaluation.json").write_text(json.dumps(found))
    lines = []
    for epoch in range(epochs):
        grown = 1 - np.exp(-(epoch + 1) / 4)
        entry = {"epoch": epoch + 1, "step": 47 * (epoch + 1), "lr": 0.01, "seconds": 2.5}
        entry |= {"train_loss": 2.0, "train_top1": 0.9 * grown * found["train"]["top1"]}
        entry |= {"validation_loss": 2.0, "validation_top1": grown * found["validation"]["top1"]}
        lines.append(json.dumps(entry))
    (path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (path / "done.json").write_text(json.dumps({"key": names["key"]}))


def write_samples(folder: Path, n: int = 12) -> None:
    """samples.npz: a bright bar on noise, cropped."""
    random = np.random.default_rng(0)
    source = random.integers(20, 90, (n, 32, 48, 1), dtype=np.uint8)
    source[:, 8:26, 10:16] = 230
    source[:, 8:12, 24:38] = 230
    boxes = np.stack(
        [random.uniform(-2, 8, n), random.uniform(0, 16, n), *np.full((2, n), 24.0)], 1
    )
    label = random.integers(0, len(CLASSES), n)
    mixes = {name: random.dirichlet(np.full(len(CLASSES), 0.08), n) for name in ("truth", "a", "b")}
    one_hot = np.eye(len(CLASSES))[label]
    truth = 0.5 * mixes["truth"] + 0.5 * one_hot
    np.savez(
        folder / "samples.npz",
        **{"source": source, "crop": source[:, 4:28, 8:32], "boxes": boxes, "label": label},
        **{"truth": truth, "classes": np.array(CLASSES)},
        **{"labels_large": 0.7 * truth + 0.3 * mixes["a"], "title_large": np.array("large")},
        **{"labels_refined": 0.6 * truth + 0.4 * mixes["b"]},
    )


if __name__ == "__main__":
    import sys

    write_fake_run(Path(sys.argv[1]))
