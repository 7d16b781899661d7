"""SSD (arXiv 1512.02325) on any backbone, with SSDLite's layers (arXiv 1801.04381, section 6.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSDHead
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import Conv2dNormActivation

from tinyrefinery.detection.backbone_maps import find_maps, maps_of
from tinyrefinery.layers.modes import output_shapes
from tinyrefinery.recipe.detection import DetectorSpec


class Detector(nn.Module):
    """Predicts offsets and classes for every default box.

    Args:
        backbone: a network with `forward_features`. Its classification layers are removed.
        classes: K, without the background.
        spec: the detector's layers and default boxes.

    Raises:
        RecipeError: when the backbone has no feature maps.
    """

    default_boxes: Tensor
    """(A, 4) in pixels of the input. They may extend beyond it."""

    def __init__(self, backbone: nn.Module, classes: int, spec: DetectorSpec) -> None:
        super().__init__()
        self.backbone, self.classes, self.spec = backbone, classes, spec
        sources = find_maps(backbone, spec.strides)
        self.places = [source.module for source in sources]
        maps = output_shapes(_Maps(backbone, self.places), (1, 3, spec.size, spec.size))
        sides = [tuple(shape.shape[2:]) for shape in maps]
        channels = [source.channels for source in sources]
        self.extra = nn.ModuleList()
        for width in spec.extra:
            if max(sides[-1]) == 1:
                break
            self.extra.append(_extra_block(channels[-1], width))
            channels.append(width)
            sides.append(tuple(-(-side // 2) for side in sides[-1]))
        _draw_weights(self.extra)
        boxes = default_box_generator(len(sides), spec)
        head = SSDLiteHead if spec.head == "lite" else SSDHead
        norm = (nn.BatchNorm2d,) if spec.head == "lite" else ()
        self.head = head(channels, boxes.num_anchors_per_location(), classes + 1, *norm)
        self.register_buffer("default_boxes", _tiled(boxes, sides, spec.size), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Predict (B, A, 4 + 1 + K), offsets, then logits with the background first.

        Args:
            images: normalized, (B, 3, size, size).
        """
        maps = maps_of(self.backbone, self.places, images)
        for block in self.extra:
            maps.append(block(maps[-1]))
        outputs = self.head(maps)
        return torch.cat([outputs["bbox_regression"], outputs["cls_logits"]], dim=2)


class _Maps(nn.Module):
    """A backbone that returns its feature maps."""

    def __init__(self, backbone: nn.Module, places: Sequence[str]) -> None:
        super().__init__()
        self.backbone, self.places = backbone, places

    def forward(self, images: Tensor) -> list[Tensor]:
        return maps_of(self.backbone, self.places, images)


def default_box_generator(maps: int, spec: DetectorSpec) -> DefaultBoxGenerator:
    """The generator of torchvision, with the same aspect ratios for every map."""
    return DefaultBoxGenerator(
        [list(spec.aspects)] * maps,  # type: ignore[arg-type]
        min_ratio=spec.scales[0],
        max_ratio=spec.scales[1],
    )


def _tiled(boxes: DefaultBoxGenerator, sides: Sequence[tuple[int, ...]], size: int) -> Tensor:
    with torch.device("cpu"):  # the generator creates its boxes there, whatever the default is
        maps = [torch.empty(1, 1, *side) for side in sides]
        image = ImageList(torch.empty(1, 3, size, size), [(size, size)])
        return boxes(image, maps)[0]


def _extra_block(channels: int, width: int) -> nn.Sequential:
    """Layers for a map of half the size: 1x1 to half the width, 3x3 depthwise of stride 2, 1x1."""
    inner = max(1, width // 2)
    relu = nn.ReLU6
    return nn.Sequential(
        Conv2dNormActivation(channels, inner, 1, activation_layer=relu),
        Conv2dNormActivation(inner, inner, 3, stride=2, groups=inner, activation_layer=relu),
        Conv2dNormActivation(inner, width, 1, activation_layer=relu),
    )


def _draw_weights(layers: nn.Module) -> None:
    """Draw weights from a normal distribution with deviation .03, as in torchvision's SSDLite."""
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.03)
