"""The recipe of a detector: one experiment in YAML, a file of its own kind.

Its key `detector` tells it apart from a recipe of classifiers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, model_validator

from tinyrefinery.errors import RecipeError
from tinyrefinery.options.engine import Engine
from tinyrefinery.options.messages import check
from tinyrefinery.options.part import (
    FilePath,
    NonNegative,
    Part,
    Positive,
    Range,
    Share,
    at_home,
    wrong,
)
from tinyrefinery.options.schedules import Plateau
from tinyrefinery.options.sources import ShareLeft
from tinyrefinery.options.training import TrainingRecipe
from tinyrefinery.recipe.document import read
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.overrides import apply
from tinyrefinery.recipe.schema import Paper, Recipe

STAGE = "detector"
"""Id of the one stage that a detector's recipe trains, in run folders and tables."""
LEAST_SIDE = 64
"""Least side of a detector's input in pixels: below, a map of stride 32 is a point."""


class Shapes(Part):
    """The embedded set: discs, squares and triangles on noise, for a first look and for tests."""

    name: Literal["shapes"] = "shapes"
    train: PositiveInt = 200
    """Training images."""
    validation: PositiveInt = 50
    """Validation images."""
    test: NonNegativeInt = 50
    """Test images."""
    side: Annotated[int, Field(ge=32)] = 96
    """Height and width of an image in pixels."""
    most: Annotated[int, Field(ge=1, le=20)] = 3
    """Most objects in an image; one in ten has none."""
    seed: NonNegativeInt = 0
    """Of the images; apart from the recipe's seed."""


class Voc(Part):
    """A folder or zip in Pascal VOC's layout: JPEGImages, Annotations, ImageSets/Main."""

    name: Literal["voc"] = "voc"
    root: FilePath
    """The folder or zip file; what is wanted may also lie one folder deeper, e.g. VOC2007."""
    classes: tuple[str, ...] | None = None
    """Class names in their order; objects of others are left out. null: all, sorted by name."""
    splits: dict[Literal["train", "validation", "test"], str] | None = None
    """Our splits' names to lists of ImageSets/Main, e.g. `{train: trainval, test: test}`; null: by
    name. Without lists, all annotated images are for training. With several datasets in the root,
    their folders come first: `{train: VOC2012/trainval, test: VOC2007/test}`."""
    validation: ShareLeft = 0.15
    """Share of the training images held out to validate, where there is no validation split."""
    test: ShareLeft = 0.0
    """Share of the training images held out to test, where there is no test split."""
    seed: NonNegativeInt = 0
    """Of the held-out shares; apart from the recipe's seed, so that all seeds share the splits."""
    near_copies: Literal["together", "apart"] = "together"
    """together: near copies of an image stay in one split, where validation or test images are
    split off. apart: only exact copies do, which is faster on first opening."""
    strict: bool = False
    """A faulty box, annotation or image is an error instead of a report."""


BoxSource = Annotated[Shapes | Voc, Field(discriminator="name")]


class ZoomOut(Part):
    """The image on a larger canvas of the mean color, so that objects get smaller."""

    probability: Share = 0.5
    most: Annotated[float, Field(ge=1, le=16)] = 4.0
    """Largest side of the canvas over the image's; drawn uniformly from 1."""


class BoxCrop(Part):
    """SSD's crop. It must overlap an object enough. Objects centered outside it are left out."""

    scale: Annotated[tuple[Share, Share], Field()] = (0.3, 1.0)
    """Least and greatest height and width over the image's."""
    aspect: Range = (0.5, 2.0)
    """Least and greatest width over height, where the image is a square."""
    overlaps: tuple[Share, ...] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    """Least overlap (IoU) of the crop with some object; one of these is drawn; 1 means no crop."""

    @model_validator(mode="after")
    def _least_first(self) -> "BoxCrop":
        if not 0.05 <= self.scale[0] <= self.scale[1]:
            raise wrong(("scale", f"should be [least, most] from 0.05 to 1, not {self.scale}"))
        if not self.overlaps:
            raise wrong(("overlaps", "should have at least one element; [1.0] means no crop"))
        return self


