"""The label policies a recipe can name."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)

from tinyrefinery.options.part import Part, Positive, at_home, wrong

FILE_ENDINGS = (".safetensors", ".onnx", ".tflite", ".packed")
LEAST_MASS = 0.1  # our choice
Level = Literal["crop", "image", "category"]
BatchNorm = Literal["batch", "running", "calibrated"]


class GroundTruth(Part):
    """The class that the dataset gives, with all of the probability."""

    name: Literal["ground_truth"] = "ground_truth"
    threshold_samples: Annotated[float, Field(ge=0, le=0.2)] = 0.0
    """Share of the training images that are trained with a random wrong class. They give
    suspects.csv its expected precision (arXiv 2001.10528); 0: none."""


class LabelSmoothing(Part):
    """Ground truth that leaves a little for every class."""

    name: Literal["label_smoothing"] = "label_smoothing"
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the probability that is spread evenly over all classes."""


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _as_store(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


def _is_file(name: str) -> bool:
    """Whether a name without a colon is a file's: ids of stages have neither dots nor slashes."""
    return ":" not in name and ("/" in name or name.lower().endswith(FILE_ENDINGS))


def runs_in_torch(refiner: str) -> bool:
    """Whether PyTorch runs a refiner of this name, as far as the name tells."""
    other = tuple(ending for ending in FILE_ENDINGS if ending != ".safetensors")
    return not refiner.startswith(("http:", "https:")) and not refiner.lower().endswith(other)


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(f"file:{name}" if _is_file(name) else name for name in names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {', '.join(map(repr, twice))} more than once")
    for name in names:
        kind, colon, rest = name.partition(":")
        if colon and kind not in ("file", "timm", "http", "https"):
            raise ValueError(
                f"{name!r} is not a refiner: write the id of an earlier stage, file:PATH, "
                "timm:NAME or a URL"
            )
        if colon and not rest:
            raise ValueError(f"{name!r} names nothing after the colon")
    return tuple(map(at_home, names))


Refiners = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    BeforeValidator(_as_tuple),
    AfterValidator(_distinct),
    PlainSerializer(lambda names: names[0] if len(names) == 1 else list(names)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]


def _as_texts(value: Any) -> Any:
    """Class names as texts: YAML reads those that are numbers as such."""
    if not isinstance(value, dict):
        return value
    return {
        str(name): str(target) if type(target) is int else target for name, target in value.items()
    }


ClassNames = Annotated[dict[str, str], Field(min_length=1), BeforeValidator(_as_texts)]
"""Class of a refiner -> class of the data."""


class Store(Part):
    """Where refined labels are kept, to be read by every stage and run that needs the same."""

    path: str | None = None
    """A folder of label stores; null: `labels` in the run folder."""
    form: Literal["auto", "float32", "float16", "compact"] = "auto"
    """How labels are written: exact (float32), half of it (float16), or compact: 8 bits a class, or
    the top classes alone where there are more than 32; auto: float32 up to 32 classes, float16
    below 1,000, compact from there on."""
    top: PositiveInt | None = None
    """Classes to keep in the compact form; null: 10, or all of 32 or fewer."""


class Refining(Part):
    """How frozen networks label crops, whichever networks they are."""

    level: Level = "crop"
    """crop: label of this very crop (the paper's dynamic labels); image: of the image's evaluation
    crop (static); category: mean of those over the training images of the class (Table 5)."""
    hard: bool = False
    """One-hot of the refiner's top class instead of its distribution (Table 4)."""
    batch_norm: BatchNorm = "batch"
    """Statistics of the refiner's batch normalization. batch: those of the crops labeled together
    (paper, section 3); running: those from its training; calibrated: running ones, measured again
    on this recipe's training crops."""
    bn_group: Annotated[int, Field(ge=2)] | None = None
    """Crops that share statistics under batch_norm: batch; null: the batch size."""
    temperature: Positive = 1.0
    """The refiner's logits are divided by it; above 1 softens. 1 in the paper."""
    refiner_size: Literal["own", "student"] = "own"
    """Size at which a refiner gets each crop. own: the size it was trained at. student: the size of
    the student's crops, even if the network was trained at another."""

    @model_validator(mode="after")
    def _group_needs_batch_statistics(self) -> "Refining":
        if self.batch_norm != "batch" and self.bn_group is not None:
            raise wrong(
                (
                    "bn_group",
                    f"{self.bn_group} has no effect with batch_norm: {self.batch_norm}; "
                    "remove it (bn_group: null) or write batch_norm: batch",
                )
            )
        return self


class Refined(Refining):
    """Labels that one or more frozen networks give (Label Refinery, arXiv 1805.02641)."""

    name: Literal["refined"] = "refined"
    by: Refiners
    """Id of an earlier stage, `file:PATH` of a network (safetensors, ONNX or LiteRT), `timm:NAME`,
    the URL of an HTTP endpoint, or a list of these, whose distributions are averaged."""
    classes: Annotated[ClassNames | None, Field(exclude_if=lambda names: names is None)] = None
    """For refiners with other classes: class of the refiner, by name, wnid or number from 0, to
    class of the data, e.g. {n07579787: plate}. Several may stand for one. The rest of the refiner's
    probability is left out; null: refiners have the data's classes."""
    least_mass: Annotated[float, Field(gt=0, le=1, exclude_if=lambda mass: mass == LEAST_MASS)] = (
        LEAST_MASS
    )
    """With `classes`: probability that a refiner must leave to the mapped classes. A crop with
    less keeps its given label. 0.1 is our choice."""
    store: Annotated[Store | None, BeforeValidator(_as_store)] = None
    """Keep the labels of crops, a path or its options; null: compute them again each time."""

    @model_validator(mode="after")
    def _mass_is_of_mapped_classes(self) -> "Refined":
        if self.classes is None and self.least_mass != LEAST_MASS:
            text = f"{self.least_mass:g} has no effect without labels.classes: remove it"
            raise wrong(("least_mass", text))
        return self

    @model_validator(mode="after")
    def _store_is_for_crops(self) -> "Refined":
        if self.store is not None and self.level != "crop":
            raise wrong(
                (
                    "store",
                    f"labels of level '{self.level}' are made once a stage and need no store; "
                    "remove it (store: null)",
                )
            )
        return self


class Taxonomy(Part):
    """One distribution per class, by similarity in WordNet (Label Refinery, Table 5, taxonomy)."""

    name: Literal["taxonomy"] = "taxonomy"
    wordnet: str
    """WordNet 3.0's noun files: a folder, or NLTK's wordnet.zip."""
    definition: Literal["nltk", "textbook"] = "nltk"
    """Of the Wu-Palmer similarity, where a synset has several hypernyms: as NLTK's wup_similarity,
    or with paths that go straight up to the common ancestor."""
    temperature: Positive = 0.05
    """Labels are the softmax of similarities (0 to 1) over it; smaller leaves the class more."""
    synsets: dict[str, str] = Field(default_factory=dict)
    """Synset of a class, by its name, e.g. {cat: cat.n.01} or {cat: n02121620}; a class that isn't
    here has that of its wnid (column `wnid`, or its name), else the first noun of its name."""


Labels = Annotated[GroundTruth | LabelSmoothing | Refined | Taxonomy, Field(discriminator="name")]
"""Where the targets of training come from."""
