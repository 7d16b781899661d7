"""The result of a search in words: how good, how large, what to do next."""

import shlex
from dataclasses import dataclass

from tinyrefinery.fitting.delivered import Delivered
from tinyrefinery.reports.class_errors import class_lines
from tinyrefinery.statistics.proportions import wilson_interval

_UNITS = {"flash": "bytes of flash", "ram": "bytes of RAM", "macs": "multiply-accumulates"}
_TITLES = {"flash": "Flash", "ram": "RAM", "macs": "Work"}
_FEW_TEST = 400


@dataclass(frozen=True)
class Cost:
    """One cost of the artifact."""

    title: str
    value: int
    unit: str
    limit: int | None

    def __str__(self) -> str:
        of = "" if self.limit is None else f" of {self.limit:,}"
        return f"{self.value:,}{of} {self.unit}"

    @property
    def share(self) -> int | None:
        """Percent of the limit."""
        return None if self.limit is None else round(100 * self.value / self.limit)


def accuracy_line(fitted: Delivered) -> str:
    """Accuracy of the artifact on the test pictures."""
    found = fitted.shipped.predictions
    top1 = float(found.correct.mean())
    low, high = wilson_interval(top1, len(found))
    return (
        f"{100 * top1:.1f} % of {len(found):,} test pictures are right "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )


def drop_line(fitted: Delivered) -> str:
    """What int8 or packing costs, against the same network in float."""
    parity = fitted.shipped.exported.parity
    if parity.drop is None:
        return ""
    drop, what = parity.drop, "packing" if fitted.shipped.is_packed else "int8"
    return (
        f"{what} changes the accuracy by {_signed(-drop.points)} points on {parity.images} "
        f"(95 % interval {_signed(-drop.high)} to {_signed(-drop.low)})"
    )


def gain_line(fitted: Delivered) -> str:
    """What packing gains on this machine; empty for another format."""
    return f"Packed: {fitted.shipped.gain}" if fitted.shipped.gain else ""


def _signed(points: float) -> str:
    """With two digits, and no minus before a zero."""
    return f"{round(points, 2) + 0.0:+.2f}"


def costs(fitted: Delivered) -> list[Cost]:
    """Each cost of the artifact beside its limit."""
    record = fitted.shipped.exported.record
    cost = record.get("cost")
    if cost is None:
        return [Cost("File", record["bytes"], "bytes", None)]
    arena = cost["arena"]["head"] + cost["arena"]["tail"]
    values = {"flash": cost["flash"], "ram": arena, "macs": cost["macs"]}
    units = dict(_UNITS)
    if fitted.shipped.is_packed:
        units["macs"] += " of bits and of numbers"
    return [
        Cost(_TITLES[name], value, units[name], fitted.limits.get(name))
        for name, value in values.items()
    ]


def guessing(fitted: Delivered) -> list[str]:
    """A warning if the test pictures do not show that the network has learned."""
    found, count = fitted.shipped.predictions, len(fitted.look.classes)
    low, _ = wilson_interval(float(found.correct.mean()), len(found))
    if low > 1 / count:
        return []
    return [
        f"The network is not shown to be better than guessing among {count} classes "
        f"({100 / count:.1f} %). Give it more time (--hours) or more pictures"
    ]


def next_steps(fitted: Delivered) -> list[str]:
    """What is likely to raise the accuracy, the most promising first."""
    steps = guessing(fitted)
    worst = class_lines(fitted.shipped.predictions)[:2]
    for line in worst:
        if line.taken:
            count = fitted.look.classes.get(line.name, 0)
            steps.append(
                f"{line.name}: {100 * line.right / line.n:.0f} % of its test pictures are right, "
                f"{line.taken} of {line.n} are predicted as {line.taken_for}. It has {count:,} "
                "training pictures. Add pictures like those below"
            )
    steps.append("Correct labels that look wrong: mine, review and apply, then fit again")
    if fitted.look.test < _FEW_TEST:
        steps.append(
            f"{fitted.look.test} test pictures leave a wide interval. With {_FEW_TEST} it is at "
            "most 5 points to each side"
        )
    if fitted.epochs < fitted.longest:
        steps.append(
            f"The network was trained for {fitted.epochs} epochs, as long as the time allowed. "
            "More time: --hours"
        )
    return steps


def next_commands(fitted: Delivered) -> list[tuple[str, str]]:
    """Commands to paste, each with what it does."""
    artifact = shlex.quote(str(fitted.artifact))
    run = shlex.quote(str(fitted.network.run))
    recipe = shlex.quote(str(fitted.folder / "recipe.yaml"))
    costs = (f"tinyrefinery bench {artifact}", "List its cost on other devices")
    if fitted.shipped.is_packed:
        costs = (f"tinyrefinery summary {artifact}", "List its layers and what they cost")
    return [
        (f"tinyrefinery predict {artifact} photos/", "Predict your pictures"),
        (f"tinyrefinery verify {artifact}", "Replay its test vectors"),
        (f"tinyrefinery mine {run}", "Select pictures whose labels look wrong"),
        (f"tinyrefinery audit {run}", "Check the pictures for leaks and shortcuts"),
        costs,
        (f"tinyrefinery run {recipe}", "Train the same network again"),
    ]
