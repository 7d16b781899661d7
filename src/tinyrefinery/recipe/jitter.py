"""Adversarial jittering as a recipe can ask for it."""

from typing import Annotated, Literal

from pydantic import Field

from tinyrefinery.recipe.part import Part, Positive


class Jitter(Part):
    """Crops changed by one ascent step on refiner against network (arXiv 1805.02641, eq. 3)."""

    step: Positive = 1.0
    """eta, in normalized pixel units (the paper: 1)."""
    norm: Literal["gradient", "sign", "l2"] = "gradient"
    """gradient: step times the gradient, as printed; sign: step times its sign, in every pixel; l2:
    step is the length of a crop's whole change."""
    average: Literal["crop", "batch"] = "crop"
    """Whose divergence is differentiated: each crop's own, whatever the batch size; or the batch's
    mean, which makes steps of norm: gradient smaller by the batch size."""
    direction: Literal["label_to_output", "output_to_label"] = "label_to_output"
    """Which divergence grows: KL(label || output), as in the paper's loss; or the other."""
    through_refiner: bool = True
    """Differentiate the label too, which is the refiner's output for the same crop; false: hold it
    fast, which saves the refiner's backward pass, and its forward pass where labels are stored."""
    batch_norm: Literal["batch", "running"] = "batch"
    """Statistics of the trained network while the gradient is taken: as in training, or its running
    ones."""
    mates: Literal["all", "jittered"] = "all"
    """Crops that share the refiner's batch statistics with a jittered one: natural ones too, as in
    the batch that is trained on; or jittered ones only."""
    clamp: bool = False
    """Keep jittered pixels between black and white; the paper's equation doesn't."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Jittered crops for each natural one."""
