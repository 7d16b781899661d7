"""Draws and pixels of training images, against torchvision's transforms of the same names."""

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tinyrefinery.data.augmentation import Crops
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.detection import augment
from tinyrefinery.detection.box_view import BoxView, paint, placement
from tinyrefinery.detection.boxes import BoxData, GroundTruth
from tinyrefinery.detection.shapes_dataset import open_shapes
from tinyrefinery.recipe.detection import Augment, BoxCrop, Shapes, ZoomOut

SIZE = (60, 90)
BOXES = np.array([[10, 5, 40, 30], [50, 20, 85, 55], [0, 40, 12, 60]], np.float32)
MEAN = (0.485, 0.456, 0.406)


def draws(spec, count=3000, boxes=BOXES, size=SIZE):
    rows = np.arange(count)
    return augment.draw(spec, 0, 0, rows, np.tile(size, (count, 1)), [boxes] * count)


def only(**parts):
    nothing = {"flip": 0.0, "zoom_out": None, "crop": None, "color": None}
    return Augment(**(nothing | parts))


def test_draws_are_functions_of_seed_epoch_and_row():
    data = open_shapes(Shapes(train=12, validation=1, test=0))
    view = BoxView(data, 64, Augment(), seed=3)
    rows = np.arange(12)
    together = view.render(rows, 5)
    for row in (7, 0, 11):
        alone = view.render(np.array([row]), 5)
        assert torch.equal(alone.images[0], together.images[row])
        own = together.labels[row]
        assert torch.equal(alone.labels[0], own[: len(alone.labels[0])])
    assert not torch.equal(view.render(rows, 6).images, together.images)
    other = BoxView(data, 64, Augment(), seed=4)
    assert not torch.equal(other.render(rows, 5).images, together.images)


def test_zoom_out_has_torchvisions_distribution():
    found = draws(only(zoom_out=ZoomOut(probability=0.5, most=4.0))).boxes
    zoomed = found[found[:, 2] != SIZE[0]]
    assert abs(len(zoomed) / len(found) - 0.5) < 0.04
    torch.manual_seed(0)
    transform = v2.RandomZoomOut(side_range=(1.0, 4.0), p=1.0)
    image = torch.zeros(3, *SIZE)
    theirs = np.array([transform.make_params([image])["padding"] for _ in range(3000)])
    tall = theirs[:, 1] + theirs[:, 3] + SIZE[0]
    for ours, reference in ((zoomed[:, 2], tall), (-zoomed[:, 0], theirs[:, 1])):
        quantiles = np.linspace(0.1, 0.9, 9)
        spread = np.quantile(ours, quantiles) - np.quantile(reference, quantiles)
        assert np.abs(spread).max() < 0.06 * np.ptp(reference)


def test_crops_keep_their_promises():
    spec = only(crop=BoxCrop(overlaps=(0.5,)))
    found = draws(spec, 500).boxes
    cut = found[(found[:, 2:] != SIZE).any(axis=1)]
    assert len(cut) > 300
    for top, left, height, width in cut:
        crop = np.array([[left, top, left + width, top + height]])
        centers = (BOXES[:, :2] + BOXES[:, 2:]) / 2
        inside = ((crop[0, :2] < centers) & (centers < crop[0, 2:])).all(axis=1)
        assert augment._overlaps(crop, BOXES[inside]).max() >= 0.5
        assert 0.5 <= width / height <= 2
        assert top >= 0
        assert left >= 0
        assert top + height <= SIZE[0]
        assert left + width <= SIZE[1]


def test_crops_have_torchvisions_distribution():
    found = draws(only(crop=BoxCrop())).boxes
    torch.manual_seed(0)
    image = tv_tensors.Image(torch.zeros(3, *SIZE))
    boxes = tv_tensors.BoundingBoxes(torch.tensor(BOXES), format="XYXY", canvas_size=SIZE)
    transform = v2.RandomIoUCrop()
    theirs = []
    for _ in range(800):
        found_params = transform.make_params([image, boxes])
        place = (found_params.get(k) for k in ("top", "left", "height", "width"))
        theirs.append([0, 0, *SIZE] if not found_params else list(place))
    theirs = np.array(theirs, float)
    whole = [(each[:, 2:] == SIZE).all(axis=1).mean() for each in (found, theirs)]
    assert abs(whole[0] - whole[1]) < 0.06
    for column in range(4):
        quantiles = [
            np.quantile(each[:, column], np.linspace(0.1, 0.9, 9)) for each in (found, theirs)
        ]
        assert np.abs(quantiles[0] - quantiles[1]).max() < 0.1 * SIZE[column % 2]


