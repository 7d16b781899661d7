"""What a network may cost on a device, and what is above it."""

import re
from dataclasses import asdict, dataclass
from fractions import Fraction

from tinyrefinery.device.device_cost import DeviceCost
from tinyrefinery.errors import RecipeError

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
"""Prefixes of amounts: 100kB is 100,000 bytes, 100KiB is 102,400."""
_AMOUNT = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?(k|K|M|G|Ki|Mi|Gi)?B?")


@dataclass(frozen=True)
class Budget:
    """Most that a network may cost; None: any amount."""

    flash: int | None = None
    """Bytes of the file."""
    ram: int | None = None
    """Bytes of the arena."""
    macs: int | None = None
    """Multiply-accumulates for one image."""

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return any(limit is not None for limit in asdict(self).values())

    def excess(self, cost: DeviceCost) -> tuple[str, ...]:
        """What is above the budget, for people; empty if nothing is."""
        found = {"flash": cost.flash, "ram": cost.ram, "macs": cost.macs}
        units = {"flash": " bytes", "ram": " bytes", "macs": ""}
        limits = {name: limit for name, limit in asdict(self).items() if limit is not None}
        return tuple(
            f"{name} is {found[name]:,}{units[name]}, above the budget of {limit:,}"
            for name, limit in limits.items()
            if found[name] > limit
        )


def read_amount(text: str, name: str) -> int:
    """An amount such as 100kB, 64KiB, 15M or 1500.

    Args:
        text: the amount.
        name: what it is of, for errors.

    Raises:
        RecipeError: if it is not an amount, or not a whole number.
    """
    matched = _AMOUNT.fullmatch(text.strip())
    prefix = (matched[2] or "") if matched else ""
    # Exact: as a floating-point number, 2.01k would not be a whole number.
    amount = Fraction(matched[1]) * UNITS["k" if prefix == "K" else prefix] if matched else 0
    if amount < 1 or amount != int(amount):
        raise RecipeError(f"{name}: '{text}' is not an amount. Write e.g. 100kB, 64KiB or 15M")
    return int(amount)


def read_budget(flash: str | None, ram: str | None, macs: str | None) -> Budget:
    """The budget that three options state; None: no limit.

    Raises:
        RecipeError: if one of them is not an amount.
    """
    stated = {"flash": flash, "ram": ram, "macs": macs}
    given = {name: text for name, text in stated.items() if text is not None}
    return Budget(**{name: read_amount(text, f"--{name}") for name, text in given.items()})
