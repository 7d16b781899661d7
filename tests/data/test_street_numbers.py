"""Street numbers: scenes against the digits they claim to show, crop truth against summed ink."""

from hashlib import sha256

import numpy as np
import pytest
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.open import open_data
from tinyrefinery.data.sources.street_glyphs import MASTER, POOLS, load_glyphs, pool, triangle
from tinyrefinery.data.sources.street_layout import Layout, lay_out
from tinyrefinery.data.sources.street_scenes import digit_ink
from tinyrefinery.data.sources.street_truth import READABLE, UNREADABLE, StreetTruth
from tinyrefinery.errors import DataError
from tinyrefinery.options.sources import StreetNumbers

HEIGHT, WIDTH = 32, 48


@pytest.fixture(scope="module")
def data() -> Dataset:
    return open_data("street_numbers", train=250, validation=100, test=100, seed=3)


def laid_out(count: int) -> tuple[Layout, np.ndarray]:
    """Layout of training scenes of seed 5, and the ink of each digit as drawn, (N, D, H, W)."""
    part = StreetNumbers(height=HEIGHT, width=WIDTH, clutter=0, noise=0)
    glyphs = load_glyphs()
    layout = lay_out(part, 5, "train", np.arange(count), glyphs)
    ink = [digit_ink(part, layout, slice(None), digit, glyphs) for digit in range(2)]
    return layout, np.stack(ink, axis=1)


@pytest.fixture(scope="module")
def scenes() -> tuple[StreetTruth, np.ndarray, np.ndarray, np.ndarray]:
    """Truth, ink (N, D, H, W) as drawn, places and labels of 60 scenes."""
    layout, ink = laid_out(60)
    return StreetTruth([layout], load_glyphs()), ink, layout.places, layout.labels


def whole_boxes(count: int) -> np.ndarray:
    return np.tile([0.0, 0.0, HEIGHT, WIDTH], (count, 1))


# Scenes


def test_same_arguments_make_the_same_bytes_and_another_seed_others(data: Dataset) -> None:
    again = open_data("street_numbers", train=250, validation=100, test=100, seed=3)
    other = open_data("street_numbers", train=250, validation=100, test=100, seed=4)
    assert again.manifest.digest == data.manifest.digest
    assert not set(other.manifest.column("id")) & set(data.manifest.column("id"))


def test_a_scene_does_not_depend_on_how_many_there_are(data: Dataset) -> None:
    more = open_data("street_numbers", train=700, validation=103, test=5, seed=3)
    for split in ("train", "validation", "test"):
        ours, theirs = data.manifest.rows(split), more.manifest.rows(split)
        shared = min(len(ours), len(theirs))
        ids = data.manifest.column("id")[ours[:shared]]
        np.testing.assert_array_equal(more.manifest.column("id")[theirs[:shared]], ids)


def test_known_answer() -> None:
    small = open_data("street_numbers", train=4, validation=1, test=1, seed=7)
    assert small.manifest.digest == KNOWN_DIGEST


def test_rows_are_split_named_and_identified_by_their_pixels(data: Dataset) -> None:
    manifest = data.manifest
    assert [len(manifest.rows(split)) for split in ("train", "validation", "test")] == [
        250,
        100,
        100,
    ]
    assert manifest.classes[:2] == ("00", "01")
    assert manifest.classes[-1] == "99"
    assert manifest.column("path")[251] == "street-numbers/validation/000001"
    assert len(set(manifest.column("id"))) == len(manifest)
    scene = data.images.pixels(17)
    assert scene.shape == (HEIGHT, WIDTH, 1)
    assert scene.dtype == np.uint8
    assert manifest.column("id")[17] == sha256(scene.transpose(2, 0, 1).tobytes()).hexdigest()


def test_classes_are_balanced_within_every_split(data: Dataset) -> None:
    for split in ("train", "validation", "test"):
        counts = np.bincount(data.manifest.labels[data.manifest.rows(split)], minlength=100)
        assert counts.max() - counts.min() <= 1


def test_glyphs_show_the_digits_of_the_label(data: Dataset) -> None:
    targets = load_digits().target
    for label, glyphs in zip(data.manifest.labels, data.manifest.column("glyphs"), strict=True):
        assert data.classes[label] == "".join(str(targets[glyph]) for glyph in glyphs)


