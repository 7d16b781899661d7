"""Stored labels are the live ones, and are refused where they would not be."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.contracts.test_label_policies import ROWS, VIEW, small_network
from tests.labels.policies import refined_labels
from tinyrefinery.data import transforms
from tinyrefinery.data.batches import shuffled, split_batches
from tinyrefinery.errors import CheckpointError, LabelStoreError
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.labels.store import reader as stored
from tinyrefinery.labels.store.encodings import choose
from tinyrefinery.labels.store.reader import StoredLabels, StoreReader, check_pixels, ranges
from tinyrefinery.labels.store.store import LabelStore
from tinyrefinery.options.crops import Inception
from tinyrefinery.options.labels import Refining

EXACT = choose("float32", 3)


def refiner(seed=0, bf16=False, **options):
    return Refiner([small_network(seed)], Refining(**options), bf16=bf16)


def crop_labels(view=VIEW, group=16, **options):
    return CropLabels(refiner(**options), view, ROWS, group=group)


def live(view=VIEW, **options):
    return refined_labels(refiner(**options), view, ROWS, bn_group=16)


def dense(epoch, policy, order=None, size=16, view=VIEW):
    """Labels of a whole epoch in manifest order, from batches of `size` in `order`."""
    out = torch.full((int(ROWS.max()) + 1, 3), torch.nan)
    order = shuffled(ROWS, VIEW.seed, epoch) if order is None else order
    for rows in split_batches(order, size, drop_last=False):
        out[torch.from_numpy(rows)] = policy(view.render(rows, epoch))
    return out[torch.from_numpy(ROWS)]


@pytest.fixture
def told(caplog):
    caplog.set_level("INFO", "tinyrefinery")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("mode", ["batch", "running"])
def test_stored_labels_are_the_live_ones_to_the_last_bit(tmp_path, mode):
    policy = StoredLabels(crop_labels(batch_norm=mode), tmp_path, EXACT)
    for epoch in (0, 3):
        assert torch.equal(dense(epoch, policy), dense(epoch, live(batch_norm=mode)))
    again = StoredLabels(crop_labels(batch_norm=mode), tmp_path, EXACT)
    assert again.store.folder == policy.store.folder
    assert torch.equal(dense(3, again), dense(3, live(batch_norm=mode)))


def test_any_order_and_batch_size_reads_the_same_labels(tmp_path):
    policy = StoredLabels(crop_labels(), tmp_path, EXACT)
    expected = dense(1, live())
    order = np.random.default_rng(0).permutation(ROWS)
    for size in (7, 16, 80):
        assert torch.equal(dense(1, policy, order, size), expected)


def test_streams_made_out_of_order_are_the_same(tmp_path):
    forward, backward = (
        StoredLabels(crop_labels(), tmp_path / name, EXACT) for name in ("forward", "backward")
    )
    made = {stream: forward.label_stream(stream) for stream in (0, 1, 2)}
    for stream in (2, 0, 1):
        assert torch.equal(backward.label_stream(stream), made[stream])


def test_labels_are_made_once_for_all_readers(tmp_path, monkeypatch):
    dense(0, StoredLabels(crop_labels(), tmp_path, EXACT))
    monkeypatch.setattr(StoredLabels, "label_stream", lambda *_: pytest.fail("labeled again"))
    dense(0, StoredLabels(crop_labels(), tmp_path, EXACT))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": 1}, "another refiner"),
        ({"temperature": 2.0}, "another refiner"),
        ({"bf16": True}, "another refiner"),
        ({"batch_norm": "running"}, "another refiner"),
        ({"group": 20}, "other BN groups"),
        ({"view": replace(VIEW, seed=5)}, "other crops"),
        ({"view": replace(VIEW, augment=None)}, "other crops"),
        ({"view": replace(VIEW, mean=(0.1,) * 3)}, "other crops"),
    ],
)
def test_other_labels_get_a_store_of_their_own_and_the_reason_is_told(
    tmp_path, told, change, reason
):
    first = StoredLabels(crop_labels(), tmp_path, EXACT)
    first.store.get_or_create(0, lambda: first.label_stream(0))
    second = StoredLabels(crop_labels(**change), tmp_path, EXACT)
    assert second.store.folder != first.store.folder
    assert second.store.streams() == {}
    assert f"existing store, {first.store.folder.name}, has {reason}" in told()


def test_crops_that_come_out_differently_are_refused(tmp_path, monkeypatch):
    StoredLabels(crop_labels(), tmp_path, EXACT)
    cut = transforms.crop_batches

    def rounded(*arguments):
        return [images + 0.1 for images in cut(*arguments)]

    def coarse(*arguments):
        halves = [images[:, :, ::2, ::2] for images in cut(*arguments)]
        return [half.repeat_interleave(2, 2).repeat_interleave(2, 3) for half in halves]

    monkeypatch.setattr(transforms, "crop_batches", rounded)
    StoredLabels(crop_labels(), tmp_path, EXACT)  # a rounding error is none
    monkeypatch.setattr(transforms, "crop_batches", coarse)
    with pytest.raises(LabelStoreError, match=r"renders the crops differently, by up to"):
        StoredLabels(crop_labels(), tmp_path, EXACT)


def test_a_refiner_that_labels_differently_is_refused(tmp_path, monkeypatch):
    StoredLabels(crop_labels(), tmp_path, EXACT)
    label = Refiner.__call__
    flatter = lambda self, *crops: label(self, *crops) * 0.98 + 0.02 / 3  # noqa: E731
    monkeypatch.setattr(Refiner, "__call__", flatter)
    with pytest.raises(
        LabelStoreError, match="labels the probe crops differently on this machine, by up to"
    ):
        StoredLabels(crop_labels(), tmp_path, EXACT)


def test_reading_without_a_refiner(tmp_path):
    made = StoredLabels(crop_labels(), tmp_path, EXACT)
    made.store.get_or_create(0, lambda: made.label_stream(0))
    store = LabelStore(made.store.folder)
    check_pixels(store, VIEW)
    reading = StoreReader(store, VIEW, ROWS)
    assert torch.equal(dense(0, reading), dense(0, live()))
    with pytest.raises(LabelStoreError, match=r"no labels of stream 1 \(it has 1: 0\)"):
        dense(1, reading)


def test_a_pool_goes_around(tmp_path):
    view = replace(VIEW, pool=2)
    labels = CropLabels(refiner(), view, ROWS, group=16)
    policy = StoredLabels(labels, tmp_path, EXACT)
    for epoch in range(5):
        stored_labels = dense(epoch, policy, view=view)
        assert torch.equal(stored_labels, dense(epoch % 2, live(), view=VIEW))
        # Live, the batches of a later round cut across the planned groups, and give the same.
        lively = refined_labels(refiner(), view, ROWS, bn_group=16)
        torch.testing.assert_close(dense(epoch, lively, view=view), stored_labels)
    assert list(policy.store.streams()) == [0, 1]


def trained(steps=150):
    """A network that knows its crops: its labels are sharp, as a refiner's are."""
    network = small_network()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(steps):
        batch = VIEW.render(shuffled(ROWS, 0, step)[:32], step)
        optimizer.zero_grad()
        F.cross_entropy(network(batch.images), batch.labels).backward()
        optimizer.step()
    return network


