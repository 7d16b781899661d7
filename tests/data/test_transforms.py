"""Pixels against torchvision: tolerances are of 255 grey levels."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from PIL import Image

from tinyrefinery.data import resizing, transforms
from tinyrefinery.data.augmentation import Crops, draw
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.options.crops import Augment, Center, Inception, Pad

N = 48
TWO_ROUNDINGS = 1.001  # to uint8 after each axis, half a level each


def noise(channels=3, height=60, width=44):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(
        0, 256, (N, channels, height, width), dtype=torch.uint8, generator=generator
    )


def crops_of(images, crop, epoch=0):
    sizes = np.tile(images.shape[2:], (N, 1))
    augment = None if crop.name == "center" else Augment(flip=0.5)
    return draw(crop, 0, epoch, np.arange(N), sizes, augment)


def torchvision_crop(image, crops, i, size):
    if crops.resized is not None:
        image = tv.resize(image, crops.resized[i].tolist(), antialias=True)
    top, left, height, width = (int(v) for v in crops.boxes[i])
    image = tv.resized_crop(image, top, left, height, width, list(size), antialias=True)
    return tv.horizontal_flip(image) if crops.flip[i] else image


CROPS = {
    "shrinking": Inception(size=(12, 10)),
    "growing": Inception(size=64),
    "padded": Pad(size=(60, 44), padding=6),
    "center": Center(size=32, resize=36),
    "cover": Center(size=(32, 24)),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CROPS)
def test_batched_crops_equal_torchvision(name, channels):
    crop, images = CROPS[name], noise(channels)
    crops = crops_of(images, crop)
    ours = transforms.crop_resident(images, crops, crop.size)
    theirs = [torchvision_crop(images[i].float(), crops, i, crop.size) for i in range(N)]
    assert (ours - torch.stack(theirs)).abs().max() < 0.01


@pytest.mark.parametrize("name", CROPS)
def test_single_crops_equal_torchvision(name):
    crop, images = CROPS[name], noise()
    crops = crops_of(images, crop)
    for i in range(N):
        image = images[i].permute(1, 2, 0).contiguous().numpy()
        ours = transforms.crop_one(image, crops, i, crop.size)
        theirs = torchvision_crop(images[i].float(), crops, i, crop.size)
        assert (ours.permute(2, 0, 1).float() - theirs).abs().max() < TWO_ROUNDINGS


def test_batched_crops_are_near_pillow():
    crop, images = CROPS["shrinking"], noise()
    crops = crops_of(images, crop)
    ours = transforms.crop_resident(images, crops, crop.size)
    for i in range(N):
        top, left, height, width = crops.boxes[i]
        image = Image.fromarray(images[i].permute(1, 2, 0).numpy())
        box = (left, top, left + width, top + height)
        pil = image.crop(box).resize(crop.size[::-1], Image.Resampling.BILINEAR)
        theirs = torch.from_numpy(np.array(pil)).permute(2, 0, 1).float()
        theirs = theirs.flip(2) if crops.flip[i] else theirs
        assert (ours[i] - theirs).abs().max() < TWO_ROUNDINGS


def test_resident_and_encoded_paths_agree():
    class Undecoded:
        channels = 3

        def __init__(self, array):
            self.array = array
            self.sizes = np.tile(array.shape[2:], (N, 1))

        def __len__(self):
            return N

        def pixels(self, row):
            return self.array[row].permute(1, 2, 0).numpy()

    images, rows = noise(), np.arange(N)
    for crop in CROPS.values():
        crops = crops_of(images, crop)
        (fast,) = transforms.crop_batches(ResidentImages(images), rows, [crops], [crop.size])
        (slow,) = transforms.crop_batches(Undecoded(images), rows, [crops], [crop.size])
        assert (fast - slow).abs().max() < TWO_ROUNDINGS


@pytest.mark.parametrize(("height", "width", "out"), [(7, 9, 5), (9, 7, 16), (1, 3, 2)])
def test_looked_up_weights_are_those_worked_out(height, width, out):
    boxes = [
        (top, left, bottom - top, right - left)
        for top in range(height)
        for bottom in range(top + 1, height + 1)
        for left in range(width)
        for right in range(left + 1, width + 1)
    ]
    crops = Crops(np.array(boxes, float), np.arange(len(boxes)) % 3 == 0)
    asked = (height, width), crops, (out, out + 1), torch.device("cpu")
    found = resizing.weights_from_tables(*asked)
    assert found is not None
    assert all(
        torch.equal(a, b) for a, b in zip(found, resizing.computed_weights(*asked), strict=True)
    )


@pytest.mark.parametrize(
    "box", [(-1, 0, 8, 8), (0, 0, 8, 9), (0, 0.5, 4, 4), (0, 0, 0, 4)], ids=str
)
def test_weights_that_no_table_holds_are_worked_out(box):
    crops = Crops(np.array([box], float), np.array([False]))
    assert resizing.weights_from_tables((8, 8), crops, (8, 8), torch.device("cpu")) is None


@pytest.mark.parametrize("name", ["shrinking", "growing"])
def test_a_batch_larger_than_the_cache_is_the_same(name, monkeypatch):
    crop, images = CROPS[name], noise()
    crops = crops_of(images, crop)
    whole = transforms.crop_resident(images, crops, crop.size)
    assert whole.is_contiguous(memory_format=torch.channels_last)
    monkeypatch.setattr(transforms, "CACHED", 7 * images[0].numel())
    assert torch.equal(transforms.crop_resident(images, crops, crop.size), whole)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("kind", [Inception, Pad, Center])
@pytest.mark.parametrize(("channels", "side"), [(3, 9), (1, 28), (3, 32)])
@pytest.mark.parametrize("size", [(9, 9), (7, 9), (24, 24)])
def test_a_crop_is_the_same_to_the_last_bit_in_any_batch(kind, channels, side, size):
    # Live labels come of batches of other sizes than stored ones do.
    if kind is Pad and size[0] > side + 8:
        pytest.skip("no room")
    images = noise(channels, side, side)
    # An area near one: some crops are the whole image, and of the size that is wanted.
    crop = Inception(size=size, area=(0.8, 1.0)) if kind is Inception else kind(size=size)
    sizes = np.tile(images.shape[2:], (N, 1))
    crops = draw(crop, 0, 0, np.arange(N), sizes, Augment(flip=0.5))

    def rendered(batch):
        parts = [slice(i, i + batch) for i in range(0, N, batch)]
        found = [transforms.crop_resident(images[s], crops.subset(s), size) for s in parts]
        return torch.cat([transforms.normalize_(f, (0.4,) * 3, (0.3,) * 3) for f in found])

    whole = rendered(N)
    for batch in (1, 2, 33, 47):
        assert torch.equal(rendered(batch), whole)


def test_rotation_equals_torchvision():
    images = noise(height=40, width=52).float()
    angle = torch.linspace(-30, 30, N)
    ours = transforms.rotate(images, angle)
    theirs = torch.stack(
        [
            tv.rotate(images[i], float(angle[i]), interpolation=tv.InterpolationMode.BILINEAR)
            for i in range(N)
        ]
    )
    assert (ours - theirs).abs().max() < 0.05


def test_colors_equal_torchvision():
    images = noise().float()
    generator = torch.Generator().manual_seed(1)
    factors = 0.5 + torch.rand(N, 4, generator=generator)
    factors[:, 3] -= 1.0
    ours = transforms.recolor(images, factors)
    for i in range(N):
        brightness, contrast, saturation, hue = factors[i].tolist()
        theirs = tv.adjust_brightness(images[i] / 255, brightness)
        theirs = tv.adjust_contrast(theirs, contrast)
        theirs = tv.adjust_saturation(theirs, saturation)
        theirs = tv.adjust_hue(theirs, hue)
        assert (ours[i] / 255 - theirs).abs().max() < 2e-3


def test_grey_images_keep_their_color():
    images = noise(1).float()
    factors = torch.tensor([[1.0, 1.0, 0.3, 0.2]]).repeat(N, 1)
    torch.testing.assert_close(transforms.recolor(images, factors), images)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_normalization(layout, channels):
    images = noise(channels).float().contiguous(memory_format=layout)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    used = (mean, std) if channels == 3 else ((np.mean(mean),), (np.mean(std),))
    theirs = tv.normalize(images / 255, *(list(map(float, each)) for each in used))
    ours = transforms.normalize_(images, mean, std)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert ours is images
