"""Identity of stored labels: the facts that must match before a label is used."""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import numpy as np

from tinyrefinery.data.batches import View
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.store.encodings import Form

FORMAT = 5  # raise it when the files change, or arithmetic that changes the bits of labels
Facts = dict[str, Any]
_TEXTS = {
    "format": "another version of the format",
    "labels": "another form of the labels",
    "data": "other images",
    "classes": "other classes",
    "crops": "other crops",
    "refiner": "another refiner",
    "groups": "other BN groups",
    "given": "other given labels",
}


def facts_of(labels: CropLabels, form: Form) -> Facts:
    """Everything that labels depend on, besides stream and row, as plain values.

    Given labels are not included, except where they take the place of labels of a refiner with
    other classes. Refined labels don't depend on them, so a store stays valid when given labels are
    corrected.
    """
    grouped = labels.refiner.depends_on_batch
    facts = {
        "format": FORMAT,
        "labels": {"form": form.name, "top": form.top},
        **facts_of_view(labels.view, labels.rows),
        "refiner": labels.refiner.facts(),
        "groups": {"size": labels.plan.group, "seed": labels.plan.seed} if grouped else None,
    }
    if labels.replaces_labels:
        facts["given"] = _given_digest(labels)
    return json.loads(json.dumps(facts))  # so they compare equal to facts read from a file


def _given_digest(labels: CropLabels) -> str:
    """Digest of the given labels of the samples, soft ones too."""
    manifest, rows = labels.view.dataset.manifest, labels.rows
    digest = sha256(manifest.labels[rows].tobytes())
    soft_rows, soft = manifest.soft_labels
    wanted = np.isin(soft_rows, rows)
    digest.update(soft_rows[wanted].tobytes() + soft[wanted].tobytes())
    return digest.hexdigest()


def facts_of_view(view: View, rows: np.ndarray) -> Facts:
    """The facts that don't depend on the refiner: images, classes and crops."""
    manifest = view.dataset.manifest
    digest = rows_digest(rows, manifest.column("id")[rows])
    crops = {
        "crop": view.crop.model_dump(mode="json"),
        "augment": view.augment and view.augment.model_dump(mode="json"),
        "seed": view.seed,
        "mean": view.mean,
        "std": view.std,
    }
    facts = {
        "data": {"rows": len(rows), "digest": digest, "channels": view.dataset.images.channels},
        "classes": list(manifest.classes),
        "crops": crops,
    }
    return json.loads(json.dumps(facts))


def rows_digest(rows: np.ndarray, ids: np.ndarray) -> str:
    """Digest of manifest rows and the ids of their samples, (N,) each."""
    text = "\x1e".join(ids).encode()
    return sha256(np.asarray(rows, np.int64).tobytes() + text).hexdigest()


def key(facts: Facts) -> str:
    """Digest of facts, 64 hexadecimal digits."""
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def differences(stored: Facts, wanted: Mapping[str, Any]) -> list[str]:
    """Reasons why a store with facts `stored` can't be used for `wanted`; empty if it can.

    Compares only the facts in `wanted`.
    """
    reasons = []
    for name, value in wanted.items():
        if name == "classes":
            reasons += _class_differences(stored.get(name, []), value)
        elif stored.get(name) != value:
            leaves = _unequal_leaves(stored.get(name), value)
            details = "; ".join(f"{path or name}: {a}, not {b}" for path, a, b in leaves)
            reasons.append(f"{_TEXTS.get(name, name)} ({details})")
    return reasons


def _class_differences(stored: list[str], wanted: list[str]) -> list[str]:
    if stored == wanted:
        return []
    missing = [name for name in wanted if name not in stored]
    extra = [name for name in stored if name not in wanted]
    notes = [f"class '{name}' is missing from the store" for name in missing[:3]]
    notes += [f"class '{name}' of the store is missing from the data" for name in extra[:3]]
    return [f"{_TEXTS['classes']} ({'; '.join(notes) or 'in another order'})"]


def _unequal_leaves(stored: Any, wanted: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, stored value and wanted value of each leaf that differs; values are shortened."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for name in sorted(stored.keys() | wanted.keys()):
            inner = f"{path}.{name}" if path else name
            yield from _unequal_leaves(stored.get(name), wanted.get(name), inner)
    elif stored != wanted:
        yield path, _short(stored), _short(wanted)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else f"{text[:20]}..."