def test_no_glyph_is_in_two_splits() -> None:
    data = open_data("street_numbers", train=1500, validation=500, test=500, height=16, width=24)
    used = {}
    for split in POOLS:
        rows = data.manifest.rows(split)
        used[split] = {int(g) for pair in data.manifest.column("glyphs")[rows] for g in pair}
    assert not used["train"] & used["validation"]
    assert not used["train"] & used["test"]
    assert not used["validation"] & used["test"]


def test_pools_share_out_every_glyph_and_every_digit_alike() -> None:
    values = load_digits().target
    pools = {split: pool(0, split, values) for split in POOLS}
    everything = np.concatenate([numbers for parts in pools.values() for numbers in parts])
    np.testing.assert_array_equal(np.sort(everything), np.arange(len(values)))
    for split, share in POOLS.items():
        for digit, numbers in enumerate(pools[split]):
            assert (values[numbers] == digit).all()
            assert abs(len(numbers) - share * (values == digit).sum()) <= 1


def test_ink_looks_like_the_source_digit_at_its_place() -> None:
    """The drawn ink correlates with scikit-learn's pixels enlarged by SciPy, not with others'."""
    layout, ink = laid_out(60)
    images = load_digits().images

    def likeness(scene: int, glyph: int) -> float:
        top, left, height, width = np.rint(layout.places[scene, 0]).astype(int)
        columns = np.flatnonzero(images[glyph].max(0) > 4)
        source = images[glyph][:, columns[0] : columns[-1] + 1]
        seen = ink[scene, 0, top : top + height, left : left + width]
        like = zoom(source, (seen.shape[0] / 8, seen.shape[1] / source.shape[1]), order=1)
        return float(np.corrcoef(like.ravel(), seen.ravel())[0, 1])

    own = [likeness(scene, layout.glyphs[scene, 0]) for scene in range(60)]
    others = [likeness(scene, layout.glyphs[scene - 1, 0]) for scene in range(60)]
    assert np.median(own) > 0.75
    assert np.quantile(own, 0.1) > 0.6
    assert np.median(others) < 0.5


def test_pixels_follow_ink_with_the_polarity_and_contrast_that_the_manifest_tells() -> None:
    """Least squares of pixels on ink around the digits: the slope is the contrast, signed."""
    layout, ink = laid_out(80)
    plain = open_data(
        "street_numbers", train=80, validation=0, test=0, clutter=0, noise=0.0, seed=5
    )
    pixels = plain.images.array.numpy()[:, 0] / 255.0
    slopes = []
    for scene in range(80):
        top, left, height, width = np.rint(layout.places[scene, 0]).astype(int)
        box = (scene, slice(top, top + height), slice(left, left + width))
        slopes.append(np.polyfit(ink.sum(1)[box].ravel(), pixels[box].ravel(), 1)[0])
    signs = np.where(plain.manifest.column("polarity") == "dark", -1, 1)
    np.testing.assert_array_equal(np.sign(slopes), signs)
    error = np.abs(slopes) - plain.manifest.column("contrast")
    assert np.abs(np.median(error)) < 0.02  # tones that light drives beyond black and white are cut
    assert np.abs(error).max() < 0.2


def test_digits_lie_inside_the_image_and_do_not_overlap(scenes) -> None:
    _, _, places, _ = scenes
    tops, lefts, heights, widths = np.moveaxis(places, 2, 0)
    assert tops.min() >= 0
    assert lefts.min() >= 0
    assert (tops + heights).max() <= HEIGHT
    assert (lefts + widths).max() <= WIDTH
    assert ((lefts + widths)[:, 0] <= lefts[:, 1]).all()


def test_noise_has_the_deviation_that_the_manifest_tells() -> None:
    options = {"train": 60, "validation": 0, "test": 0, "clutter": 0}
    noisy = open_data("street_numbers", **options, noise=0.06)
    clean = open_data("street_numbers", **options, noise=0.0)
    first, second = noisy.images.array.numpy() / 255.0, clean.images.array.numpy() / 255.0
    for scene in range(60):
        unclipped = (second[scene] > 0.25) & (second[scene] < 0.75)
        if unclipped.sum() > 500:
            told = noisy.manifest.column("noise")[scene]
            assert abs((first - second)[scene][unclipped].std() - told) < 0.1 * told + 0.003


