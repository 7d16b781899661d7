"""What of a network's cost is above its budget."""

from dataclasses import dataclass

from tinyrefinery.device.device_cost import DeviceCost
from tinyrefinery.options.budget import Budget

_UNITS = {"flash": " bytes", "ram": " bytes", "macs": "", "cycles": ""}


@dataclass(frozen=True)
class Excess:
    """One cost that is above its limit."""

    name: str
    """`flash`, `ram`, `macs` or `cycles`."""
    cost: int
    limit: int

    def __str__(self) -> str:
        unit, verb = _UNITS[self.name], "are" if self.name == "cycles" else "is"
        return f"{self.name} {verb} {self.cost:,}{unit}, above the budget of {self.limit:,}"

    @property
    def by(self) -> str:
        """By how much, with its unit."""
        return f"{self.cost - self.limit:,}{_UNITS[self.name]}"


def excesses(budget: Budget, cost: DeviceCost) -> tuple[Excess, ...]:
    """What is above the budget; empty if nothing is. Latency is not part of the cost."""
    found = {"flash": cost.flash, "ram": cost.ram, "macs": cost.macs}
    return tuple(
        Excess(name, found[name], limit)
        for name, limit in budget.limits.items()
        if found[name] > limit
    )
