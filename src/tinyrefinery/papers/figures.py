"""Figures 4 to 8 of Label Refinery (arXiv 1805.02641), from run folders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from tinyrefinery.pages.run_tables import StageGroup, find_baseline
from tinyrefinery.papers.category_figures import (
    BIN,
    PARTS,
    Pair,
    distributions,
    profiles,
    train_against_validation,
)
from tinyrefinery.papers.prediction_figures import Story, crop_story, image_story, story_figure
from tinyrefinery.runs.folder import Run
from tinyrefinery.runs.lineage import longest_line

MOST_PAIRS = 6


@dataclass(frozen=True)
class PaperFigure:
    """One figure with its words."""

    file: str
    """Name in plots/, without ending."""
    title: str
    caption: str
    figure: Figure


def paper_figures(folders: Sequence[Run], groups: Sequence[StageGroup]) -> list[PaperFigure]:
    """All that can be drawn; those that lack two generations, categories or samples are left out.

    Figures 4 to 6 are of all seeds of the longest line of generations, 7 and 8 of one seed of the
    first run that has them.
    """
    line = line_of_groups(groups)
    seeds = _seeds(line)
    found = [
        (
            "figure4-train-validation",
            "Figure 4: training against validation accuracy of the categories",
            f"Dots: categories, mean over {seeds}. Squares: bins of {BIN:g} points of training "
            "accuracy, mean and standard deviation of validation accuracy over the categories of "
            "the bin, whose number stands below. On the line nothing is overfitted.",
            train_against_validation(line),
        ),
        (
            "figure5-distributions",
            "Figure 5: accuracies of the categories over the generations",
            f"Hollow: training, filled: validation; mean over {seeds}. Box: quartiles and median, "
            "whiskers: 5 to 95 % of the categories. Mean ± standard deviation over categories.",
            distributions(line),
        ),
        (
            "figure6-profiles",
            "Figure 6: the refiner's profile against that of the network it labelled for",
            f"Categories in the order of the refiner's validation accuracy, in {PARTS} parts at "
            f"most; mean and standard deviation over the categories of a part, over {seeds}. r: "
            "correlation with the refiner over categories; in brackets that of the same network "
            "on given labels, which is what hard categories alone account for.",
            profiles(pairs_of(groups)[:MOST_PAIRS]),
        ),
    ]
    made = [PaperFigure(*each[:3], each[3]) for each in found if each[3] is not None]
    return [*made, *_stories(folders)]


def line_of_groups(groups: Sequence[StageGroup]) -> list[StageGroup]:
    """The longest line of stages that refined one another; a lone stage is a line of one."""
    of_key = {run.key: number for number, group in enumerate(groups) for run in group.runs}
    refined_by = {
        str(number): list(
            dict.fromkeys(
                str(of_key[key]) for run in group.runs for key in run.refiners if key in of_key
            )
        )
        for number, group in enumerate(groups)
    }
    return [groups[int(number)] for number in longest_line(refined_by)]


def pairs_of(groups: Sequence[StageGroup]) -> list[Pair]:
    """Each refined stage with its refiner, of several the first, and its baseline."""
    of_key = {run.key: group for group in groups for run in group.runs}
    found: list[Pair] = []
    for group in groups:
        refiners = [of_key[key] for key in group.first.refiners if key in of_key]
        if refiners:
            baseline = find_baseline(group, groups)
            own = None if baseline is refiners[0] else baseline
            found.append((group, refiners[0], own))
    return found


def _seeds(line: Sequence[StageGroup]) -> str:
    counts = sorted({len(group.runs) for group in line})
    if not counts:
        return "no seeds"
    text = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"n = {text} seed{'' if text == '1' else 's'}"


def _stories(folders: Sequence[Run]) -> Iterator[PaperFigure]:
    kinds = (
        ("figure7-crop", "Figure 7: top-3 predictions of a training crop", crop_story),
        ("figure8-image", "Figure 8: top-3 predictions of a validation image", image_story),
    )
    for file, title, story_of in kinds:
        story = next((s for s in map(story_of, folders) if s is not None), None)
        if story is not None:
            yield PaperFigure(file, title, _chosen(story, file.split("-")[1]), story_figure(story))


def _chosen(story: Story, what: str) -> str:
    labelled = " Labels of the crop as training sees them." if what == "crop" else ""
    return (
        f"One seed. Of {story.candidates} {what}s the one whose top-3 distribution (the three most "
        "probable classes, all others as one) moved farthest from the first generation to the "
        f"last: total variation {story.change:.2f}; the lower row among equals. Bold and blue: the "
        f"given class.{labelled}"
    )