@pytest.mark.parametrize(
    "options",
    [
        {"digits": 1, "width": 24},
        {"digits": 3, "height": 40, "width": 80, "channels": 3},
        {"clutter": 0, "noise": 0.0},
        {"clutter": 20, "noise": 1.0, "contrast": (1.0, 1.0)},
        {"size": (1.0, 1.0)},
        {"size": (0.3, 0.3), "contrast": (0.05, 0.05)},
        {"validation": 0, "test": 0},
    ],
)
def test_options_at_their_ends(options: dict) -> None:
    data = open_data("street_numbers", **{"train": 40, "validation": 5, "test": 5} | options)
    assert data.images.channels == options.get("channels", 1)
    assert len(data.classes) == 10 ** options.get("digits", 2)
    height, width = data.images.sizes[0]
    boxes = np.tile([0.0, 0.0, height, width], (len(data.manifest), 1))
    truth = data.truth(np.arange(len(data.manifest)), boxes)
    np.testing.assert_allclose(truth[np.arange(len(truth)), data.manifest.labels], 1.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"digits": 4}, "digits: should be less than or equal to 3, not 4"),
        ({"digits": 0}, "digits: .* not 0"),
        ({"train": 0}, "train: .* not 0"),
        ({"validation": -1}, "validation: .* not -1"),
        ({"test": -1}, "test: .* not -1"),
        ({"height": 4}, "height: .* not 4"),
        ({"width": 4}, "width: .* not 4"),
        ({"channels": 2}, "channels: should be 1 or 3, not 2"),
        ({"size": (0.9, 0.4)}, "size: should be .least, most., but 0.9 > 0.4"),
        ({"size": (0.5, 1.4)}, "size.*1.4"),
        ({"contrast": (0.0, 0.5)}, "contrast.*not 0.0"),
        ({"clutter": -1}, "clutter: .* not -1"),
        ({"noise": 2.0}, "noise: .* not 2"),
        ({"wrong_labels": 1.5}, "wrong_labels: .* not 1.5"),
        ({"size": (0.1, 0.1)}, "3.2 pixels high in 32x48"),
        ({"digits": 3, "width": 12}, "fewer digits"),
    ],
)
def test_impossible_options_are_refused_by_name(options: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_data("street_numbers", **options)


# Wrong labels


def test_wrong_labels_touch_their_share_of_training_rows_only() -> None:
    options = {"train": 2000, "validation": 50, "test": 50, "height": 16, "width": 24}
    clean = open_data("street_numbers", **options)
    wrong = open_data("street_numbers", **options, wrong_labels=0.2)
    np.testing.assert_array_equal(wrong.manifest.column("true_label"), clean.manifest.labels)
    np.testing.assert_array_equal(wrong.manifest.column("id"), clean.manifest.column("id"))
    changed = wrong.manifest.labels != clean.manifest.labels
    assert not changed[2000:].any()
    # 2,000 draws at .2: four standard deviations are .036.
    assert abs(changed[:2000].mean() - 0.2) < 0.036
    assert "true_label" not in clean.manifest.table.column_names


def test_all_labels_wrong_and_truth_keeps_to_the_digits() -> None:
    data = open_data("street_numbers", train=100, validation=0, test=0, wrong_labels=1.0)
    true = data.manifest.column("true_label")
    assert (data.manifest.labels != true).all()
    truth = data.truth(np.arange(100), whole_boxes(100))
    np.testing.assert_array_equal(truth.argmax(1), true)


# Crop truth


def test_whole_image_is_read_without_doubt(data: Dataset) -> None:
    truth = data.truth(np.arange(450), whole_boxes(450))
    np.testing.assert_allclose(truth, np.eye(100)[data.manifest.labels], atol=1e-12)


def test_left_digit_alone_leaves_ten_equal_classes(scenes) -> None:
    truth, _, places, labels = scenes
    boxes = places[:, 0].copy()
    got = truth(np.arange(60), boxes)
    expected = np.repeat(np.eye(10)[labels // 10], 10, axis=1) / 10
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_a_crop_without_ink_tells_nothing(scenes) -> None:
    truth, _, _, _ = scenes
    boxes = np.tile([-20.0, -20.0, 15.0, 15.0], (60, 1))
    np.testing.assert_allclose(truth(np.arange(60), boxes), 0.01)
    empty = np.tile([16.0, 24.0, 0.0, 0.0], (60, 1))
    np.testing.assert_allclose(truth(np.arange(60), empty), 0.01)


def test_visible_share_is_the_sum_of_ink_in_the_box(scenes) -> None:
    """Boxes on pixel borders, against sums over the ink as it was drawn."""
    truth, ink, _, _ = scenes
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 60, 400)
    top, left = rng.integers(-4, 20, 400), rng.integers(-4, 36, 400)
    height, width = rng.integers(1, 34, 400), rng.integers(1, 50, 400)
    expected = np.zeros((400, 2))
    for i, row in enumerate(rows):
        down = slice(max(top[i], 0), max(top[i] + height[i], 0))
        right = slice(max(left[i], 0), max(left[i] + width[i], 0))
        expected[i] = ink[row, :, down, right].sum((1, 2)) / ink[row].sum((1, 2))
    got = truth.visible(rows, np.stack([top, left, height, width], axis=1).astype(float))
    # The drawn ink is blurred by up to 1.8 px, the truth's isn't.
    assert np.abs(got - expected).max() < 0.12
    assert np.abs(got - expected).mean() < 0.01
    assert (expected > UNREADABLE).any(axis=0).all()


def test_between_the_bounds_knowledge_and_ignorance_are_mixed(scenes) -> None:
    truth, _, _, labels = scenes
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 60, 500)
    boxes = np.column_stack([rng.uniform(-5, 20, (500, 2)), rng.uniform(3, 40, (500, 2))])
    visible = truth.visible(rows, boxes)
    assert ((visible > UNREADABLE) & (visible < READABLE)).any()
    got = truth(rows, boxes)
    np.testing.assert_allclose(got.sum(1), 1.0)
    for i in range(500):
        parts = []
        for digit, share in zip(divmod(int(labels[rows[i]]), 10), visible[i], strict=True):
            known = min(max((share - 0.3) / (0.7 - 0.3), 0.0), 1.0)
            parts.append([known * (value == digit) + (1 - known) / 10 for value in range(10)])
        np.testing.assert_allclose(got[i], np.outer(*parts).ravel(), atol=1e-12)


def test_a_larger_box_never_shows_less(scenes) -> None:
    truth, _, _, _ = scenes
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 60, 300)
    boxes = np.column_stack([rng.uniform(-5, 20, (300, 2)), rng.uniform(1, 30, (300, 2))])
    larger = boxes + np.array([-1.5, -0.5, 2.0, 3.0])
    assert (truth.visible(rows, larger) - truth.visible(rows, boxes)).min() > -1e-12


# The triangle filter


def test_triangle_weights_are_areas_that_sum_to_one_within_the_row() -> None:
    weights = triangle(np.array([[10.0, 16.3], [8.0, 20.7]]), np.array([1.0, 2.6]), MASTER)
    np.testing.assert_allclose(weights.sum(2), 1.0)
    # By quadrature: the triangle of half width 2.6 around 8.0, over each cell.
    at = (np.arange(MASTER * 1000) + 0.5) / 1000
    height = np.maximum(1 - np.abs(at - 8.0) / 2.6, 0) / 2.6
    np.testing.assert_allclose(weights[1, 0], height.reshape(MASTER, 1000).mean(1), atol=1e-6)


def test_triangle_loses_what_reaches_over_the_border() -> None:
    weights = triangle(np.array([[0.0, MASTER, -5.0]]), np.array([2.0]), MASTER)
    np.testing.assert_allclose(weights.sum(2), [[0.5, 0.5, 0.0]], atol=1e-12)


KNOWN_DIGEST = "74bbc5858a11fd07c90100dc328d0447ec7b92fdb607fb18b4571907c5a9ca98"
