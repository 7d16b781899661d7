"""Label policies with few words, for tests."""

from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import RefinedLabels
from tinyrefinery.options.labels import Refining


def refined_labels(refiner, view, rows, *, bn_group=256, image_view=None, store=None, **options):
    """Labels of `view`'s crops by `refiner`; options are those of a recipe's refined labels."""
    labels = CropLabels(refiner, view, rows, group=bn_group)
    return RefinedLabels(Refining(**options), labels, image_view=image_view, store=store)
