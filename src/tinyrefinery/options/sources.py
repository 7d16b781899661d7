"""Where a recipe's images come from: one part for each source, told apart by `name`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, WithJsonSchema

from tinyrefinery.options.part import Part, Share, ShareRange

Ambiguous = Literal["soft", "given", "drop"]
ShareLeft = Annotated[float, Field(ge=0, lt=1)]


class StreetNumbers(Part):
    """The embedded data set: house numbers composed of handwritten digits, with crop truth."""

    name: Literal["street_numbers"] = "street_numbers"
    train: PositiveInt = 6000
    """Training scenes."""
    validation: NonNegativeInt = 1000
    """Validation scenes."""
    test: NonNegativeInt = 2000
    """Test scenes, of glyphs that training never shows."""
    digits: Annotated[int, Field(ge=1, le=3)] = 2
    """Digits of a number; there are 10 to the power of it classes."""
    height: Annotated[int, Field(ge=8)] = 32
    """Height of a scene in pixels."""
    width: Annotated[int, Field(ge=8)] = 48
    """Width of a scene in pixels."""
    channels: Literal[1, 3] = 1
    """1: grey; 3: ink, paper and wall each with a tint of its own."""
    size: ShareRange = (0.6, 0.9)
    """Least and greatest height of a digit as a share of the scene's."""
    contrast: ShareRange = (0.5, 1.0)
    """Least and greatest difference between digits and ground; black to white is 1."""
    clutter: Annotated[int, Field(ge=0, le=20)] = 2
    """Most strokes a scene may have that are no digits."""
    noise: Share = 0.08
    """Greatest standard deviation of the pixel noise; black to white is 1."""
    wrong_labels: Share = 0.0
    """Share of training labels that are replaced by another class."""
    dark_class: Share = 0.0
    """Share of the first class's training and validation scenes that are dark, where no scene of
    another class is; in the test split, of all scenes."""
    copies: Share = 0.0
    """Share of the test scenes that stand in training too, every second one slightly changed."""
    rare_class: PositiveInt | None = None
    """Training scenes that the last class keeps; null: all."""
    seed: NonNegativeInt = 0
    """Of the scenes; apart from the recipe's seed, so that all seeds train on the same data."""
    exclude: str | None = None
    """A file of images to leave out, one path or id a line, as `tinyrefinery audit` writes."""
    overlay: str | None = None
    """A file of human decisions to lay over the data, as `tinyrefinery apply` writes."""
    ambiguous: Ambiguous = "soft"
    """What images are that people can't tell or disagree about. soft: have what people said as a
    distribution for a label; given: have one class; drop: leave training."""


def _files(value: Any) -> Any:
    """A name, or a list of names as a tuple.

    Raises:
        ValueError: for anything else.
    """
    names = (value,) if isinstance(value, str) else value
    if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
        return value if isinstance(value, str) else tuple(names)
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


class _Opened(Part):
    """Options of every source that is opened rather than made."""

    channels: Literal[1, 3] = 3
    """1: grey; 3: red, green, blue."""
    validation: ShareLeft = 0.1
    """Share of the training images held out to validate, where there is no validation split."""
    test: ShareLeft = 0.0
    """Share of the training images held out to test, where there is no test split."""
    seed: NonNegativeInt = 0
    """Of the held-out shares; apart from the recipe's seed, so that all seeds share the splits."""
    group: str | None = None
    """Column whose equal values stay in one split, e.g. a patient; null: `group`, if any."""
    strict: bool = False
    """A broken image, an empty class or a shared image is an error instead of a report."""
    resident: Literal["auto", "always", "never"] = "auto"
    """Keep decoded pixels in memory; auto: when all have one size and fit."""
    train_limit: PositiveInt | None = None
    """Keep only so many training images, each class in proportion; null: all."""
    validation_limit: PositiveInt | None = None
    """As train_limit, for validation."""
    test_limit: PositiveInt | None = None
    """As train_limit, for test."""
    exclude: str | None = None
    """A file of images to leave out, one path or id a line, as `tinyrefinery audit` writes."""
    overlay: str | None = None
    """A file of human decisions to lay over the data, as `tinyrefinery apply` writes."""
    ambiguous: Ambiguous = "soft"
    """What images are that people can't tell or disagree about. soft: have what people said as a
    distribution for a label; given: have one class; drop: leave training."""
    limit_seed: NonNegativeInt = 0
    """Another seed, another choice of images under the limits."""


class Folder(_Opened):
    """Class folders, or pictures with a `metadata.csv` as Hugging Face's ImageFolder has."""

    name: Literal["folder"] = "folder"
    root: str
    """ROOT/CLASS/*.jpg, or ROOT/{train,validation,test}/CLASS/*.jpg."""
    label: str = "label"
    """Column of the metadata file that holds the class."""


class Parquet(_Opened):
    """Parquet files with a column of encoded images."""

    name: Literal["parquet"] = "parquet"
    path: SplitFiles
    """File, folder, pattern or list of these for training; or `{train: ..., test: ...}`."""
    image: str = "image"
    """Column of the images: bytes, or a struct with `bytes` or `path`."""
    label: str = "label"
    """Column of the classes: numbers or names."""
    split: str | None = None
    """Column that names each row's split, if the files hold several."""
    limit: PositiveInt | None = None
    """Read only so many rows of each split's files, for a first look; null: all."""


class HuggingFace(_Opened):
    """A data set of the Hugging Face hub, or a local folder that `datasets` can load."""

    name: Literal["hugging_face"] = "hugging_face"
    path: str
    """A name on the hub, e.g. `uoft-cs/cifar10`, a folder, or a kind of file (`imagefolder`)."""
    config: str | None = None
    """Configuration of the data set; null: its default."""
    splits: dict[Literal["train", "validation", "test"], str] | None = None
    """Our splits' names to its own, e.g. `{train: train, test: validation}`; null: by name."""
    image: str | None = None
    """Column of the images; null: the first that holds images."""
    label: str | None = None
    """Column of the classes; null: the first of classes, or `label`."""
    revision: str | None = None
    """Branch, tag or commit on the hub; null: the newest."""
    data_dir: str | None = None
    """As `datasets.load_dataset` takes it."""
    data_files: str | list[str] | dict[str, Any] | None = None
    """As `datasets.load_dataset` takes it."""


class WebDataset(_Opened):
    """Tar shards as the webdataset library writes them."""

    name: Literal["webdataset"] = "webdataset"
    path: SplitFiles
    """Shards for training, e.g. `train-{000..099}.tar`; or `{train: ..., test: ...}`."""
    classes: tuple[str, ...] | None = None
    """Names of the classes 0, 1, ...; null: from the labels."""


class Torchvision(_Opened):
    """A data set that torchvision knows."""

    name: Literal["cifar10", "cifar100", "svhn", "food101", "imagenet", "voc"]
    root: str
    """Folder in which torchvision finds or puts it."""
    download: bool = False
    """Fetch it when it isn't there (imagenet can't be fetched)."""
    year: Literal["2007", "2008", "2009", "2010", "2011", "2012"] | None = None
    """Of voc only, in quotes; null: 2012."""


class Given(Part):
    """A data set that Python code opened and handed over; a command can't open it again."""

    name: Literal["given"] = "given"
    digest: str
    """Of its manifest."""
    channels: Literal[1, 3] = 3
    """1: grey; 3: red, green, blue."""


Source = Annotated[
    StreetNumbers | Folder | Parquet | HuggingFace | WebDataset | Torchvision | Given,
    Field(discriminator="name"),
]
"""Where images come from."""