def test_a_stream_is_the_same_in_a_pool_and_without(tmp_path):
    pooled = replace(VIEW, pool=2)
    in_pool = StoredLabels(CropLabels(refiner(), pooled, ROWS, group=16), tmp_path, EXACT)
    assert torch.equal(
        in_pool.label_stream(3),
        StoredLabels(crop_labels(), tmp_path / "own", EXACT).label_stream(3),
    )


def test_a_store_under_the_name_of_another_is_refused(tmp_path):
    exact = StoredLabels(crop_labels(), tmp_path, EXACT).store.folder
    half = StoredLabels(crop_labels(), tmp_path, choose("float16", 3)).store.folder
    shutil.rmtree(exact)
    half.rename(exact)
    with pytest.raises(LabelStoreError, match=r"its labels don.t match its name: .*float16"):
        StoredLabels(crop_labels(), tmp_path, EXACT)


def test_flat_labels_are_told_apart_too(tmp_path):
    """A thousandth off is much where no probability is larger than a few thousandths."""
    flat = {"temperature": 50.0}
    StoredLabels(crop_labels(**flat), tmp_path, EXACT)
    label = Refiner.__call__
    with pytest.MonkeyPatch.context() as patch, pytest.raises(LabelStoreError, match="top prob"):
        patch.setattr(Refiner, "__call__", lambda *crops: label(*crops).roll(1, dims=1))
        StoredLabels(crop_labels(**flat), tmp_path, EXACT)