class Distortion(Part):
    """Changes of color, each drawn with probability one half, as torchvision's ranges."""

    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.125
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.5
    saturation: Annotated[float, Field(ge=0, lt=1)] = 0.5
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.05


class Augment(Part):
    """How training images vary (SSD, section 2.2 and 3.6)."""

    flip: Share = 0.5
    """Probability that an image is mirrored."""
    zoom_out: ZoomOut | None = ZoomOut()
    crop: BoxCrop | None = BoxCrop()
    color: Distortion | None = Distortion()


class BoxImages(Part):
    """The images of a detector, and how they vary in training."""

    source: BoxSource
    augment: Augment = Augment()
    mean: tuple[float, float, float] | None = None
    """Of each channel, black to white being 0 to 1; null: the backbone file's, else ImageNet's."""
    std: tuple[Positive, Positive, Positive] | None = None
    """Of each channel; null: likewise."""
    workers: NonNegativeInt = 0
    """Threads that prepare images ahead of training; results don't depend on it."""


START = "start."
"""Begins overrides of the recipe that a backbone starts from."""


def _file(name: str) -> str:
    kind, _, what = name.partition(":")
    if kind not in ("file", "recipe") or not what:
        raise ValueError(f"should be file:PATH or recipe:NAME, not '{name}'")
    return at_home(name)


class Backbone(Part):
    """The network that a detector looks through."""

    name: Annotated[str, Field(min_length=1)]
    """A name that `tinyrefinery.models` knows, or `timm:NAME`."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options of the architecture."""
    init_from: Annotated[str, AfterValidator(_file)] | None = None
    """`file:PATH` of a network trained to classify; `recipe:NAME`: the last network of that recipe
    at the same seed, trained first; null: random weights."""
    start: tuple[str, ...] = ()
    """Overrides of the recipe that `init_from: recipe:NAME` names. On a command line they begin
    with `start.`, e.g. `start.data.source.root=photos/`."""

    @model_validator(mode="after")
    def _start_is_a_recipe(self) -> "Backbone":
        if self.start and not (self.init_from or "").startswith("recipe:"):
            raise wrong(
                (
                    "start",
                    f"'{self.start[0]}' changes the recipe that the backbone starts from, but it "
                    "starts from none; write detector.backbone.init_from=recipe:NAME",
                )
            )
        return self


class DetectorSpec(Part):
    """What a detector (SSD) is made of besides its backbone."""

    size: Annotated[int, Field(ge=LEAST_SIDE, le=2048)]
    """Height and width in pixels to which images are stretched."""
    strides: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (16, 32)
    """Strides of the backbone's maps that boxes are predicted from: the last layer of each."""
    extra: tuple[PositiveInt, ...] = (512, 256, 256, 128)
    """Channels of the further maps, each half as large as the one before; those that would come
    after a map of one point are left out. Default: SSDLite's."""
    head: Literal["lite", "full"] = "lite"
    """lite: depthwise and pointwise (arXiv 1801.04381, section 6.2); full: 3x3, as SSD."""
    scales: Annotated[tuple[Share, Share], Field()] = (0.2, 0.95)
    """Sides of the smallest and largest maps' default boxes over the image's."""
    aspects: tuple[Annotated[float, Field(gt=1)], ...] = (2.0, 3.0)
    """Aspect ratios of default boxes besides 1, each upright too."""

    @model_validator(mode="after")
    def _in_order(self) -> "DetectorSpec":
        powers = all(stride & (stride - 1) == 0 for stride in self.strides)
        if list(self.strides) != sorted(set(self.strides)) or not powers:
            raise wrong(("strides", f"should be rising powers of two, not {list(self.strides)}"))
        if not 0 < self.scales[0] < self.scales[1]:
            raise wrong(("scales", f"should be [smallest, largest], not {list(self.scales)}"))
        return self


