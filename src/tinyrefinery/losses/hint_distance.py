"""How far a student's features are from a refiner's, whatever their scale.

FitNets (arXiv 1412.6550, equation 3) takes the squared distance of the features themselves. Here
both are divided by their norms first, so that the value needs no scale of its own, as in Improved
Feature Distillation via Projector Ensemble (arXiv 2210.15274, section 3).
"""

from torch import Tensor
from torch.nn import functional as F

from tinyrefinery.shapes import Float

LEAST_NORM = 1e-6  # of a feature vector, whose gradient is limited so; our choice


def hint_distance(
    projected: Float[Tensor, "B C h w"], hints: Float[Tensor, "B C h w"]
) -> Float[Tensor, ""]:
    """Mean over crops and places of ||p / |p| - r / |r|||^2, from 0 to 4, a scalar.

    p and r are the vectors of C features at a place. The value is 2 minus twice their cosine, so 0
    where they point the same way.

    Args:
        projected: the student's features.
        hints: the refiner's.
    """
    one, other = (F.normalize(maps, dim=1, eps=LEAST_NORM) for maps in (projected, hints))
    return (one - other).square().sum(dim=1).mean()
