"""Most that a network may cost on a device, and amounts with units."""

import re
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from tinyrefinery.errors import RecipeError
from tinyrefinery.options.part import Part

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
"""Prefixes of amounts: 100kB is 100,000 bytes, 100KiB is 102,400."""
HOST = "host"
"""The machine that the command runs on."""
ACCELERATORS = tuple(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256))
"""Vela's names of those whose cycles it estimates; the number is of MACs per cycle."""
_AMOUNT = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?(k|K|M|G|Ki|Mi|Gi)?B?")
_LATENCY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(ms|us)@(\w+)")


def read_amount(text: str, name: str) -> int:
    """An amount such as 100kB, 64KiB, 15M or 1500.

    Args:
        text: the amount.
        name: what it is of, for errors.

    Raises:
        RecipeError: if it is not an amount, or not a whole number.
    """
    amount = _amount(text)
    if amount is None:
        raise RecipeError(f"{name}: '{text}' is not an amount. Write e.g. 100kB, 64KiB or 15M")
    return amount


def _amount(text: str) -> int | None:
    matched = _AMOUNT.fullmatch(text.strip())
    if matched is None:
        return None
    prefix = matched[2] or ""
    # Exact: as a floating-point number, 2.01k would not be a whole number.
    amount = Fraction(matched[1]) * UNITS["k" if prefix == "K" else prefix]
    return int(amount) if amount >= 1 and amount == int(amount) else None


def _as_amount(value: Any) -> int:
    amount = value if type(value) is int and value > 0 else _amount(str(value))
    if amount is None or isinstance(value, float):
        raise ValueError(f"'{value}' is not an amount. Write e.g. 100kB, 64KiB or 15M")
    return amount


def read_latency(text: str) -> float:
    """Milliseconds of a latency such as `20ms@host`.

    Raises:
        ValueError: if it is not a latency, or of another machine than the host.
    """
    matched = _LATENCY.fullmatch(text.strip())
    milliseconds = (
        0.0 if matched is None else float(matched[1]) / (1000 if matched[2] == "us" else 1)
    )
    if matched is None or milliseconds <= 0:
        raise ValueError(f"'{text}' is not a latency. Write e.g. 20ms@host or 500us@host")
    if matched[3] != HOST:
        raise ValueError(f"'{text}': latency is measured on this machine only. Write ...@{HOST}")
    return milliseconds


def _latency(text: Any) -> Any:
    read_latency(str(text))
    return str(text)


def read_cycles(text: str) -> tuple[int, str]:
    """Cycles and the accelerator of a limit such as `300k@ethos-u55-128`.

    Raises:
        ValueError: if it is not a limit, or of an accelerator that Vela is not asked for.
    """
    amount, _, accelerator = text.strip().partition("@")
    cycles = _amount(amount)
    if cycles is None or not accelerator:
        raise ValueError(f"'{text}' is not a limit of cycles. Write e.g. 300k@{ACCELERATORS[2]}")
    if accelerator not in ACCELERATORS:
        known = ", ".join(ACCELERATORS)
        raise ValueError(f"'{text}': no accelerator is named '{accelerator}'. Known: {known}")
    return cycles, accelerator


def _cycles(text: Any) -> Any:
    read_cycles(str(text))
    return str(text)


Amount = Annotated[
    int,
    BeforeValidator(_as_amount),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}),
]
"""A whole number above zero, also with a unit: 1500, 100kB, 64KiB, 15M."""


class Budget(Part):
    """Most that a network may cost as an int8 LiteRT file. It changes no weights."""

    flash: Amount | None = None
    """Bytes of the file, e.g. 100kB; null: any."""
    ram: Amount | None = None
    """Bytes of its arena, e.g. 64KiB; null: any."""
    macs: Amount | None = None
    """Multiply-accumulates for one image, e.g. 15M; null: any."""
    latency: Annotated[str, BeforeValidator(_latency)] | None = None
    """Median of a pass on one thread of the machine that exports, e.g. 20ms@host; null: any. It is
    measured when the network is exported."""

    cycles: Annotated[str, BeforeValidator(_cycles)] | None = None
    """Cycles of an accelerator for one image, by the estimate of Arm's compiler Vela, e.g.
    300k@ethos-u55-128; null: any."""

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return bool(self.limits) or self.latency is not None or self.cycles is not None

    @property
    def limits(self) -> dict[str, int]:
        """What is known of a file without running it: `flash`, `ram` and `macs`, if limited."""
        amounts = {"flash": self.flash, "ram": self.ram, "macs": self.macs}
        return {name: amount for name, amount in amounts.items() if amount is not None}

    @property
    def milliseconds(self) -> float | None:
        """The limit of the latency."""
        return None if self.latency is None else read_latency(self.latency)

    @property
    def accelerator(self) -> tuple[int, str] | None:
        """The limit of the cycles, and the accelerator."""
        return None if self.cycles is None else read_cycles(self.cycles)

    def over(self, other: "Budget | None") -> "Budget":
        """This budget, with the limits of another one where it has none."""
        if other is None:
            return self
        return other.model_copy(update=self.model_dump(exclude_none=True))


def read_budget(
    flash: str | None, ram: str | None, macs: str | None, cycles: str | None = None
) -> Budget:
    """The budget that options of a command state; None: no limit.

    Raises:
        RecipeError: if one of them is not an amount.
    """
    stated = {"flash": flash, "ram": ram, "macs": macs}
    given = {name: text for name, text in stated.items() if text is not None}
    limits: dict[str, Any] = {name: read_amount(given[name], f"--{name}") for name in given}
    if cycles is not None:
        try:
            read_cycles(cycles)
        except ValueError as error:
            raise RecipeError(f"--cycles: {error}") from error
        limits["cycles"] = cycles
    return Budget.model_validate(limits)
