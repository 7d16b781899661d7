"""Where a recipe's images come from: one part for each source, told apart by `name`."""

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)

from tinyrefinery.options.part import FilePath, Part, Share, ShareRange, wrong

Ambiguous = Literal["soft", "given", "drop"]
ShareLeft = Annotated[float, Field(ge=0, lt=1)]


class Reviewed(Part):
    """What review and audit leave behind about the images of a source."""

    exclude: FilePath | None = None
    """A file of images to leave out before anything else, as `tinyrefinery audit` writes: one per
    line, by path or by the SHA-256 of its bytes. Empty lines and lines that start with # don't
    count."""
    overlay: FilePath | None = None
    """A file of review decisions, as `tinyrefinery apply` writes. It is applied after validation
    and test images are split off, which it doesn't change, and before the limits."""
    ambiguous: Ambiguous = "soft"
    """How to treat images that reviewers can't decide or disagree about. soft: their votes are the
    label, as a distribution; given: they have one class; drop: they leave training."""


class StreetNumbers(Reviewed):
    """The built-in dataset: house numbers of handwritten digits, with true crop labels."""

    name: Literal["street_numbers"] = "street_numbers"
    train: PositiveInt = 6000
    """Training scenes."""
    validation: NonNegativeInt = 1000
    """Validation scenes."""
    test: NonNegativeInt = 2000
    """Test scenes, of glyphs that training never shows."""
    digits: Annotated[int, Field(ge=1, le=3)] = 2
    """Digits per house number; two digits give the classes "00" to "99"."""
    height: Annotated[int, Field(ge=8)] = 32
    """Height of a scene in pixels."""
    width: Annotated[int, Field(ge=8)] = 48
    """Width of a scene in pixels."""
    channels: Literal[1, 3] = 1
    """1: gray; 3: ink, paper and wall each have a tint."""
    size: ShareRange = (0.6, 0.9)
    """Least and greatest height of a digit as a share of the scene's. Numbers that are too wide for
    the scene are shrunk."""
    contrast: ShareRange = (0.5, 1.0)
    """Least and greatest difference between digits and background; black to white is 1."""
    clutter: Annotated[int, Field(ge=0, le=20)] = 2
    """Most strokes in a scene besides the digits."""
    noise: Share = 0.08
    """Greatest standard deviation of the pixel noise; black to white is 1."""
    wrong_labels: Share = 0.0
    """Share of training labels that another class replaces; true crop labels don't change."""
    dark_class: Share = 0.0
    """Share of the first class's training and validation scenes that are dark, where no scene of
    another class is. In the test split the same share of all classes is dark, as on a device."""
    copies: Share = 0.0
    """Share of the test scenes that replace training scenes, half of them slightly changed. They
    take at most half of the training scenes."""
    rare_class: PositiveInt | None = None
    """Training scenes of the last class; null: all."""
    seed: NonNegativeInt = 0
    """Of the scenes; apart from the recipe's seed, so that all seeds train on the same data. A
    scene depends on this seed, its split and its number only."""


def _files(value: Any) -> Any:
    """A name, or a list of names as a tuple.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, str | PurePath):
        return str(value)
    texts = isinstance(value, list | tuple) and all(isinstance(v, str | PurePath) for v in value)
    if texts and value:
        return tuple(map(str, value))
    raise ValueError(f"should be a file or a list of files, not {value!r}")


def _split_files(value: Any) -> Any:
    """Files as `_files`, or a mapping from splits to such.

    Raises:
        ValueError: for anything else, or an unknown split.
    """
    if not isinstance(value, dict):
        return _files(value)
    for split in value:
        if split not in SPLITS:
            raise ValueError(f"no split is named {split!r} (known: {', '.join(SPLITS)})")
    if "train" not in value:
        raise ValueError("needs files for the split 'train'")
    return {split: _files(files) for split, files in value.items()}


SPLITS = ("train", "validation", "test")
_FILES_SCHEMA = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}
SplitFiles = Annotated[
    Any,
    AfterValidator(_split_files),
    WithJsonSchema(
        {
            "anyOf": [
                *_FILES_SCHEMA["anyOf"],
                {
                    "type": "object",
                    "properties": dict.fromkeys(SPLITS, _FILES_SCHEMA),
                    "required": ["train"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""Files of the training split, or of each split: str | tuple[str, ...] | dict of such."""


