"""The result of a search in words: how good, how large, what to do next."""

import shlex

from tinyrefinery.fit.fitting import Fitted
from tinyrefinery.statistics.proportions import wilson_interval

_UNITS = {"flash": "bytes of flash", "ram": "bytes of RAM", "macs": "multiply-accumulates"}


def accuracy_line(fitted: Fitted) -> str:
    """Accuracy of the artifact on the test pictures."""
    found = fitted.shipped.predictions
    top1 = float(found.correct.mean())
    low, high = wilson_interval(top1, len(found))
    return (
        f"{100 * top1:.1f} % of {len(found):,} test pictures are right "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )


def cost_lines(fitted: Fitted) -> list[str]:
    """Each cost of the artifact beside its limit."""
    record = fitted.shipped.exported.record
    cost = record.get("cost")
    if cost is None:
        return [f"{record['bytes']:,} bytes; memory is measured for LiteRT files only"]
    arena = cost["arena"]["head"] + cost["arena"]["tail"]
    values = {"flash": cost["flash"], "ram": arena, "macs": cost["macs"]}
    return [
        f"{value:,} {_UNITS[name]}"
        + (f" of {fitted.limits[name]:,}" if name in fitted.limits else "")
        for name, value in values.items()
    ]


def next_commands(fitted: Fitted) -> list[tuple[str, str]]:
    """Commands to paste, each with what it does."""
    artifact = shlex.quote(str(fitted.artifact))
    run = shlex.quote(str(fitted.folder / "network"))
    return [
        (f"tinyrefinery predict {artifact} photos/", "Predict your pictures"),
        (f"tinyrefinery verify {artifact}", "Replay its test vectors"),
        (f"tinyrefinery mine {run}", "Select the pictures whose labels look wrong"),
        (f"tinyrefinery audit {run}", "Check the pictures for leaks and shortcuts"),
        (f"tinyrefinery bench {artifact}", "Cost on other devices"),
    ]
