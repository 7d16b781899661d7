"""On CUDA no step waits for the device: PyTorch raises where one would."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric

from tests.training.test_loop import ROWS, VIEW, job, small_network
from tinyrefinery.data.batches import load
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import GivenLabels, RefinedLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.labels.store.encodings import choose
from tinyrefinery.labels.store.reader import StoredLabels
from tinyrefinery.options.crops import Augment, Color
from tinyrefinery.options.labels import Refining
from tinyrefinery.training.loop import fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
WARM = 2  # steps in which libraries set themselves up and an epoch's labels move to the device


def watched(view, batches, epoch, *, workers=0) -> Iterator:
    """As `load`; between the first steps and the last one's end, waiting is an error."""
    try:
        for number, batch in enumerate(load(view, batches, epoch, workers=workers)):
            yield batch
            if number + 1 == WARM:
                torch.cuda.set_sync_debug_mode("error")
    finally:
        torch.cuda.set_sync_debug_mode("default")


def view_on_cuda(augment: Augment):
    images = VIEW.dataset.images
    assert isinstance(images, ResidentImages)
    data = replace(VIEW.dataset, images=ResidentImages(images.array.cuda()))
    return replace(VIEW, dataset=data, augment=augment, device=torch.device("cuda", 0))


@pytest.mark.parametrize("labels", ["given", "live", "other batches", "stored"])
@pytest.mark.parametrize("changed", [False, True], ids=["plain crops", "rotated, recolored"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_no_step_waits(tmp_path, labels, changed, precision):
    color = Color(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1) if changed else None
    view = view_on_cuda(Augment(flip=0.5, rotate=10.0 * changed, color=color))
    refiner = Refiner([small_network().cuda()], bf16=precision == "bf16-mixed")
    group = 12 if labels == "other batches" else 16
    crop_labels, store = CropLabels(refiner, view, ROWS, group=group), None
    if labels == "stored":
        store = StoredLabels(crop_labels, tmp_path / "labels", choose("float32", 3))
    policy = RefinedLabels(Refining(), crop_labels, store=store)
    if labels == "given":
        policy = GivenLabels(3)
    network = small_network().cuda()
    training = replace(
        job(tmp_path, network, epochs=2),
        view=view,
        policy=policy,
        fabric=Fabric(accelerator="cuda", devices=1, precision=precision),
        load=watched,
    )
    trained, history = fit(training)
    assert len(history) == 2
    assert next(trained.parameters()).device.type == "cuda"


def test_watching_can_fail():
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchroniz"):
            torch.ones(1, device="cuda").item()
    finally:
        torch.cuda.set_sync_debug_mode("default")
