"""The detector's shape, its default boxes and its decoding, against the paper and torchvision."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.ssd import SSD

from tests.weights_digest import weights_digest
from tinyrefinery.detection.detections import decode
from tinyrefinery.detection.detector import Detector
from tinyrefinery.detection.detector_file import DetectorInfo, load_detector, save_detector
from tinyrefinery.detection.matching import CODER
from tinyrefinery.errors import CheckpointError
from tinyrefinery.models import create
from tinyrefinery.recipe.detection import DetectorSpec, Inference

SMALL = DetectorSpec(size=128, extra=(32, 32, 32, 32))


def small(spec=SMALL, classes=3):
    torch.manual_seed(0)
    return Detector(create("mobilenet_v1_025", classes, size=128), classes, spec)


@pytest.mark.parametrize(
    ("size", "extra", "maps"),
    [
        (320, (512, 256, 256, 128), (20, 10, 5, 3, 2, 1)),  # torchvision's SSDLite
        (192, (64, 64, 64, 64), (12, 6, 3, 2, 1)),  # no map after the point
        (192, (), (12, 6)),
        (96, (64, 64), (6, 3, 2, 1)),
    ],
)
def test_default_boxes_tile_every_map(size, extra, maps):
    detector = small(DetectorSpec(size=size, extra=extra))
    assert len(detector.default_boxes) == 6 * sum(side**2 for side in maps)
    boxes = detector.default_boxes
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert centers.min() > 0
    assert centers.max() < size
    cell = size / maps[0]
    torch.testing.assert_close(centers[:6], torch.full((6, 2), cell / 2))


def test_default_boxes_are_torchvisions_ssdlite():
    """Size 320, strides 16 and 32, SSDLite's extra layers: the same boxes to the last."""
    reference = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    kept = {}
    generator = reference.anchor_generator
    handle = generator.register_forward_hook(lambda m, i, out: kept.update(boxes=out[0]))
    with torch.inference_mode():
        reference([torch.zeros(3, 320, 320)])
    handle.remove()
    detector = small(DetectorSpec(size=320))
    torch.testing.assert_close(detector.default_boxes, kept["boxes"])
    assert [e[2][0].out_channels for e in detector.extra] == [512, 256, 256, 128]


@pytest.mark.parametrize("head", ["lite", "full"])
def test_both_heads(head):
    detector = small(DetectorSpec(size=96, extra=(16,), head=head))
    grouped = [m for m in detector.head.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert bool(grouped) == (head == "lite")
    assert detector(torch.zeros(2, 3, 96, 96)).shape[2] == 8


@pytest.mark.parametrize("seed", range(4))
def test_decoding_is_torchvisions(seed):
    torch.manual_seed(seed)
    detector = small()
    boxes = detector.default_boxes
    outputs = torch.randn(2, len(boxes), 8) * 2
    decoding = Inference(score=0.05, overlap=0.45, candidates=50, most=20)
    ssd = SimpleNamespace(
        box_coder=CODER,
        score_thresh=0.05,
        nms_thresh=0.45,
        topk_candidates=50,
        detections_per_img=20,
    )
    heads = {"bbox_regression": outputs[..., :4], "cls_logits": outputs[..., 4:]}
    theirs = SSD.postprocess_detections(ssd, heads, [boxes] * 2, [(128, 128)] * 2)
    for ours, reference in zip(decode(outputs, boxes, 128, decoding), theirs, strict=True):
        assert len(ours.labels) == 20
        torch.testing.assert_close(torch.from_numpy(ours.boxes), reference["boxes"])
        torch.testing.assert_close(torch.from_numpy(ours.scores), reference["scores"])
        assert ours.labels.tolist() == (reference["labels"] - 1).tolist()


def test_decoding_that_finds_nothing():
    detector = small()
    outputs = torch.zeros(1, len(detector.default_boxes), 8)
    outputs[..., 4] = 50
    (found,) = decode(outputs, detector.default_boxes, 128, Inference())
    assert found.boxes.shape == (0, 4)
    assert found.labels.shape == found.scores.shape == (0,)


def info(**changes):
    facts = {
        "backbone": "mobilenet_v1_025",
        "kwargs": {},
        "built_for": (128, 128),
        "classes": ("a", "b", "c"),
        "spec": SMALL,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.2, 0.2, 0.2),
    }
    return DetectorInfo(**(facts | changes))


def test_saved_and_loaded_it_is_the_same(tmp_path):
    detector = small()
    detector(torch.randn(2, 3, 128, 128))  # so that running statistics aren't the initial ones
    path = tmp_path / "model.safetensors"
    save_detector(path, detector, info())
    state = torch.random.get_rng_state()
    again, known = load_detector(path)
    assert torch.equal(state, torch.random.get_rng_state())
    assert weights_digest(again) == weights_digest(detector)
    assert known == info()
    x = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        torch.testing.assert_close(again(x), detector.eval()(x))
    first = path.read_bytes()
    save_detector(path, again, known)
    assert path.read_bytes() == first


def test_files_that_are_no_detectors(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(CheckpointError, match="there is no such file"):
        load_detector(path)
    save_detector(path, small(), info())
    content = path.read_bytes()
    path.write_bytes(content[:-50])
    with pytest.raises(CheckpointError, match="truncated"):
        load_detector(path)
    save_detector(path, small(), info(classes=("a", "b")))
    with pytest.raises(CheckpointError, match=r"weights of another network|classes"):
        load_detector(path)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="was not written by"):
        load_detector(path)
