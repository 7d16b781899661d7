"""Mixup and CutMix: pairs of crops and their labels, the same wherever they are rendered."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.contracts.test_label_policies import small_network
from tests.data.scenes import stripes
from tests.labels.test_refiner_size import Encoded
from tests.running import go, stage_folder, weights
from tinyrefinery.data.batches import View, shuffled, split_batches
from tinyrefinery.data.mixing import draw_mixing, pair_up
from tinyrefinery.errors import RecipeError
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import GivenLabels, MixedLabels, RefinedLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.labels.store.encodings import choose
from tinyrefinery.labels.store.reader import StoredLabels
from tinyrefinery.options.crops import Augment, Inception, Mix
from tinyrefinery.options.labels import Refining

DATA = stripes()
ROWS = DATA.manifest.rows("train")
BOTH = Mix(mixup=0.4, cutmix=1.0, share=0.8)
OTHER = (20, 24)
EXACT = choose("float32", 3)


def view_of(mix=BOTH, **options):
    return View(DATA, Inception(size=12), seed=4, augment=Augment(flip=0.5, mix=mix), **options)


def reference(view, rows, epoch, size=None):
    """Mixed crops in NumPy, from the two crops as they are without mixing."""
    plain = replace(view, augment=view.augment.model_copy(update={"mix": None}))
    mixing = view.mixing(rows, epoch)
    own, other = (plain.render(each, epoch) for each in (rows, mixing.partners))
    own, other = (
        (batch.images if size is None else batch.at[size]).double().numpy()
        for batch in (own, other)
    )
    height, width = own.shape[2:]
    for i in range(len(rows)):
        if mixing.boxes[i].any():
            top, left, bottom, right = mixing.boxes[i] * [height, width, height, width]
            for y in range(round(top), round(bottom)):
                for x in range(round(left), round(right)):
                    own[i, :, y, x] = other[i, :, y, x]
        else:
            own[i] = mixing.own[i] * own[i] + (1 - mixing.own[i]) * other[i]
    return own


@pytest.mark.parametrize("mix", [Mix(mixup=0.2), Mix(cutmix=1.0), BOTH], ids=str)
def test_crops_are_mixed_with_their_partners(mix):
    view = view_of(mix, sizes=(OTHER,))
    batch = view.render(ROWS[:24], 1)
    np.testing.assert_allclose(batch.images, reference(view, ROWS[:24], 1), atol=1e-6)
    np.testing.assert_allclose(batch.at[OTHER], reference(view, ROWS[:24], 1, OTHER), atol=1e-6)
    assert (batch.mixing.own < 1).sum() > 10


def test_an_area_is_the_share_of_the_label():
    mixing = view_of(Mix(cutmix=1.0)).mixing(ROWS, 0)
    for own, box in zip(mixing.own, mixing.boxes, strict=True):
        sides = box * 12
        np.testing.assert_allclose(sides, np.rint(sides), atol=1e-9)  # whole pixels
        area = (sides[2] - sides[0]) * (sides[3] - sides[1])
        assert own == pytest.approx(1 - area / 144)


def test_pairs_are_mutual_and_of_training_images_only():
    view = view_of()
    partners = pair_up(shuffled(ROWS, view.seed, 2))
    assert (partners[partners[ROWS]] == ROWS).all()
    assert (partners[ROWS] != ROWS).all()
    assert pair_up(np.array([3, 1, 2])).tolist() == [-1, 3, -1, 1]
    held_out = DATA.manifest.rows("validation")
    assert (view.mixing(held_out, 2).own == 1).all()


def test_a_mixed_crop_does_not_depend_on_its_batch():
    view = view_of(sizes=(OTHER,))
    together = view.render(ROWS, 2)
    for start in range(0, 20, 5):
        part = view.render(ROWS[start : start + 5], 2)
        assert torch.equal(part.images, together.images[start : start + 5])
        assert torch.equal(part.at[OTHER], together.at[OTHER][start : start + 5])
    several = view.render_many(ROWS[:8], [2, 0])
    assert torch.equal(several[0].images, together.images[:8])
    assert not torch.equal(several[1].images, together.images[:8])


def test_a_pool_repeats_its_mixtures():
    view = view_of(pool=2)
    assert torch.equal(view.render(ROWS[:8], 1).images, view.render(ROWS[:8], 3).images)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_papers_distribution(alpha):
    rows = np.arange(20_000)
    mixing = draw_mixing(Mix(mixup=alpha), 0, 0, rows, pair_up(rows), (12, 12))
    drawn = np.random.default_rng(0).beta(alpha, alpha, 200_000)
    larger = np.maximum(drawn, 1 - drawn)
    for level in (0.1, 0.5, 0.9):
        assert np.quantile(mixing.own, level) == pytest.approx(np.quantile(larger, level), abs=0.02)
    cut = draw_mixing(Mix(cutmix=alpha, share=0.25), 0, 0, rows, pair_up(rows), (1000, 1000))
    assert (cut.own < 1).mean() == pytest.approx(0.25, abs=0.02)
    both = draw_mixing(Mix(mixup=alpha, cutmix=alpha), 0, 0, rows, pair_up(rows), (1000, 1000))
    assert both.boxes.any(axis=1).mean() == pytest.approx(0.5, abs=0.03)


def test_labels_are_mixed_in_the_same_shares():
    view = view_of()
    batch = view.render(ROWS[:24], 1)
    targets = MixedLabels(GivenLabels(3, DATA.manifest), DATA.manifest)(batch)
    expected = np.zeros((24, 3))
    for i, row in enumerate(ROWS[:24]):
        expected[i, DATA.manifest.labels[row]] += batch.mixing.own[i]
        partner = batch.mixing.partners[i]
        expected[i, DATA.manifest.labels[partner]] += 1 - batch.mixing.own[i]
    np.testing.assert_allclose(targets, expected, atol=1e-6)
    part = batch.subset(slice(4, 9))
    np.testing.assert_allclose(
        MixedLabels(GivenLabels(3), DATA.manifest)(part), expected[4:9], atol=1e-6
    )


def test_a_refiner_looks_at_the_mixed_crop(tmp_path):
    part, view = Refining(batch_norm="running"), view_of()
    labels = CropLabels(Refiner([small_network()], part), view, ROWS, group=16)
    stored = StoredLabels(labels, tmp_path, EXACT)
    policy = RefinedLabels(part, labels)
    for epoch in (0, 2):
        for rows in split_batches(shuffled(ROWS, view.seed, epoch), 16, drop_last=True):
            batch = view.render(rows, epoch)
            expected = small_network().eval()(batch.images).softmax(1)
            torch.testing.assert_close(policy(batch), expected, atol=1e-5, rtol=0)
            assert torch.equal(stored(batch), policy(batch))


def test_no_image_is_decoded_twice_in_a_batch_of_training():
    class Counting(Encoded):
        decoded = 0

        def pixels(self, row):
            self.decoded += 1
            return super().pixels(row)

    images = Counting(stripes(channels=3).images)
    data = replace(stripes(channels=3), images=images)
    view = View(data, Inception(size=12), seed=4, augment=Augment(mix=BOTH))
    for rows in split_batches(shuffled(ROWS, view.seed, 0), 16, drop_last=True):
        images.decoded = 0
        view.render(rows, 0)
        assert images.decoded == 16


def test_training_with_mixed_crops(tmp_path):
    mixed = ["data.mix={mixup: 0.2, cutmix: 1.0}", "stages.refined.epochs=1"]
    go(tmp_path, "live", mixed)
    go(tmp_path, "stored", [*mixed, "stages.refined.labels.store={form: float32}"])
    assert weights(tmp_path / "live", "refined") == weights(tmp_path / "stored", "refined")
    go(tmp_path, "plain", ["stages.refined=null"])
    assert stage_folder(tmp_path / "plain", "plain").name != (
        stage_folder(tmp_path / "live", "plain").name
    )
    go(tmp_path, "image", [*mixed, "stages.refined.labels.level=image"])
    assert weights(tmp_path / "live", "refined") != weights(tmp_path / "image", "refined")


@pytest.mark.parametrize("mix", ["{}", "{mixup: 0.2, share: 0}", "{mixup: -1}", "{mixop: 1}"])
def test_mixing_that_makes_no_sense(mix, tmp_path):
    with pytest.raises(RecipeError, match=r"data\.mix"):
        go(tmp_path, overrides=[f"data.mix={mix}"])
