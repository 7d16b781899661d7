"""Resident memory at the end of each of 60 epochs, with pictures from a folder; the slope after 10.

Plain and with a live refiner. Pictures are decoded in each epoch, as photographs are.
"""

import os
import resource
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from opening import write_pictures
from timing import Figure, quick, report
from training_step import network, sgd

from tinyrefinery import losses
from tinyrefinery.data.batches import View
from tinyrefinery.data.open import open_data
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import GivenLabels, LabelPolicy, RefinedLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.options.crops import Augment, Inception
from tinyrefinery.options.engine import Engine
from tinyrefinery.options.labels import Refining
from tinyrefinery.options.losses import CrossEntropy
from tinyrefinery.options.schedules import Cosine
from tinyrefinery.options.training import TrainingOptions
from tinyrefinery.training import learning_rates as schedules
from tinyrefinery.training.dynamics import Dynamics
from tinyrefinery.training.job import Training
from tinyrefinery.training.loop import fit

PICTURES, BATCH, WARM_UP, EPOCHS = 128, 32, 10, 60
MIB = 1 << 20


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def memory_of_epochs(root: Path, epochs: int, *, refined: bool) -> list[float]:
    """MiB at the end of each epoch, from a process of its own."""
    here, there = os.pipe()
    child = os.fork()
    if not child:
        found = _train(root, epochs, refined=refined)
        os.write(there, " ".join(map(str, found)).encode())
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as stream:
        content = stream.read()
    os.waitpid(child, 0)
    return [float(each) / MIB for each in content.split()]


def _train(root: Path, epochs: int, *, refined: bool) -> list[int]:
    torch.set_num_threads(1)
    data = open_data("folder", root=root, resident="never", validation=0.0)
    view = View(data, Inception(size=(32, 32)), augment=Augment(flip=0.5))
    rows = data.manifest.rows("train")
    policy: LabelPolicy = GivenLabels(len(data.classes))
    if refined:
        labels = CropLabels(Refiner([network()], channels_last=True), view, rows, group=BATCH)
        policy = RefinedLabels(Refining(), labels)
    net, found = network(channels_last=True), []

    def note(_: object) -> dict[str, float]:
        found.append(resident_bytes())
        return {}

    with tempfile.TemporaryDirectory() as folder:
        fit(
            Training(
                network=net,
                view=view,
                rows=rows,
                policy=policy,
                loss=losses.build(CrossEntropy()),
                optimizer=sgd(net),
                schedule=schedules.build(Cosine(), epochs),
                options=TrainingOptions(epochs=epochs, batch_size=BATCH, evaluate_every=1),
                engine=Engine(),
                fabric=Fabric(accelerator="cpu", devices=1),
                validate=note,
                folder=Path(folder),
                dynamics=Dynamics(rows, len(data.classes), torch.device("cpu"), refined=refined),
            )
        )
    return found


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    epochs = WARM_UP + 5 if short else EPOCHS
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TINYREFINERY_CACHE"] = f"{folder}/cache"
        root = Path(folder) / "pictures"
        write_pictures(root, PICTURES)
        ways = {name: partial(memory_of_epochs, root, epochs) for name in ("plain", "refined")}
        for name, way in ways.items():
            steady = way(refined=name == "refined")[WARM_UP:]
            slope = float(np.polyfit(np.arange(len(steady)), steady, 1)[0])
            figures.append(Figure(f"{name}: resident memory", "MiB", steady))
            figures.append(Figure(f"{name}: slope over epochs", "KiB/epoch", [1024 * slope]))
    title = f"Memory over {epochs - WARM_UP} epochs after {WARM_UP} of warm-up"
    report(title, figures, keep=not short)


if __name__ == "__main__":
    main()
