"""The file of data tests: slices, metrics and bounds; strict, every field with its meaning."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, model_validator

from tinyrefinery.data_tests.metric import OF_A_CLASS, Metric, parse_metric
from tinyrefinery.data_tests.where import parse
from tinyrefinery.errors import DataTestError, RecipeError
from tinyrefinery.options.part import Part, Share, Slug, wrong
from tinyrefinery.options.perturbation import Perturbation
from tinyrefinery.options.sources import Source
from tinyrefinery.recipe.document import read
from tinyrefinery.recipe.load import check

SPLIT_NAMES = ("train", "validation", "test", "new", "any")
MIN_N = 50


def _split(name: str) -> str:
    if name not in SPLIT_NAMES:
        raise ValueError(f"no split is named '{name}' (known: {', '.join(SPLIT_NAMES)})")
    return name


def _expression(text: str) -> str:
    try:
        parse(text)
    except DataTestError as error:
        raise ValueError(str(error)) from error
    return text


def _metric(text: str) -> str:
    parse_metric(text)
    return text


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _folder_source(value: Any) -> Any:
    return {"name": "folder", "root": value} if isinstance(value, str) else value


Where = Annotated[str, AfterValidator(_expression)]
Split = Annotated[str, AfterValidator(_split)]
Confidence = Annotated[float, Field(gt=0.5, lt=1)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_several)]


class Defaults(Part):
    """What tests have in common that don't say otherwise."""

    split: Split = "test"
    """Of which images are taken: train, validation, test, any of these three, or new: images that
    came after training."""
    confidence: Confidence = 0.95
    """Of two-sided intervals, and 1 minus the level of tests between networks."""
    min_n: PositiveInt = MIN_N
    """Below so many images, a test says TOO FEW instead of passing."""
    label_error: Share | None = None
    """Share of wrong labels, where it is known, e.g. from a review; sets what can be reached."""
    auto_labels: bool = False
    """Measure on labels that no person looked at too (`label_source` begins with `auto:`)."""


BOUNDS = ("at_least", "at_most", "max_gap", "max_regression")


class DataTest(Part):
    """One test: images, a metric, a bound."""

    title: str = ""
    """For people."""
    where: Where | None = None
    """SQL expression over the columns of the data."""
    images: Texts = ()
    """Folders or patterns such as `coats/**/*.jpg`, of paths in the data; any of them."""
    list: str | None = None
    """A file with an id or path on each line."""
    label: str | None = None
    """Class that all of these images show, whatever their labels say."""
    split: Split | None = None
    """As in `defaults`."""
    metric: Annotated[str, AfterValidator(_metric)] = "accuracy"
    """accuracy, errors, flip_rate, recall(CLASS), precision(CLASS), false_positive_rate(CLASS)."""
    threshold: Share | None = None
    """Probability from which on the metric's class counts as predicted; null: the most probable."""
    perturb: Perturbation | None = None
    """Measure on changed images."""
    at_least: Share | None = None
    """Least share."""
    at_most: Annotated[float, Field(ge=0)] | None = None
    """Greatest share, or number of errors."""
    compare: dict[str, Where] | None = None
    """Slices of the slice, by name, that should do equally well."""
    max_gap: Share | None = None
    """Greatest difference between the slices of `compare`."""
    max_regression: Share | None = None
    """Greatest loss against the baseline network, on the same images."""
    min_n: PositiveInt | None = None
    """As in `defaults`."""
    confidence: Confidence | None = None
    """As in `defaults`."""
    label_error: Share | None = None
    """As in `defaults`."""
    auto_labels: bool | None = None
    """As in `defaults`."""
    known_failure: Annotated[str, Field(min_length=1)] | None = None
    """Why it is known to fail: it is reported, and doesn't count."""

    @model_validator(mode="after")
    def _fits_together(self) -> "DataTest":
        mistakes = [*_bound_mistakes(self), *_metric_mistakes(self)]
        if mistakes:
            raise wrong(*mistakes)
        return self

    @property
    def measure(self) -> Metric:
        """The metric, read."""
        return parse_metric(self.metric)


def _bound_mistakes(test: DataTest) -> list[tuple[str, str]]:
    """What is wrong with a test's bounds."""
    given = [name for name in BOUNDS if getattr(test, name) is not None]
    if len(given) != 1:
        what = f"has {' and '.join(given)}" if given else "has no bound"
        return [("", f"{what}; give exactly one of {', '.join(BOUNDS)}")]
    mistakes = []
    if (test.compare is None) != (test.max_gap is None):
        mistakes.append(("", "compare and max_gap go together"))
    if test.compare is not None and len(test.compare) < 2:
        mistakes.append(("compare", "needs two slices or more"))
    if test.measure.is_count:
        if test.at_most is None or test.at_most != int(test.at_most):
            mistakes.append(("at_most", "errors are counted, so give a whole number"))
    elif test.at_most is not None and test.at_most > 1:
        mistakes.append(("at_most", f"should be a share from 0 to 1, not {test.at_most:g}"))
    return mistakes


def _metric_mistakes(test: DataTest) -> list[tuple[str, str]]:
    """What is wrong with a test's metric and with what goes with it."""
    metric, mistakes = test.measure, []
    if metric.name == "flip_rate" and test.perturb is None:
        mistakes.append(("perturb", "flip_rate needs it: what is changed?"))
    if metric.name == "precision" and test.max_regression is not None:
        mistakes.append(("metric", "precision isn't of the same images in two networks"))
    if test.threshold is not None and metric.name not in OF_A_CLASS:
        mistakes.append(("threshold", f"has no effect with {metric}"))
    if test.label is not None and metric.name == "flip_rate":
        mistakes.append(("label", "has no effect with flip_rate"))
    return mistakes


class Suite(Part):
    """A file of data tests."""

    title: str = ""
    """For people."""
    data: Annotated[Source | None, BeforeValidator(_folder_source)] = None
    """A folder of pictures, or a source as in recipes; null: the data of the run."""
    metadata: Texts = ()
    """CSV, JSON Lines or Parquet files of further columns, with a column `id`, `path` or
    `file_name` that says which image is meant."""
    baseline: str | None = None
    """Run or network file to compare with, unless the command names one."""
    defaults: Defaults = Defaults()
    """What tests have in common."""
    tests: Annotated[dict[Slug, DataTest], Field(min_length=1)]
    """By name."""

    def setting(self, test: DataTest, name: str) -> Any:
        """A test's own setting, or the default."""
        own = getattr(test, name)
        return getattr(self.defaults, name) if own is None else own


def load_suite(path: Path) -> Suite:
    """Read and check a file of data tests.

    Raises:
        DataTestError: with a line for each mistake.
    """
    try:
        return check(read(Path(path)), Suite, source=str(path))
    except RecipeError as error:
        raise DataTestError(str(error)) from error