def test_images_without_objects_and_tiny_ones_are_drawn_too():
    none = np.zeros((0, 4), np.float32)
    assert (draws(only(crop=BoxCrop()), 50, none).boxes[:, 2:] == SIZE).all()
    tiny = np.array([[0, 0, 1, 1]], np.float32)
    found = draws(Augment(), 200, tiny, (1, 2)).boxes
    assert (found[:, 2:] >= 1).all()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    "box",
    [(0, 0, 60, 90), (10, 20, 40, 50), (-30, -50, 150, 220), (-10, 30, 64, 80), (5, -7, 40, 60)],
)
def test_boxes_and_pixels_go_where_torchvision_puts_them(box, flip):
    """Pad, cut, resize and flip by torchvision, one after the other."""
    side = 48
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    smooth = np.linspace(0, 250, SIZE[0] * SIZE[1] * 3).reshape(*SIZE, 3).astype(np.uint8)
    top, left, height, width = box
    ours, boxes = rendered(smooth, box, flip, side)
    # What isn't the image is the mean colour, which is 0 when normalized.
    fill = [round(255 * mean) for mean in MEAN]
    image = tv_tensors.Image(torch.from_numpy(smooth).permute(2, 0, 1))
    given = tv_tensors.BoundingBoxes(torch.tensor(BOXES), format="XYXY", canvas_size=SIZE)
    margin = 300
    steps = [
        lambda x: F.pad(x, [margin], fill=fill if isinstance(x, tv_tensors.Image) else 0),
        lambda x: F.crop(x, top + margin, left + margin, height, width),
        lambda x: F.resize(x, [side, side], antialias=True),
        lambda x: F.horizontal_flip(x) if flip else x,
    ]
    for step in steps:
        image, given = step(image), step(given)
    centers = (BOXES[:, :2] + BOXES[:, 2:]) / 2 - [left, top]
    seen = ((centers > 0) & (centers < (width, height))).all(axis=1)
    expected = given.as_subclass(torch.Tensor).numpy()[seen]
    # The visible part begins at a whole pixel of the input.
    np.testing.assert_allclose(boxes[:, :4], expected, atol=0.75)
    assert boxes[:, 4].tolist() == [k for k, there in zip((1, 2, 1), seen, strict=True) if there]
    theirs = image.as_subclass(torch.Tensor).float() / 255
    mean = torch.tensor(MEAN)[:, None, None]
    difference = (ours + mean - theirs).abs()
    assert difference.mean() < 0.02
    assert (difference > 0.1).float().mean() < 0.07  # at the edge of the visible part
    assert pixels.shape == (*SIZE, 3)


def rendered(pixels, box, flip, side):
    """One image of a view whose draws are given: unnormalized less the mean, and its boxes."""
    images = ResidentImages(torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous())
    given = GroundTruth(BOXES, np.array([0, 1, 0]), np.zeros(3, bool))
    data = BoxData("x", ("a", "b"), images, ("",), ("",), np.array(["train"]), (given,))
    view = BoxView(data, side, mean=MEAN, std=(1.0, 1.0, 1.0))
    crops = Crops(np.array([box], float), np.array([flip]))
    batch = view.render_many(np.array([0]), [0], [crops])[0]
    kept = batch.labels[0]
    return batch.images[0], kept[kept[:, 4] > 0].numpy()


def test_the_visible_part_is_where_its_boxes_are():
    """A bright rectangle on black is painted exactly where its box goes to."""
    pixels = np.zeros((*SIZE, 3), np.uint8)
    x1, y1, x2, y2 = 10, 5, 40, 30
    pixels[y1:y2, x1:x2] = 255
    for box in [(0, 0, 60, 90), (-33, -41, 151, 203), (-5, -3, 40, 60)]:
        place = placement(np.array(box, float), SIZE, 96)
        image = paint(pixels, place, 96, (0.0, 0.0, 0.0)).mean(dim=0)
        bright = torch.nonzero(image > 127)
        _, boxes = rendered(pixels, box, False, 96)
        low, high = bright.min(dim=0).values, bright.max(dim=0).values + 1
        found = [low[1], low[0], high[1], high[0]]
        np.testing.assert_allclose(boxes[0, :4], found, atol=1.01)


def test_what_is_not_image_stays_the_mean_also_when_recoloured():
    pixels = np.full((*SIZE, 3), 200, np.uint8)
    place = placement(np.array([-60, -90, 180, 270], float), SIZE, 96)
    color = np.array([1.1, 0.6, 1.4, 0.03])
    image = paint(pixels, place, 96, MEAN, color)
    torch.testing.assert_close(image[:, 0, 0], torch.tensor(MEAN) * 255)
    assert not torch.equal(image, paint(pixels, place, 96, MEAN))


def test_batches_are_padded_with_class_zero():
    data = open_shapes(Shapes(train=40, validation=1, test=0, most=4))
    batch = BoxView(data, 96).render(data.rows("train"), 0)
    counts = [len(data.truth[row]) for row in data.rows("train")]
    assert batch.labels.shape == (40, max(counts), 5)
    assert (batch.labels[..., 4] > 0).sum(dim=1).tolist() == counts
    assert 0 in counts


@pytest.mark.slow
def test_whole_images_are_as_frequent_as_torchvisions():
    """Small objects, for which most draws of an overlap find no crop."""
    spec, size = BoxCrop(), np.array([300, 300])
    boxes = np.array([[20.0, 30.0, 60.0, 62.0]])
    image, n = torch.zeros(3, 300, 300, dtype=torch.uint8), 1500
    target = tv_tensors.BoundingBoxes(torch.tensor(boxes), format="XYXY", canvas_size=(300, 300))
    theirs = v2.RandomIoUCrop()
    torch.manual_seed(0)
    whole_images = sum(not theirs.make_params([image, target]) for _ in range(n))
    generator = np.random.default_rng(0)
    ours = sum(augment._crop(spec, generator, *size, boxes) is None for _ in range(n))
    assert ours / n == pytest.approx(whole_images / n, abs=0.04)
