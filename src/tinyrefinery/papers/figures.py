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
from tinyrefinery.papers.prediction_figures import (
    ChangedSample,
    changed_crop,
    changed_image,
    sample_figure,
)
from tinyrefinery.runs.lineage import longest_line
from tinyrefinery.runs.run_folder import Run

MOST_PAIRS = 6


@dataclass(frozen=True)
class PaperFigure:
    """One figure with its title and caption."""

    file: str
    """Name in plots/, without extension."""
    title: str
    caption: str
    figure: Figure


def paper_figures(folders: Sequence[Run], groups: Sequence[StageGroup]) -> list[PaperFigure]:
    """Draw all figures for which there are two generations, categories or samples.

    Figures 4 to 6 show all seeds of the longest line of generations. Figures 7 and 8 show one seed
    of the first run that has samples.
    """
    line = line_of_groups(groups)
    seeds = _seeds(line)
    figures = [
        (
            "figure4-train-validation",
            "Figure 4: training and validation accuracy per category",
            f"Dots: categories, mean over {seeds}. Squares: bins of {BIN:g} points of training "
            "accuracy, with mean and standard deviation of the validation accuracy over the "
            "categories of the bin. Their number is below. Categories on the line do not overfit.",
            train_against_validation(line),
        ),
        (
            "figure5-distributions",
            "Figure 5: accuracy per category over the generations",
            f"Hollow: training. Filled: validation. Mean over {seeds}. Boxes: quartiles and "
            "median. Whiskers: 5% to 95% of the categories. Numbers: mean ± standard deviation "
            "over categories.",
            distributions(line),
        ),
        (
            "figure6-profiles",
            "Figure 6: accuracy per category of the refiner and of its student",
            "Categories in the order of the refiner's validation accuracy, in up to "
            f"{PARTS} parts. Mean and standard deviation over the categories of a part, over "
            f"{seeds}. r: correlation with the refiner over categories. In parentheses: the same "
            "for the network on the given labels, which is due to hard categories alone.",
            profiles(pairs_of(groups)[:MOST_PAIRS]),
        ),
    ]
    drawn = [
        PaperFigure(name, title, note, figure)
        for name, title, note, figure in figures
        if figure is not None
    ]
    return [*drawn, *_sample_figures(folders)]


def line_of_groups(groups: Sequence[StageGroup]) -> list[StageGroup]:
    """The longest line of stages, each the refiner of the next. One stage alone is a line."""
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
    """Each refined stage with its first refiner and its baseline."""
    of_key = {run.key: group for group in groups for run in group.runs}
    pairs: list[Pair] = []
    for group in groups:
        refiners = [of_key[key] for key in group.first.refiners if key in of_key]
        if refiners:
            baseline = find_baseline(group, groups)
            pairs.append((group, refiners[0], None if baseline is refiners[0] else baseline))
    return pairs


def _seeds(line: Sequence[StageGroup]) -> str:
    counts = sorted({len(group.runs) for group in line})
    if not counts:
        return "no seeds"
    text = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"n = {text} seed{'' if text == '1' else 's'}"


def _sample_figures(folders: Sequence[Run]) -> Iterator[PaperFigure]:
    kinds = (
        ("figure7-crop", "Figure 7: top-3 predictions for a training crop", changed_crop),
        ("figure8-image", "Figure 8: top-3 predictions for a validation image", changed_image),
    )
    for file, title, find in kinds:
        sample = next((s for s in map(find, folders) if s is not None), None)
        if sample is not None:
            caption = _sample_caption(sample, file.split("-")[1])
            yield PaperFigure(file, title, caption, sample_figure(sample))


def _sample_caption(sample: ChangedSample, what: str) -> str:
    crop = " These are the labels of the crop in training." if what == "crop" else ""
    return (
        f"One seed. Among {sample.candidates} {what}s, this is the one whose top-3 distribution "
        "(the three most probable classes, all others as one) changed most from the first to the "
        f"last generation: total variation {sample.change:.2f}, with ties going to the lower row. "
        f"Bold and blue: the label.{crop}"
    )
