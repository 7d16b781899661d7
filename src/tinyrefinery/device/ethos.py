"""Cycles and SRAM on an Ethos-U55, estimated by Arm's Vela compiler."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tinyrefinery.device.excess import Excess
from tinyrefinery.device.tool_environment import Tools, run_logged, tool_folder, tool_python
from tinyrefinery.errors import RefineryError
from tinyrefinery.options.budget import Budget

VERSION = "5.2.0"
VELA = Tools(
    name="vela",
    title="the Vela compiler",
    packages=(f"ethos-u-vela=={VERSION}", "flatbuffers==25.12.19", "numpy==2.4.6"),
    size="about 100 MB",
    otherwise="Other devices work without it",
)
SYSTEM, MEMORY = "Ethos_U55_High_End_Embedded", "Shared_Sram"
"""Vela's configuration: clock and bandwidths, and which memory is used for what."""


@dataclass(frozen=True)
class EthosCost:
    """Vela's estimate for one file."""

    accelerator: str
    cycles: int
    """Per inference, on the accelerator and its memories."""
    sram: int
    """Bytes."""
    processor_operators: int
    """Operators that the accelerator doesn't run, such as softmax in float. Their time is not
    part of the cycles."""
    vela: str = VERSION
    system: str = SYSTEM
    memory: str = MEMORY


def ethos_cost(file: Path, accelerator: str, say: Callable[[str], object]) -> EthosCost:
    """Compile a LiteRT file, and read what Vela estimates.

    Args:
        file: an int8 LiteRT file.
        accelerator: e.g. `ethos-u55-128`.
        say: called with progress messages.

    Raises:
        RefineryError: if Vela can't be installed, or can't compile the file.
    """
    python = tool_python(say, VELA)
    log = tool_folder(VELA).parent / f"vela-{file.stem}.log"
    with TemporaryDirectory() as place:
        command = [str(python), "-m", "ethosu.vela", str(file), "--output-dir", place]
        command += ["--accelerator-config", accelerator]
        command += ["--system-config", SYSTEM, "--memory-mode", MEMORY]
        command += ["--config", "Arm/vela.ini"]
        failed = run_logged(command, log)
        tables = list(Path(place).glob("*_summary_*.csv"))
        if failed is not None or not tables:
            raise RefineryError(
                f"{file.name}: Vela can't compile it: {failed or 'it wrote no summary'}. Its log "
                f"is in {log}"
            )
        with tables[0].open(newline="", encoding="utf-8") as table:
            row = next(csv.DictReader(table))
    operators = _operators_on_the_processor(log)
    log.unlink(missing_ok=True)
    return _cost(row, accelerator, operators)


def cycles_excess(
    file: Path, budget: Budget, say: Callable[[str], object]
) -> tuple[EthosCost | None, tuple[Excess, ...]]:
    """What a LiteRT file costs on the accelerator of a budget, and what is above its limit.

    Args:
        file: an int8 LiteRT file.
        budget: None and nothing if it has no limit of cycles.
        say: called with progress messages.

    Raises:
        RefineryError: if Vela can't be installed, or can't compile the file.
    """
    if budget.accelerator is None:
        return None, ()
    limit, accelerator = budget.accelerator
    cost = ethos_cost(file, accelerator, say)
    above = (Excess("cycles", cost.cycles, limit),) if cost.cycles > limit else ()
    return cost, above


def _cost(row: Mapping[str, str], accelerator: str, operators: int) -> EthosCost:
    return EthosCost(
        accelerator=accelerator,
        cycles=round(float(row["cycles_total"])),
        sram=round(float(row["sram_memory_used"]) * 1024),
        processor_operators=operators,
    )


def _operators_on_the_processor(log: Path) -> int:
    """From the line `CPU operators = 2 (10.5%)`; 0 where there is none."""
    for line in log.read_text("utf-8", errors="replace").splitlines():
        if line.startswith("CPU operators = "):
            return int(line.split("=")[1].split("(")[0])
    return 0