class Opened(Reviewed):
    """Options of every source that is opened rather than rendered."""

    channels: Literal[1, 3] = 3
    """1: gray; 3: red, green, blue."""
    validation: ShareLeft = 0.1
    """Share of the training images to split off for validation, where the source has no validation
    split. Labels that a network gave (`label_source` starts with `auto:`) stay in training."""
    test: ShareLeft = 0.0
    """Share of the training images to split off for test, where the source has no test split."""
    seed: NonNegativeInt = 0
    """Of the shares split off; apart from the recipe's seed, so that all seeds share the splits."""
    group: str | None = None
    """Column whose equal values stay in one split, e.g. a patient; null: `group`, if any."""
    near_copies: Literal["together", "apart"] = "together"
    """together: near copies of an image stay in one split, where validation or test images are
    split off. apart: only exact copies do, which is faster on first opening."""
    strict: bool = False
    """A broken image, an empty class or a shared image is an error instead of a report."""
    resident: Literal["auto", "always", "never"] = "auto"
    """Keep decoded pixels in memory; auto: when all have one size and fit into 2 GiB."""
    train_limit: PositiveInt | None = None
    """Keep at most this many training images, each class in proportion; null: all."""
    validation_limit: PositiveInt | None = None
    """As train_limit, for validation."""
    test_limit: PositiveInt | None = None
    """As train_limit, for test."""
    limit_seed: NonNegativeInt = 0
    """Of the choice of images under the limits."""

    @model_validator(mode="after")
    def _something_is_left_to_train(self) -> "Opened":
        if self.validation + self.test >= 1:
            text = f"{self.validation:g} and test ({self.test:g}) leave nothing to train on"
            raise wrong(("validation", f"{text}: their sum must be below 1"))
        return self


class Folder(Opened):
    """Class folders, or pictures with a `metadata.csv` as Hugging Face's ImageFolder has."""

    name: Literal["folder"] = "folder"
    root: FilePath
    """ROOT/CLASS/*.jpg, or ROOT/{train,validation,test}/CLASS/*.jpg."""
    label: str = "label"
    """Column of the metadata file that holds the class."""


class Parquet(Opened):
    """Parquet files with a column of encoded images."""

    name: Literal["parquet"] = "parquet"
    path: SplitFiles
    """File, folder, pattern or list of these for training; or `{train: ..., test: ...}`. Files of a
    folder or pattern whose names begin with the words of several splits are those splits."""
    image: str = "image"
    """Column of the images: bytes, or a struct with `bytes` or `path`."""
    label: str = "label"
    """Column of the classes: numbers or names."""
    split: str | None = None
    """Column that names each row's split, if the files hold several; null: the column `split` where
    it names validation or test rows and the files are of one split."""
    limit: PositiveInt | None = None
    """Read at most this many rows of each file, for a first look; null: all."""


class HuggingFace(Opened):
    """A dataset of the Hugging Face hub, or a local folder that `datasets` can load."""

    name: Literal["hugging_face"] = "hugging_face"
    path: FilePath
    """A name on the hub, e.g. `uoft-cs/cifar10`, a folder, also one that `save_to_disk` wrote, or a
    kind of file, e.g. `imagefolder`, with `data_dir` or `data_files`."""
    config: str | None = None
    """Configuration of the dataset; null: its default."""
    splits: dict[Literal["train", "validation", "test"], str] | None = None
    """Our splits' names to its own, e.g. `{train: train, test: validation}`; null: by name."""
    image: str | None = None
    """Column of the images; null: the first that holds images."""
    label: str | None = None
    """Column of the classes; null: the first of type ClassLabel, or one with a common name such as
    `label`."""
    revision: str | None = None
    """Branch, tag or commit on the hub; null: the newest."""
    data_dir: str | None = None
    """As `datasets.load_dataset` takes it."""
    data_files: str | list[str] | dict[str, Any] | None = None
    """As `datasets.load_dataset` takes it."""


class WebDataset(Opened):
    """Tar shards as the webdataset library writes them."""

    name: Literal["webdataset"] = "webdataset"
    path: SplitFiles
    """Shards for training, e.g. `train-{000..099}.tar`; or `{train: ..., test: ...}`."""
    classes: tuple[str, ...] | None = None
    """Names of the classes 0, 1, ...; null: from the labels."""


class Torchvision(Opened):
    """A dataset that torchvision loads."""

    name: Literal["cifar10", "cifar100", "svhn", "food101", "imagenet", "voc"]
    root: FilePath
    """Folder in which torchvision finds or puts it."""
    download: bool = False
    """Fetch it when it isn't there (imagenet can't be fetched)."""
    year: Literal["2007", "2008", "2009", "2010", "2011", "2012"] | None = None
    """Of voc only, in quotes; null: 2012."""

    @model_validator(mode="after")
    def _year_of_voc(self) -> "Torchvision":
        if self.year is not None and self.name != "voc":
            raise wrong(("year", f"{self.name} has no years, only voc has: remove it"))
        return self


class Given(Part):
    """A dataset that Python code opened and handed over; a command can't open it again."""

    name: Literal["given"] = "given"
    digest: str
    """Of its manifest."""
    channels: Literal[1, 3] = 3
    """1: gray; 3: red, green, blue."""


Source = Annotated[
    StreetNumbers | Folder | Parquet | HuggingFace | WebDataset | Torchvision | Given,
    Field(discriminator="name"),
]
"""Where images come from."""
