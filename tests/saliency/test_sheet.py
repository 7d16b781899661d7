"""Sheets of saliency: what stands below the pictures, and what the files are called."""

import numpy as np
from PIL import Image

from tinyrefinery.pages.overlays import FOR
from tinyrefinery.saliency.sheet import ExplainedImage, captions, draw_overlay, write_overlays

HEAT = np.zeros((8, 8))
HEAT[2, 3], HEAT[4, 4] = 0.4, -0.1
GRAY = np.full((8, 8, 1), 100, np.uint8)
SHOWN = ExplainedImage(7, "a/b.png", "cat/dog", "x:y", 0.913, "x:y", GRAY, GRAY, HEAT)


def test_captions_tell_answer_place_and_strength():
    told = captions(SHOWN, "probability")
    assert told[0] == "label cat/dog, predicted x:y 0.91"
    assert told[1] == "row 7  a/b.png"
    assert told[2] == "for x:y: +0.40, against: -0.10 probability"


def test_faint_maps_are_drawn_faintly():
    strong = draw_overlay(SHOWN, 0.05)[2, 3].astype(int)
    faint = draw_overlay(SHOWN, 4.0)[2, 3].astype(int)
    assert np.abs(strong - FOR).sum() < np.abs(faint - FOR).sum()


def test_overlays_have_names_that_files_can_have(tmp_path):
    (path,) = write_overlays(tmp_path, [SHOWN], least=0.05)
    assert path.name == "000007-cat_dog-predicted-x_y.png"
    with Image.open(path) as image:
        assert image.size == (224, 224)
