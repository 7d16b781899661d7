"""Average precision: by hand, against the definition, and against pycocotools."""

import numpy as np
import pytest

from tinyrefinery.detection.boxes import GroundTruth
from tinyrefinery.detection.coco_measure import coco_measures
from tinyrefinery.detection.detections import Detections
from tinyrefinery.detection.detector_measures import blind, measures
from tinyrefinery.detection.shapes_dataset import open_shapes
from tinyrefinery.detection.voc_measure import Curve, area, curve, eleven_points, voc_measures
from tinyrefinery.recipe.detection import Shapes


def given(*boxes, labels=None, difficult=None):
    n = len(boxes)
    labels = [0] * n if labels is None else labels
    hard = [False] * n if difficult is None else difficult
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return GroundTruth(array, np.array(labels, np.int64), np.array(hard, bool))


def found(*boxes, scores, labels=None):
    labels = [0] * len(boxes) if labels is None else labels
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(array, np.array(labels, np.int64), np.array(scores, np.float32))


A, B, C = (0, 0, 10, 10), (20, 20, 30, 30), (40, 40, 60, 60)
FAR = (80, 80, 90, 90)


def test_by_hand():
    """Right, wrong, right of three objects: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3."""
    truth = [given(A, B, C)]
    boxes = [found(A, FAR, B, scores=[0.9, 0.8, 0.7])]
    line = curve(truth, boxes, 0)
    np.testing.assert_allclose(line.recall, [1 / 3, 1 / 3, 2 / 3])
    np.testing.assert_allclose(line.precision, [1, 1 / 2, 2 / 3])
    # Recalls 0, .1, .2, .3: 1; .4, .5, .6: 2/3; from .7 on: 0.
    assert eleven_points(line) == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)
    assert area(line) == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)


def test_a_published_example():
    """The well-known one of rafaelpadilla/Object-Detection-Metrics: 24 boxes, 15 objects.

    Its table of true and false positives, by confidence; its README gives 24.56 % for all points
    and 26.84 % for eleven points.
    """
    right = np.zeros(24)
    right[[0, 2, 9, 11, 12, 13, 22]] = 1  # R, J, B, P, E, X, G
    total = np.cumsum(right)
    line = Curve(total / 15, total / np.arange(1, 25), 15)
    assert area(line) == pytest.approx(0.2456, abs=2e-4)
    assert eleven_points(line) == pytest.approx(0.2684, abs=2e-4)


def test_the_second_box_on_an_object_is_wrong():
    """Also where another object is free that it overlaps enough, but less: VOC's rule."""
    near = (0, 0, 10, 9)
    truth = [given(A, near)]
    boxes = [found(A, A, scores=[0.9, 0.8])]
    np.testing.assert_allclose(curve(truth, boxes, 0).precision, [1, 0.5])


def test_overlap_must_be_at_least_one_half():
    """As in VOC's development kit and in COCO's, not above it, as other packages have it."""
    half = (0, 0, 10, 5)
    assert curve([given(A)], [found(half, scores=[1])], 0).recall.tolist() == [1]
    less = (0, 0, 10, 4.9)
    assert curve([given(A)], [found(less, scores=[1])], 0).recall.tolist() == [0]
    pytest.importorskip("pycocotools")
    sizes = np.array([[100, 100]])
    coco = coco_measures([given(A)], [found(half, scores=[1])], sizes, "a")
    assert coco["ap50"] == pytest.approx(1)


def test_difficult_objects_count_neither_way():
    truth = [given(A, B, difficult=[False, True])]
    boxes = [found(B, B, A, scores=[0.9, 0.8, 0.7])]
    line = curve(truth, boxes, 0)
    assert line.objects == 1
    assert line.precision.tolist() == [1]


def test_classes_and_images_are_apart():
    truth = [given(A, labels=[0]), given(A, labels=[1]), given()]
    boxes = [found(A, scores=[0.5], labels=[1]), found(A, scores=[0.5], labels=[1])]
    boxes.append(found(A, scores=[0.9], labels=[1]))
    result = voc_measures(truth, boxes, ["cat", "dog", "emu"])
    assert result.keys() == {"cat", "dog"}
    assert result["cat"] == {"ap11": 0, "ap_area": 0, "recall": 0, "objects": 1}
    # 0.9 wrong, then two equal scores: the first image's is wrong, the second's right.
    assert result["dog"]["ap11"] == pytest.approx(1 / 3)