class DetectorPart(DetectorSpec):
    """SSD on a backbone."""

    backbone: Backbone


class MultiBox(Part):
    """SSD's loss."""

    overlap: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Least IoU with an object for a default box to stand for it; each object has at least one."""
    negatives: NonNegative = 3.0
    """Boxes without an object that count, the worst first, for each with one; by image."""
    least_negatives: NonNegativeInt = 3
    """At least so many count, so that images without objects teach too; 0: as SSD."""


class Training(TrainingRecipe):
    """How a detector is trained."""

    batch_size: Annotated[int, Field(ge=2)] = 16
    """Images per step; at least 2, for batch normalization of maps of one point."""
    loss: MultiBox = MultiBox()
    evaluate_every: PositiveInt = 10
    """Epochs between two evaluations on the validation split."""

    @model_validator(mode="after")
    def _metric_of_a_detector(self) -> "Training":
        if isinstance(self.schedule, Plateau) and self.schedule.metric != "validation_loss":
            raise wrong(("schedule.metric", "a detector has validation_loss only"))
        return self


class Inference(Part):
    """How outputs become found boxes."""

    score: Share = 0.01
    """Least probability of a found box."""
    overlap: Share = 0.45
    """Largest IoU of two found boxes of one class; the less probable one is dropped."""
    candidates: PositiveInt = 400
    """Most boxes of a class before overlapping ones are dropped."""
    most: PositiveInt = 200
    """Most boxes of an image."""


class DetectionRecipe(Part):
    """One detector: images, network, training."""

    schema_version: Literal[1] = 1
    """Of this format."""
    title: Annotated[str, Field(min_length=1)]
    """One line for tables."""
    paper: Paper | None = None
    """What is repeated; null: nothing."""
    seed: NonNegativeInt = 0
    """Of weights, order and augmentation."""
    data: BoxImages
    detector: DetectorPart
    training: Training
    inference: Inference = Inference()
    engine: Engine = Engine()

    @model_validator(mode="after")
    def _engine_that_detects(self) -> "DetectionRecipe":
        if self.engine.devices != 1:
            raise wrong(("engine.devices", "a detector is trained by one process"))
        if self.engine.compile:
            raise wrong(("engine.compile", "a detector is not compiled"))
        if self.engine.precision != "32":
            raise wrong(("engine.precision", "a detector is trained in 32 bits"))
        return self


def is_detection(path: Path | str) -> bool:
    """Whether a YAML file is the recipe of a detector."""
    return "detector" in read(Path(path))


def load_detection(path: Path | str, overrides: Sequence[str] = ()) -> DetectionRecipe:
    """Read, change and check the recipe of a detector; see `load_recipe`.

    Overrides that begin with `start.` are of the recipe that its backbone starts from.

    Raises:
        RecipeError: with a line for each mistake.
    """
    raw = read(Path(path))
    if "stages" in raw and "detector" not in raw:
        raise RecipeError(
            f"{path}: is a recipe of networks that classify; `tinyrefinery run {path}` trains it"
        )
    start = [each.removeprefix(START) for each in overrides if each.startswith(START)]
    raw = apply(raw, [each for each in overrides if not each.startswith(START)])
    recipe = check(raw, DetectionRecipe, source=str(path))
    return recipe if not start else _with_start(recipe, start, str(path))


def _with_start(recipe: DetectionRecipe, start: Sequence[str], source: str) -> DetectionRecipe:
    """The recipe with further overrides of the recipe that its backbone starts from."""
    raw = recipe.model_dump(mode="json")
    raw["detector"]["backbone"]["start"] += start
    return check(raw, DetectionRecipe, source=source)


def load_any(path: Path | str, overrides: Sequence[str] = ()) -> Recipe | DetectionRecipe:
    """Read, change and check a recipe, of networks that classify or of a detector.

    Raises:
        RecipeError: with a line for each mistake.
    """
    return (load_detection if is_detection(path) else load_recipe)(path, overrides)