def test_calibrated_labels_are_known_by_the_network_not_by_what_was_measured():
    def facts(crops):
        made = refiner(batch_norm="calibrated")
        made.calibrate(lambda: [VIEW.render(ROWS[:crops], 0)])
        return made.facts()

    assert facts(80) == facts(40)
    assert facts(80) != refiner(1, batch_norm="calibrated").facts()


def test_single_crops_can_be_labeled_with_running_statistics():
    one = CropLabels(refiner(batch_norm="running"), VIEW, ROWS, group=1)
    rows, labels = zip(*one.of_stream(0), strict=True)
    batch = VIEW.render(np.concatenate(rows), 0)
    assert sorted(batch.rows) == sorted(ROWS)
    torch.testing.assert_close(torch.cat(labels), one.refiner(batch.images))


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_groups_rendered_together_are_labeled_apart(monkeypatch, at_once):
    labels = crop_labels(group=24)  # the tail of 8 crops is filled up
    monkeypatch.setattr(CropLabels, "_groups_at_once", lambda self: at_once)
    found = list(labels.of_stream(2))
    assert len(found) == -(-len(labels.plan.groups(2)) // at_once)
    rows, got = np.concatenate([each for each, _ in found]), torch.cat([each for _, each in found])
    apart = [labels.refiner(VIEW.render(group, 2).images) for group in labels.plan.groups(2)]
    assert np.array_equal(rows, shuffled(ROWS, VIEW.seed, 2))
    assert torch.equal(got, torch.cat(apart)[: len(ROWS)])


def test_small_crops_are_rendered_for_several_groups_at_once():
    assert crop_labels(group=16)._groups_at_once() > 1
    large = replace(VIEW, crop=Inception(size=224))
    assert crop_labels(large, group=16)._groups_at_once() == 1


def test_compact_labels_lose_less_than_other_batch_mates_do(tmp_path):
    """The mean KL of quantizing is below a hundredth of the KL between two groupings."""
    network = trained()
    labels = CropLabels(Refiner([network]), VIEW, ROWS, group=16)
    exact = dense(0, StoredLabels(labels, tmp_path, EXACT)).double()
    compact = dense(0, StoredLabels(labels, tmp_path, choose("compact", 3))).double()
    order = np.random.default_rng(1).permutation(ROWS)
    mates = dense(0, lambda batch: Refiner([network])(batch.images), order).double()

    def kl(other):
        return torch.xlogy(exact, exact / other.clamp_min(1e-12)).sum(1).mean()

    assert exact.max(1).values.mean() > 0.7
    assert 0 < kl(compact) < kl(mates) / 100


@pytest.mark.parametrize(("form", "top"), [("float32", None), ("compact", None), ("compact", 1)])
def test_labels_that_are_no_numbers_are_refused(tmp_path, form, top):
    # A byte knows no NaN: in the compact form such labels would look like sound ones.
    sound = StoredLabels(crop_labels(), tmp_path / "sound", choose(form, 3, top))
    unsound = crop_labels()
    next(unsound.refiner.networks[0].parameters()).data.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="of the probe crops are NaN or infinite"):
        StoredLabels(unsound, tmp_path / "unsound", choose(form, 3, top))
    assert not (tmp_path / "unsound").exists()
    sound.labels = unsound
    with pytest.raises(CheckpointError, match="of stream 3 are NaN or infinite"):
        sound.store.get_or_create(3, lambda: sound.label_stream(3))
    assert sound.store.streams() == {}


def test_hard_labels_from_a_sparse_store(tmp_path):
    labels = StoredLabels(crop_labels(), tmp_path, choose("compact", 3, 2))
    hard = refined_labels(refiner(), VIEW, ROWS, bn_group=16, hard=True, store=labels)
    expected = refined_labels(refiner(), VIEW, ROWS, bn_group=16, hard=True)
    assert torch.equal(dense(0, hard), dense(0, expected))


def test_numbers_are_told_in_ranges():
    assert stored.ranges([0, 1, 2, 7, 9, 10]) == "0-2, 7, 9-10"
    assert ranges([]) == "none"
