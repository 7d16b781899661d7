"""What `fit` is asked for."""

from dataclasses import dataclass, field
from typing import Any

from tinyrefinery.device.profiles import device_named
from tinyrefinery.errors import RecipeError, look_up
from tinyrefinery.options.budget import Budget

USUAL = Budget.model_validate({"flash": "100kB", "ram": "64kB"})
"""Without a budget or a device: what most microcontrollers have to spare."""
LITERT, PACKED = "litert", "packed"
"""What ships: an int8 LiteRT file, or a packed file of a binary network."""
_SHARE = 2  # of a board's memory, half is left to the firmware
_MOST_HOURS = 10_000


@dataclass(frozen=True)
class FitOptions:
    """What a network may cost, and how long the search for it may take."""

    budget: Budget = field(default_factory=Budget)
    """Limits that were named; those that were not come from the device."""
    device: str | None = None
    """A name of `device.profiles`."""
    to: str = LITERT
    """What ships: `litert`, an int8 file, or `packed`, a binary network."""
    hours: float = 1.0
    """Most time for everything."""
    seed: int = 0
    refiner: str | None = None
    """A larger network that labels: a run, a network file or `timm:NAME`; None: chosen here."""
    refiner_weights: str | None = None
    """Weights of `refiner` in a file, for `timm:NAME` without a download."""

    def __post_init__(self) -> None:
        if not 0 < self.hours <= _MOST_HOURS:
            raise RecipeError(
                f"--hours is {self.hours:g}. Give a number above 0, e.g. --hours 0.5 for half an "
                "hour"
            )
        if self.refiner_weights and not (self.refiner or "").startswith("timm:"):
            raise RecipeError(
                "--refiner-weights are weights of a timm network: name it with --refiner timm:NAME"
            )
        if self.device is not None:
            device_named(self.device)
        look_up("--to", self.to, dict.fromkeys((LITERT, PACKED)))
        if self.to == PACKED:
            self._check_packed()

    def _check_packed(self) -> None:
        """Refuse what only int8 LiteRT files have.

        Raises:
            RecipeError: if an accelerator or its cycles are named.
        """
        accelerator = self.device and device_named(self.device).accelerator
        if accelerator or self.budget.cycles is not None:
            named = f"--device {self.device}" if accelerator else f"cycles {self.budget.cycles}"
            raise RecipeError(
                f"{named}: an Ethos-U runs int8 files only, and a packed network runs on the "
                "processor. Leave one of it and --to packed out"
            )

    @property
    def limits(self) -> Budget:
        """The whole budget: what was named, then half of the device's memory, then `USUAL`."""
        if self.device is None:
            return self.budget.over(USUAL)
        board = device_named(self.device).budget
        half = {name: getattr(board, name) for name in ("flash", "ram")}
        half = {name: value // _SHARE for name, value in half.items() if value}
        return self.budget.over(Budget.model_validate(half))

    @property
    def seconds(self) -> float:
        """The time in seconds."""
        return 3600 * self.hours

    def as_dict(self) -> dict[str, Any]:
        """What decides the result, to tell whether a folder is of the same request."""
        limits = self.limits.model_dump(exclude_none=True)
        target = {} if self.to == LITERT else {"to": self.to}
        return {
            **{"limits": limits, "device": self.device, "hours": self.hours, "seed": self.seed},
            **target,
            **{"refiner": self.refiner, "refiner_weights": self.refiner_weights},
        }
