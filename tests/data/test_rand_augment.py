"""RandAugment: operations as torchvision's, equally frequent, a function of seed, epoch and row."""

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode, autoaugment

from tinyrefinery.data.augmentation import OPERATIONS, draw
from tinyrefinery.data.rand_augment import apply_operation, apply_operations
from tinyrefinery.options.crops import Augment, Inception, RandAugment

SIZE = (24, 40)
PART = RandAugment()


def some_image(channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (channels, *SIZE), dtype=torch.uint8)


@pytest.mark.parametrize("magnitude", [0, 9, 30])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_is_torchvisions(operation, sign, magnitude):
    torch.manual_seed(0)
    image = some_image()
    space = autoaugment.RandAugment()._augmentation_space(31, SIZE)
    strengths, signed = space[operation]
    strength = float(strengths[magnitude]) if strengths.ndim else 0.0
    nearest = InterpolationMode.NEAREST
    expected = autoaugment._apply_op(
        image, operation, strength * (sign if signed else 1), nearest, None
    )
    found = apply_operation(image.clone(), operation, magnitude, sign)
    # Factors in float32 there, in float64 here: a level of 255 apart where both round.
    assert (found.int() - expected.int()).abs().max() <= 1


def test_the_operations_are_all_of_torchvisions():
    assert set(OPERATIONS) == set(autoaugment.RandAugment()._augmentation_space(31, SIZE))


def test_gray_crops_keep_their_channel():
    images = torch.rand(28, 1, *SIZE) * 255
    numbers = np.arange(1, 15)
    chosen = np.concatenate([numbers, -numbers])[:, None]
    changed = apply_operations(images, chosen, 9)
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert changed.min() >= 0
    assert changed.max() <= 255


def drawn(rows: np.ndarray, epoch: int = 0) -> np.ndarray:
    sizes = np.full((len(rows), 2), 64)
    augment = Augment(flip=0, rand_augment=PART)
    crops = draw(Inception(size=(32, 32)), 7, epoch, rows, sizes, augment)
    assert crops.operations is not None
    return crops.operations


def test_draws_depend_on_seed_epoch_and_row_alone():
    rows = np.arange(300)
    assert (drawn(rows)[100:] == drawn(rows[100:])).all()
    assert (drawn(rows) != drawn(rows, epoch=1)).any(axis=1).mean() > 0.9


def test_every_operation_is_as_frequent_as_the_others():
    chosen = drawn(np.arange(28_000))
    assert chosen.shape == (28_000, 2)
    counts = np.bincount(np.abs(chosen).ravel(), minlength=15)[1:]
    # 56,000 draws, 4,000 of each expected, standard deviation 61
    assert (abs(counts - 4000) < 5 * 61).all()
    assert abs((chosen > 0).mean() - 0.5) < 0.011
