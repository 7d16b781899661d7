"""What the opening checks said of a data set, as findings."""

from tinyrefinery.curation.finding import Finding, Severity
from tinyrefinery.data.dataset import Dataset, Problem

_MEANS: dict[str, tuple[str, Severity, str]] = {
    "broken_image": ("broken", "warning", "mend or delete the files; they are left out"),
    "missing_label": ("broken", "warning", "label them, or delete them; they are left out"),
    "duplicate_across_splits": (
        "leak",
        "error",
        "delete one of each pair: this tool leaves the training copy out, others would not",
    ),
    "group_across_splits": (
        "leak",
        "error",
        "carve the splits by group: leave the source's own splits and set data.source.group",
    ),
    "conflicting_labels": ("conflict", "warning", "at least one label of each is wrong: look"),
    "empty_class": ("small_class", "warning", "collect images of it, or remove the class"),
    "auto_labels_measure": (
        "leak",
        "warning",
        "review these images, or move them to training: a network's labels measure no network",
    ),
    "empty_split": ("small_class", "warning", "collect more images"),
    "ignored_files": ("broken", "note", "rename what is an image"),
    "unlisted_image": ("broken", "note", "list them in the metadata file, or delete them"),
    "excluded": ("broken", "note", "nothing: the list says so"),
    "overlay": ("broken", "note", "nothing: people decided so"),
    "stale_decision": ("conflict", "warning", "review these images again"),
    "reviewers_disagree": ("conflict", "warning", "give one of them the last word: docs/review.md"),
}
_SPELLED_OUT = 200


def problem_findings(dataset: Dataset, mend: str) -> list[Finding]:
    """One finding a kind of problem.

    Args:
        dataset: as it was opened.
        mend: unused where a problem has a remedy of its own.
    """
    kinds: dict[str, list[Problem]] = {}
    for problem in dataset.problems:
        kinds.setdefault(problem.kind, []).append(problem)
    found = []
    for name, problems in kinds.items():
        kind, severity, remedy = _MEANS.get(name, ("broken", "warning", mend))
        first = problems[0]
        more = f"; and {len(problems) - 1} more such" if len(problems) > 1 else ""
        found.append(
            Finding(
                kind,
                severity,
                f"{name.replace('_', ' ')}: {first.where}: {first.what}{more}",
                first.where,
                remedy,
                len(problems),
                facts={
                    "problem": name,
                    "all": [[p.where, p.what] for p in problems[:_SPELLED_OUT]],
                },
            )
        )
    return found
