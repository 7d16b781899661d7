"""Judging what a network costs on a device: metrics that depend on no image."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tinyrefinery.data_tests.data_test_file import DataTest
from tinyrefinery.data_tests.metric import CYCLES, Metric
from tinyrefinery.data_tests.verdicts import Measured, Result, Ruling, Verdict
from tinyrefinery.errors import DataTestError

UNITS = {"flash": " bytes", "ram": " bytes", "macs": "", "latency": " ms", "cycles": ""}
"""Of each metric, as it is printed."""


@dataclass(frozen=True)
class Costs:
    """What a network costs. None: it is not known, for the reason that `missing` names."""

    of: str
    """What was measured, e.g. `exports/refined-0a1b2c3d.int8.tflite`."""
    flash: float | None = None
    """Bytes of the file."""
    ram: float | None = None
    """Bytes of the arena."""
    macs: float | None = None
    latency: float | None = None
    """Milliseconds on this machine, median."""
    cycles: Mapping[str, float] = field(default_factory=dict)
    """Of each accelerator, by Vela's estimate."""
    is_bound: bool = False
    """Whether flash and ram are upper bounds, since there is no exported file."""
    missing: str = ""
    """Why a cost is not known, and what to do."""


def need(metric: Metric, bound: float) -> str:
    """The bound as text, e.g. `<= 64,000 bytes`."""
    return f"<= {shown(metric.name, bound)}"


def shown(name: str, value: float) -> str:
    """A cost with its unit."""
    number = f"{value:.4g}" if name == "latency" else f"{value:,.0f}"
    return f"{number}{UNITS[name.partition('(')[0]]}"


def judge_cost(name: str, test: DataTest, costs: Costs) -> Result:
    """Judge one test of a cost.

    Raises:
        DataTestError: if the cost is not known.
    """
    metric, bound = test.measure, test.at_most
    assert bound is not None
    value = getattr(costs, metric.name)
    if metric.name == CYCLES:
        value = costs.cycles.get(metric.category or "")
    if value is None:
        raise DataTestError(costs.missing)
    ruling = _ruling(metric, value, bound, costs)
    return Result(
        name=name,
        title=test.title,
        verdict=ruling.verdict,
        metric=str(metric),
        need=need(metric, bound),
        measured=Measured(value, 0, 0, value, value),
        bound=bound,
        remark=ruling.remark,
        slice="all",
        known_failure=test.known_failure or "",
    )


def _ruling(metric: Metric, value: float, bound: float, costs: Costs) -> Ruling:
    is_bound = costs.is_bound and metric.name != "macs"
    of = f"at most, foretold for {costs.of}" if is_bound else f"of {costs.of}"
    if value <= bound:
        return Ruling(Verdict.PASS, remark=of)
    if is_bound:
        export = "for the exact cost: tinyrefinery export RUN --to litert --int8"
        return Ruling(Verdict.UNPROVEN, remark=f"{of}; {export}")
    return Ruling(Verdict.FAIL, remark=of)