def test_nothing_found_or_given():
    none = found(scores=[])
    assert voc_measures([given(A)], [none], ["cat"])["cat"]["ap11"] == 0
    assert voc_measures([given()], [none], ["cat"]) == {}
    line = curve([given()], [found(A, scores=[0.5])], 0)
    assert area(line) == 0


def scene(seed, images=12):
    """Objects far from each other, and found boxes near some of them: rules agree on these."""
    rng = np.random.default_rng(seed)
    truth, boxes = [], []
    for _ in range(images):
        corners = [(60 * i, 60 * j) for i in range(4) for j in range(4)]
        places = rng.permutation(16)[: rng.integers(1, 6)]
        own = [[*corners[p], corners[p][0] + 40, corners[p][1] + 30] for p in places]
        labels = rng.integers(0, 2, len(own))
        truth.append(given(*own, labels=labels))
        near = [np.array(b) + rng.normal(0, 4, 4) for b in own if rng.random() < 0.8]
        near += [[240, 240, 260, 270]] * int(rng.integers(0, 3))
        kinds = rng.integers(0, 2, len(near))
        boxes.append(found(*near, scores=rng.random(len(near)), labels=kinds))
    return truth, boxes


@pytest.mark.parametrize("seed", range(8))
def test_eleven_points_are_cocos_rule_at_eleven_recalls(seed):
    """Where no two objects can be mistaken for each other, pycocotools gives the same numbers."""
    pytest.importorskip("pycocotools")
    from contextlib import redirect_stdout
    from io import StringIO

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from tinyrefinery.detection import coco_measure

    truth, boxes = scene(seed)
    sizes = np.full((len(truth), 2), 300)
    with redirect_stdout(StringIO()):
        coco = COCO()
        coco.dataset = coco_measure._dataset(truth, sizes, ["cat", "dog"])
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(coco_measure._results(boxes)), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.recThrs = np.arange(11) / 10 - 1e-9
        evaluation.evaluate()
        evaluation.accumulate()
    ours = voc_measures(truth, boxes, ["cat", "dog"])
    theirs = evaluation.eval["precision"][0, :, :, 0, 2].mean(axis=0)
    assert [ours["cat"]["ap11"], ours["dog"]["ap11"]] == pytest.approx(theirs.tolist(), abs=1e-9)
    summary = coco_measures(truth, boxes, sizes, ["cat", "dog"])
    areas = np.mean([ours[name]["ap_area"] for name in ours])
    assert summary["ap50"] == pytest.approx(areas, abs=0.02)  # 101 recalls instead of all


def test_coco_of_perfect_and_of_no_boxes():
    pytest.importorskip("pycocotools")
    truth = [given(A, C, labels=[0, 1])]
    sizes = np.array([[100, 100]])
    perfect = coco_measures(truth, [found(A, C, scores=[1, 1], labels=[0, 1])], sizes, "ab")
    assert (perfect["ap"], perfect["ap75"]) == pytest.approx((1, 1))
    assert perfect["ap_large"] is None
    nothing = coco_measures(truth, [found(scores=[])], sizes, "ab")
    assert set(nothing.values()) == {0.0}
    none = coco_measures([given()], [found(A, scores=[1])], sizes, "a")
    assert set(none.values()) == {None}
    hard = [given(A, B, difficult=[False, True])]
    ignored = coco_measures(hard, [found(B, A, scores=[0.9, 0.8])], sizes, "a")
    assert ignored["ap"] == pytest.approx(1)


def test_the_blind_control_knows_the_training_boxes_only():
    data = open_shapes(Shapes(train=9, validation=4, test=0))
    rows = data.rows("validation")
    found_blind = blind(data, rows)
    train = [data.truth[row] for row in data.rows("train")]
    boxes = np.concatenate([each.boxes for each in train])
    labels = np.concatenate([each.labels for each in train])
    for each in found_blind:
        for box, label, score in zip(each.boxes, each.labels, each.scores, strict=True):
            np.testing.assert_allclose(box, np.median(boxes[labels == label], axis=0), rtol=1e-5)
            assert score == pytest.approx(np.mean([(t.labels == label).any() for t in train]))
        assert (np.diff(each.scores) <= 0).all()
    by_hand = voc_measures([data.truth[row] for row in rows], found_blind, data.classes)
    result = measures(data, rows, [found(scores=[])] * 4, coco=False)
    assert result["blind_map11"] == pytest.approx(np.mean([c["ap11"] for c in by_hand.values()]))
    assert result["map11"] == 0


def test_the_blind_control_of_a_class_that_training_lacks():
    data = open_shapes(Shapes(train=1, validation=2, test=0, most=1))
    assert all(len(each.labels) <= 1 for each in blind(data, data.rows("validation")))
