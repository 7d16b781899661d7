"""The schema of data-test files: slices, metrics and bounds. Unknown fields are errors."""

import shlex
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    ValidationInfo,
    model_validator,
)

from tinyrefinery.data_tests.metric import OF_A_CLASS, OF_DEVICE, Metric, parse_metric
from tinyrefinery.data_tests.where import parse
from tinyrefinery.errors import DataTestError, RecipeError
from tinyrefinery.options.budget import HOST, read_amount, read_latency
from tinyrefinery.options.messages import check
from tinyrefinery.options.part import Part, Share, Slug, wrong
from tinyrefinery.options.perturbation import Perturbation
from tinyrefinery.options.sources import Source
from tinyrefinery.recipe.document import read

SPLIT_NAMES = ("train", "validation", "test", "new", "any")
MIN_N = 50


def _split(name: str) -> str:
    if name not in SPLIT_NAMES:
        raise ValueError(f"no split is named '{name}'. Splits: {', '.join(SPLIT_NAMES)}")
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


def _cost(value: Any, info: ValidationInfo) -> Any:
    """A bound such as `64kB` or `20ms` as a number of bytes or milliseconds; others as they are."""
    if not isinstance(value, str) or value.strip().replace(".", "", 1).isdigit():
        return value
    text = value.strip().removesuffix(f"@{HOST}")
    metric, is_time = info.data.get("metric"), text.endswith(("ms", "us"))
    if is_time != (metric == "latency") and metric in OF_DEVICE:
        example = "20ms" if metric == "latency" else "15M" if metric == "macs" else "64kB"
        raise ValueError(f"'{value}' is not a bound of {metric}. Write e.g. {example}")
    if is_time:
        return read_latency(f"{text}@{HOST}")
    try:
        return read_amount(text, "at_most")
    except RecipeError as error:
        raise ValueError(f"'{value}' is not an amount. Write e.g. 0.1, 64kB or 20ms") from error


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _folder_source(value: Any) -> Any:
    return {"name": "folder", "root": value} if isinstance(value, str) else value


