"""The bound and the images of a data test, as text."""

from tinyrefinery.data_tests.costs import need as costs_need
from tinyrefinery.data_tests.data_test_file import DataTest


def need(test: DataTest) -> str:
    """The test's bound as text, such as ">= 0.9"."""
    if test.at_least is not None:
        return f">= {test.at_least:g}"
    if test.at_most is not None and test.measure.is_cost:
        return costs_need(test.measure, test.at_most)
    if test.at_most is not None:
        return f"<= {test.at_most:g}"
    if test.max_gap is not None:
        return f"{'gap' if test.not_worse is None else 'loss'} <= {test.max_gap:g}"
    return f"loss <= {test.max_regression:g}"


def describe_slice(test: DataTest) -> str:
    """The test's images as text."""
    parts = [", ".join(test.images), f"in {test.list}" if test.list else "", test.where or ""]
    if test.perturb is not None:
        parts.append(f"with {test.perturb.named()}")
    return "; ".join(part for part in parts if part) or "all"
