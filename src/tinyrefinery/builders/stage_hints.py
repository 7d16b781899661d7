"""From a stage with hints to the features that they compare."""

from torch import Tensor, nn

from tinyrefinery.builders.label_policies import own_size
from tinyrefinery.builders.networks import FrozenNetwork, skeleton
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.modes import output_shapes
from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage


class _Features(nn.Module):
    """Outputs the last feature maps of a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.forward_features(images)  # type: ignore[operator]


def feature_channels(
    stage: Stage, refiner: FrozenNetwork | Stage, data: Dataset, recipe: Recipe
) -> tuple[int, int]:
    """Channels of the last feature maps of a stage's network, and of its refiner's.

    Args:
        stage: with hints.
        refiner: the network, or the stage that trains it.
        data: what the stage trains on.
        recipe: the stage's.

    Raises:
        RecipeError: when the refiner has no features, or none that can be compared place by place.
    """
    assert isinstance(stage.labels, Refined)
    assert stage.hints is not None
    crop, channels = recipe.data.train_crop.size, data.images.channels
    if isinstance(refiner, Stage):
        theirs, size = skeleton(refiner, data, recipe), crop
    else:
        theirs, size = refiner.network, own_size(stage.labels, refiner, crop) or crop
    place, name = f"stages.{stage.id}.hints", stage.labels.by[0]
    if not hasattr(theirs, "forward_features"):
        raise RecipeError(
            f"{place}: '{name}' gives no features, since PyTorch doesn't run it; refine by a "
            "stage, a safetensors file or timm:NAME, or write hints: null"
        )
    own_shape, shape = (
        tuple(output_shapes(_Features(network), (1, channels, *pixels)).shape)
        for network, pixels in ((skeleton(stage, data, recipe), crop), (theirs, size))
    )
    for whose, (height, width) in ((stage.id, own_shape[2:]), (name, shape[2:])):
        if stage.hints.of == "map" and width == 1 and height > 1:
            raise RecipeError(
                f"{place}.of: the features of '{whose}' are {height} tokens without a place in the "
                "crop, which can't be compared place by place. Write of: pooled"
            )
    return own_shape[1], shape[1]
