"""Predict the classes of pictures: files, folders, and pictures in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from tinyrefinery.data.dataset import Problem
from tinyrefinery.data.decode import pixels_of_picture, to_channels
from tinyrefinery.errors import DataError
from tinyrefinery.networks.network import Network
from tinyrefinery.prediction.decoded_pictures import probabilities
from tinyrefinery.prediction.picture_files import PictureFiles, find_pictures, read_pictures
from tinyrefinery.prediction.predicted import PicturePredictions, joined
from tinyrefinery.prediction.predictor import NetworkPredictor, network_predictor, open_predictor

Picture: TypeAlias = str | Path | np.ndarray | Image.Image


def predict(
    model: str | Path | Network,
    pictures: Picture | Iterable[Picture],
    *,
    stage: str | None = None,
    seed: int | None = None,
    row: str | None = None,
    classes: Sequence[str] | None = None,
    size: int | None = None,
) -> PicturePredictions:
    """Predict the classes of pictures, as `tinyrefinery predict`.

    Args:
        model: whatever `open_network` opens, or a network that it opened.
        pictures: one or several: files, folders, Pillow images, or arrays uint8 (H, W), (H, W, 1)
            or (H, W, 3) in RGB.
        stage: of a run; None: the last.
        seed: of a run; None: the lowest.
        row: of a run of a table.
        classes: names of the outputs, for a network that doesn't state them.
        size: height and width of its input in pixels, for a network that doesn't state it.

    Returns:
        The predictions. Pictures in memory are called `picture 0`, `picture 1` by their place.
        Broken files are in `.broken`.

    Raises:
        RefineryError: when the network can't be opened, a file does not exist, or an array is not
            a picture.
    """
    _check_arguments(pictures, classes, size)
    if isinstance(model, Network):
        predictor = network_predictor(model)
    else:
        names = None if classes is None else tuple(classes)
        predictor = open_predictor(model, stage=stage, seed=seed, row=row, classes=names, size=size)
    several = (
        [pictures] if isinstance(pictures, str | Path | np.ndarray | Image.Image) else pictures
    )
    return _predict_mixed(predictor, list(several))


def _check_arguments(pictures: object, classes: Sequence[str] | None, size: object) -> None:
    if not isinstance(pictures, str | Path | np.ndarray | Image.Image | Iterable):
        raise DataError(
            f"predict: pictures is {pictures!r}. Give files, folders, Pillow images or arrays"
        )
    if classes is not None and (isinstance(classes, str) or len(classes) < 2):
        raise DataError(f"predict: classes is {classes!r}. Give at least two names")
    if size is not None and not (isinstance(size, int) and size >= 1):
        raise DataError(f"predict: size is {size!r}. Give pixels, at least 1")


def predict_files(predictor: NetworkPredictor, files: PictureFiles) -> PicturePredictions:
    """Predict the classes of files."""
    parts: list[tuple[tuple[str, ...], np.ndarray]] = []
    broken: list[Problem] = []
    channels = 1 if predictor.channels == 1 else 3
    for batch in read_pictures(files.paths, channels, predictor.crop):
        parts.append((batch.paths, probabilities(predictor, batch.arrays)))
        broken += batch.broken
    found = joined(predictor.name, predictor.classes, parts)
    return replace(found, broken=tuple(broken), ignored=files.ignored)


def predict_array(predictor: NetworkPredictor, pixels: np.ndarray, name: str) -> PicturePredictions:
    """Predict the class of one picture in memory, uint8 (H, W), (H, W, 1) or (H, W, 3).

    Raises:
        DataError: when it is not such an array.
    """
    shape = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
    if pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
        raise DataError(
            f"{name}: is {pixels.dtype} {pixels.shape}. A picture is uint8 (H, W), (H, W, 1) or "
            "(H, W, 3) in RGB"
        )
    channels = 1 if predictor.channels == 1 else 3
    found = probabilities(predictor, [to_channels(pixels.reshape(shape), channels)])
    return joined(predictor.name, predictor.classes, [((name,), found)])


def _predict_mixed(predictor: NetworkPredictor, pictures: Sequence[Any]) -> PicturePredictions:
    """Files and folders together where nothing else is given, else each picture by itself."""
    if all(isinstance(each, str | Path) for each in pictures):
        return predict_files(predictor, find_pictures(pictures))
    found: list[PicturePredictions] = []
    for place, each in enumerate(pictures):
        if isinstance(each, str | Path):
            found.append(predict_files(predictor, find_pictures([each])))
            continue
        name = f"picture {place}"
        if isinstance(each, Image.Image):
            each = _pixels(each, 1 if predictor.channels == 1 else 3, name)
        found.append(predict_array(predictor, np.asarray(each), name))
    merged = joined(predictor.name, predictor.classes, [(f.paths, f.probabilities) for f in found])
    return replace(
        merged,
        broken=tuple(problem for each in found for problem in each.broken),
        ignored=tuple(problem for each in found for problem in each.ignored),
    )


def _pixels(image: Image.Image, channels: int, name: str) -> np.ndarray:
    """Pixels of a Pillow image, as a file of it would have."""
    try:
        return pixels_of_picture(image, channels)
    except Exception as error:  # Pillow's plugins raise almost anything on damaged bytes
        raise DataError(f"{name}: can't be read ({error or type(error).__name__})") from error