Where = Annotated[str, AfterValidator(_expression)]
Split = Annotated[str, AfterValidator(_split)]
Confidence = Annotated[float, Field(gt=0.5, lt=1)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class Defaults(Part):
    """Settings for tests that don't have their own."""

    split: Split = "test"
    """Split of the images: train, validation, test, any of these three, or new, for images that
    were added after training."""
    confidence: Confidence = 0.95
    """Confidence of two-sided intervals, and 1 minus the level of tests between networks."""
    min_n: PositiveInt = MIN_N
    """With fewer images, the verdict is TOO FEW instead of PASS."""
    label_error: Share | None = None
    """Share of wrong labels, if known, e.g. from a review. It limits the reachable accuracy."""
    auto_labels: bool = False
    """Also evaluate on labels that nobody reviewed (`label_source` begins with `auto:`)."""


_OF_IMAGES = (
    *("where", "images", "list", "label", "split", "threshold", "perturb", "compare", "min_n"),
    *("confidence", "label_error", "auto_labels"),
)
"""Fields of a test that a cost doesn't depend on."""
BOUNDS = ("at_least", "at_most", "max_gap", "max_regression")


class DataTest(Part):
    """One test: images, a metric, a bound."""

    title: str = ""
    """Description for people."""
    where: Where | None = None
    """SQL expression over the columns of the data."""
    images: Texts = ()
    """Folders or patterns such as `coats/**/*.jpg` of paths in the data. Any match counts."""
    list: str | None = None
    """A file with one id or path per line."""
    label: str | None = None
    """Class of all these images, in place of their labels."""
    split: Split | None = None
    """As in `defaults`."""
    metric: Annotated[str, AfterValidator(_metric)] = "accuracy"
    """accuracy, errors, flip_rate, recall(CLASS), precision(CLASS), false_positive_rate(CLASS), or
    a cost: flash, ram, macs, latency."""
    threshold: Share | None = None
    """Smallest probability at which the metric's class counts as predicted; null: if it is the
    most probable class."""
    perturb: Perturbation | None = None
    """Evaluate on changed images."""
    at_least: Share | None = None
    """Smallest share that passes."""
    at_most: Annotated[Annotated[float, Field(ge=0)] | None, BeforeValidator(_cost)] = None
    """Largest share, number of errors, or cost (e.g. 64kB, 15M, 20ms) that passes."""
    compare: dict[str, Where] | None = None
    """Named parts of the slice that should be equally good."""
    max_gap: Share | None = None
    """Largest difference between the parts of `compare` that passes."""
    not_worse: str | None = None
    """The part of `compare` that may be better than the others by any amount, but not worse by more
    than `max_gap`; null: no part may be."""
    max_regression: Share | None = None
    """Largest loss against the baseline network, on the same images, that passes."""
    min_n: PositiveInt | None = None
    """As in `defaults`."""
    confidence: Confidence | None = None
    """As in `defaults`."""
    label_error: Share | None = None
    """As in `defaults`."""
    auto_labels: bool | None = None
    """As in `defaults`."""
    known_failure: Annotated[str, Field(min_length=1)] | None = None
    """Why the test is known to fail. It is reported, but does not count."""

    @model_validator(mode="after")
    def _fits_together(self) -> "DataTest":
        mistakes = [*_bound_mistakes(self), *_metric_mistakes(self)]
        if mistakes:
            raise wrong(*mistakes)
        return self

    @property
    def measure(self) -> Metric:
        """The parsed metric."""
        return parse_metric(self.metric)


def _bound_mistakes(test: DataTest) -> list[tuple[str, str]]:
    """Mistakes in a test's bounds: field and message."""
    bounds = [name for name in BOUNDS if getattr(test, name) is not None]
    if len(bounds) != 1:
        what = f"has {' and '.join(bounds)}" if bounds else "has no bound"
        return [("", f"{what}: set exactly one of {', '.join(BOUNDS)}")]
    mistakes = []
    if (test.compare is None) != (test.max_gap is None):
        mistakes.append(("", "compare and max_gap go together: set both or neither"))
    if test.compare is not None and len(test.compare) < 2:
        mistakes.append(("compare", "needs at least two slices"))
    if test.not_worse is not None and test.not_worse not in (test.compare or {}):
        parts = ", ".join(test.compare or {}) or "none"
        text = f"is not a part of compare: '{test.not_worse}'. Parts: {parts}"
        mistakes.append(("not_worse", text))
    if test.measure.is_cost:
        if test.at_most is None:
            mistakes.append(("at_most", f"{test.measure} needs at_most, e.g. 64kB, 15M or 20ms"))
    elif test.measure.is_count:
        if test.at_most is None or test.at_most != int(test.at_most):
            mistakes.append(("at_most", "must be a whole number for the metric errors"))
    elif test.at_most is not None and test.at_most > 1:
        mistakes.append(("at_most", f"must be a share from 0 to 1, not {test.at_most:g}"))
    return mistakes


def _metric_mistakes(test: DataTest) -> list[tuple[str, str]]:
    """Mistakes in a test's metric and its settings: field and message."""
    metric, mistakes = test.measure, []
    if metric.is_cost:
        return [
            (name, f"has no effect with {metric}")
            for name in _OF_IMAGES
            if name in test.model_fields_set and getattr(test, name) is not None
        ]
    if metric.name == "flip_rate" and test.perturb is None:
        mistakes.append(("perturb", "flip_rate needs a change of the images, e.g. {gain: 0.7}"))
    if metric.name == "precision" and test.max_regression is not None:
        mistakes.append(
            ("metric", "max_regression can't use precision: two networks count different images")
        )
    if test.threshold is not None and metric.name not in OF_A_CLASS:
        mistakes.append(("threshold", f"has no effect with {metric}"))
    if test.label is not None and metric.name == "flip_rate":
        mistakes.append(("label", "has no effect with flip_rate"))
    return mistakes


class Suite(Part):
    """A file of data tests."""

    title: str = ""
    """Description for people."""
    data: Annotated[Source | None, BeforeValidator(_folder_source)] = None
    """A folder of pictures, or a data source as in recipes; null: the data of the run."""
    metadata: Texts = ()
    """CSV, JSON Lines or Parquet files with further columns, and a column `id`, `path` or
    `file_name` that identifies the image."""
    baseline: str | None = None
    """Run or network file to compare with, unless the command names one."""
    defaults: Defaults = Defaults()
    """Settings for tests that don't have their own."""
    tests: Annotated[dict[Slug, DataTest], Field(min_length=1)]
    """The tests by name."""

    def setting(self, test: DataTest, name: str) -> Any:
        """A test's setting, or the default."""
        value = getattr(test, name)
        return getattr(self.defaults, name) if value is None else value


def load_suite(path: Path) -> Suite:
    """Read and check a file of data tests.

    Raises:
        DataTestError: with one line per mistake.
    """
    if not Path(path).exists():
        raise DataTestError(
            f"{path}: there is no such file of data tests. Create one to start from: "
            f"tinyrefinery init {shlex.quote(str(path))}"
        )
    try:
        return check(read(Path(path)), Suite, source=str(path))
    except RecipeError as error:
        raise DataTestError(str(error)) from error
