"""The report's first section as values for its template."""

from typing import Any

from tinyrefinery.reports.class_errors import confident_errors
from tinyrefinery.reports.class_section import NO_CLASSES, class_section
from tinyrefinery.reports.network_facts import NetworkFacts


def network_section(facts: NetworkFacts) -> dict[str, Any]:
    """Everything that `network.html.j2` shows of a network."""
    predictions = facts.predictions
    section: dict[str, Any] = {"facts": facts, "chosen": _chosen(facts), **NO_CLASSES}
    if predictions is None:
        return section
    return section | class_section(predictions, confident_errors(facts.stage, predictions))


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
