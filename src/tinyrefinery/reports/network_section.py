"""The report's first section as values for its template."""

from typing import Any

from tinyrefinery.reports.class_errors import (
    MOST_CLASSES,
    class_lines,
    confident_errors,
    confusion,
    worst_pairs,
)
from tinyrefinery.reports.network_facts import NetworkFacts


def network_section(facts: NetworkFacts) -> dict[str, Any]:
    """Everything that `network.html.j2` shows of a network."""
    predictions = facts.predictions
    section: dict[str, Any] = {
        "facts": facts,
        "chosen": _chosen(facts),
        "classes": [],
        "matrix": None,
        "pairs": [],
        "errors": [],
        "k": 0,
    }
    if predictions is None:
        return section
    section |= {
        "k": len(predictions.classes),
        "classes": class_lines(predictions),
        "errors": confident_errors(facts.stage, predictions),
    }
    if len(predictions.classes) <= MOST_CLASSES:
        counts = confusion(predictions)
        shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
        section["matrix"] = [
            (name, list(zip(line.tolist(), share.tolist(), strict=True)))
            for name, line, share in zip(predictions.classes, counts, shares, strict=True)
        ]
    else:
        section["pairs"] = worst_pairs(predictions)
    return section


def _chosen(facts: NetworkFacts) -> str:
    """Which network this is and why it is shown."""
    stage = facts.stage
    text = f"Stage {stage.stage}, the last of the recipe"
    if facts.rows > 1:
        text += f". Row {stage.row}, the best of {facts.rows} rows by validation accuracy"
    if len(facts.group.runs) > 1:
        text += f". Seed {stage.seed}, the lowest"
    opens = " with --row" if facts.rows > 1 else ""
    return f"{text}. tinyrefinery predict opens the same network{opens}."
