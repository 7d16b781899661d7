"""What a training writes down: one line per epoch, as JSONL, CSV and, on request, TensorBoard."""

import json
from pathlib import Path

from tinyrefinery.files import write_atomic, write_csv
from tinyrefinery.training.files import METRICS, METRICS_TABLE

Record = dict[str, float]


def write_history(folder: Path, history: list[Record]) -> None:
    """Write `metrics.jsonl` and `metrics.csv` whole; a resumed run can't double or lose a line."""
    write_atomic(folder / METRICS, "".join(json.dumps(r) + "\n" for r in history))
    columns = list(dict.fromkeys(name for record in history for name in record))
    write_csv(folder / METRICS_TABLE, columns, history)


def write_tensorboard(folder: Path, record: Record) -> None:
    """Add an epoch to the curves of `folder/tensorboard`; needs the package `tensorboard`.

    An epoch that a resumed run trains again hides its first version.
    """
    from torch.utils.tensorboard import SummaryWriter

    epoch = int(record["epoch"])
    with SummaryWriter(str(folder / "tensorboard"), purge_step=epoch) as writer:
        for name, value in record.items():
            writer.add_scalar(name, value, epoch)
