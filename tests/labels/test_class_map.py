"""Refiners with other classes than the data: mapped, renormalized, and replaced where unsure."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.data.scenes import stripes
from tinyrefinery.data.batches import View, shuffled, split_batches
from tinyrefinery.errors import RecipeError
from tinyrefinery.labels.class_map import ClassMap, names_of, read_class_map
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import GivenLabels, RefinedLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.labels.store.encodings import choose
from tinyrefinery.labels.store.identity import facts_of, key
from tinyrefinery.labels.store.reader import StoredLabels
from tinyrefinery.options.crops import Center, Inception
from tinyrefinery.options.labels import Refining

DATA = stripes()  # 3 classes
VIEW = View(DATA, Inception(size=12), seed=4)
ROWS = DATA.manifest.rows("train")
EXACT = choose("float32", 3)
THEIRS = names_of(["n00000001 tench, Tinca tinca", "plate", "bowl", "crane", "crane, machine"])
# Class 1 of the data stands for nothing of the refiner's; two classes stand for class 2.
PARTIAL = ClassMap((0, 2, -1, 2, -1), classes=3, least_mass=0.5)
WHOLE = ClassMap((0, 2, 1, 2, -1), classes=3, least_mass=0.35)


def network(seed=0, classes=5):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, classes),
    ).eval()


def labels_of(class_map=WHOLE, group=16, mode="running", **options):
    refiner = Refiner([network()], Refining(batch_norm=mode), maps=[class_map])
    given = GivenLabels(3, DATA.manifest)
    return CropLabels(refiner, VIEW, ROWS, group=group, given=given, **options)


def reference(probabilities, given, targets, least):
    """Mapped labels by loops in float64."""
    found = []
    for row, own in zip(probabilities.double().numpy(), given.double().numpy(), strict=True):
        sums = np.zeros(3)
        for value, target in zip(row, targets, strict=True):
            if target >= 0:
                sums[target] += value
        missing = [k for k in range(3) if k not in targets]
        falls = sums.sum() < least or own[missing].sum() > 0
        found.append(own if falls else sums / sums.sum())
    return torch.tensor(np.array(found))


@pytest.mark.parametrize("class_map", [PARTIAL, WHOLE], ids=["partial", "whole"])
def test_labels_are_sums_renormalized_or_the_given_ones(class_map):
    batch = VIEW.render(ROWS[:64], 0)
    predicted = network()(batch.images).softmax(1).detach()
    # Half of the crops have less.
    mass = predicted[:, [n for n, target in enumerate(class_map.targets) if target >= 0]].sum(1)
    class_map = replace(class_map, least_mass=float(mass.sort().values[31:33].mean()))
    given = GivenLabels(3)(batch)
    expected = reference(predicted.detach(), given, class_map.targets, class_map.least_mass)
    found = labels_of(class_map).of_group(batch)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)
    replaced = (found == given).all(1)
    assert 0 < replaced.sum() < 64  # both kinds are there


def test_a_temperature_softens_before_classes_are_added_up():
    batch = VIEW.render(ROWS[:16], 0)
    refiner = Refiner([network()], Refining(batch_norm="running", temperature=3), maps=[WHOLE])
    predicted = (network()(batch.images) / 3).softmax(1).detach()
    expected = reference(predicted, torch.ones(16, 3), WHOLE.targets, 0.0)
    torch.testing.assert_close(refiner(batch.images).double(), expected, atol=1e-6, rtol=0)


def test_an_ensemble_of_a_mapped_network_and_one_of_the_datas_classes():
    batch = VIEW.render(ROWS[:16], 0)
    both = [network(), network(1, 3)]
    refiner = Refiner(both, Refining(batch_norm="running"), maps=[WHOLE, None])
    first = reference(
        both[0](batch.images).softmax(1).detach(), torch.ones(16, 3), WHOLE.targets, 0
    )
    expected = (first + both[1](batch.images).softmax(1).double()) / 2
    torch.testing.assert_close(refiner(batch.images).double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["running", "batch"])
def test_stored_labels_are_the_live_ones_to_the_last_bit(tmp_path, mode):
    stored = StoredLabels(labels_of(mode=mode), tmp_path, EXACT)
    live = RefinedLabels(Refining(batch_norm=mode), labels_of(mode=mode))
    for epoch in (0, 3):
        for rows in split_batches(shuffled(ROWS, VIEW.seed, epoch), 16, drop_last=False):
            batch = VIEW.render(rows, epoch)
            assert torch.equal(stored(batch), live(batch))


@pytest.mark.parametrize("level", ["crop", "image", "category"])
@pytest.mark.parametrize("hard", [False, True])
def test_every_level(level, hard):
    part = Refining(level=level, hard=hard, batch_norm="running")
    policy = RefinedLabels(part, labels_of(PARTIAL), image_view=View(DATA, Center(size=12)))
    batch = VIEW.render(ROWS[:16], 0)
    targets = policy(batch)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(16))
    # No class of the refiner stands for class 1, so its images keep their given label.
    assert (targets[batch.labels == 1].argmax(1) == 1).all()


def test_the_map_and_the_given_labels_are_part_of_a_labels_identity():
    plain = facts_of(labels_of(), EXACT)
    stricter = facts_of(labels_of(replace(WHOLE, least_mass=0.6)), EXACT)
    other = facts_of(labels_of(replace(WHOLE, targets=(0, 1, 2, 2, -1))), EXACT)
    corrected = labels_of()
    table = DATA.manifest.table
    swapped = table.set_column(
        table.schema.get_field_index("label"), "label", [DATA.manifest.labels[::-1].copy()]
    )
    data = replace(DATA, manifest=replace(DATA.manifest, table=swapped))
    corrected.view = replace(corrected.view, dataset=data)
    facts = [plain, stricter, other, facts_of(corrected, EXACT)]
    assert len({key(each) for each in facts}) == 4


def test_refiners_with_the_datas_classes_keep_their_identity():
    refiner = Refiner([network(classes=3)], Refining())
    given = GivenLabels(3, DATA.manifest)
    facts = facts_of(CropLabels(refiner, VIEW, ROWS, group=16, given=given), EXACT)
    assert "maps" not in facts["refiner"]
    assert "given" not in facts


def test_what_is_kept_is_measured():
    labels = labels_of(PARTIAL)
    (kept,) = labels.kept_probability(64)
    rows = np.concatenate(list(labels.plan.groups(0)[:4]))
    batch = VIEW.render(rows, 0)
    predicted = network()(batch.images).softmax(1).detach()
    mass = predicted[:, [0, 1, 3]].sum(1)
    assert kept.mean == pytest.approx(float(mass.mean()), abs=1e-6)
    falls = (mass < 0.5) | (batch.labels == 1)
    assert kept.fallback == pytest.approx(float(falls.float().mean()))
    assert (kept.crops, kept.unreached) == (64, ("direction 1",))


def test_nothing_left_gives_no_nan():
    probabilities = torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0]])
    assert torch.equal(WHOLE.labels(probabilities), torch.full((1, 3), 1 / 3))
    given = torch.tensor([[0.0, 1.0, 0.0]])
    assert torch.equal(WHOLE.labels(probabilities, given), given)


OURS = ("fish", "dish", "bird")


def read(**entries):
    return read_class_map(entries, THEIRS, OURS, 0.1, "net")


def test_classes_are_named_by_name_wnid_or_number():
    for name in ("n00000001", "tinca TINCA", "tench, Tinca tinca", "0"):
        found = read(**{name: "fish", "plate": "dish", "2": "dish"})
        assert found.targets == (0, 1, 1, -1, -1)
    assert read(**{"3": "bird", "0": "fish"}).unreached == [1]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"plate": "dsh"},
            "labels.classes.plate: the data has no class 'dsh'. Did you mean 'dish'?",
        ),
        ({"plat": "dish"}, "no class 'plat'. Did you mean 'plate'?.*0 to 4"),
        ({"5": "dish"}, "no class '5'"),
        ({"crane": "bird"}, "2 classes of this name: 3 .*4 .*Write the number"),
        ({"plate": "dish", "1": "fish"}, "class 1 stands for both 'dish' and 'fish'"),
        ({"plate": "dish", "bowl": "dish"}, "only one class of the data, 'dish'"),
    ],
)
def test_wrong_maps(entries, message):
    with pytest.raises(RecipeError, match=message):
        read(**entries)


def test_a_number_that_is_a_name_counts_as_the_name():
    assert read_class_map(
        {"1": "a", "0": "b"}, [("1",), ("0",)], ("a", "b"), 0.1, "net"
    ).targets == (
        0,
        1,
    )
