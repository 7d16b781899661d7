"""Overlays and sheets, pixel by pixel where it can be said what a pixel must be."""

import numpy as np
from PIL import Image

from tinyrefinery.pages.inline import thumbnail
from tinyrefinery.pages.overlays import (
    AGAINST,
    FOR,
    TILE,
    Tile,
    contact_sheet,
    overlay,
    transparent,
)


def test_overlay_mixes_gray_and_color_by_the_map():
    pixels = np.full((2, 2, 3), 100, np.uint8)
    heat = np.array([[1.0, -1.0], [0.0, 0.5]])
    found = overlay(pixels, heat, strength=0.5)
    np.testing.assert_array_equal(found[0, 0], np.rint(50 + 0.5 * np.array(FOR)))
    np.testing.assert_array_equal(found[0, 1], np.rint(50 + 0.5 * np.array(AGAINST)))
    np.testing.assert_array_equal(found[1, 0], [100, 100, 100])
    np.testing.assert_array_equal(found[1, 1], np.rint(75 + 0.25 * np.array(FOR)))


def test_overlay_of_nothing_is_the_gray_picture_and_maps_are_resized():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 1), np.uint8)
    found = overlay(pixels, np.zeros((4, 3)))
    np.testing.assert_array_equal(found, np.repeat(pixels, 3, axis=2))


def test_sheet_shows_small_pictures_in_whole_multiples(tmp_path):
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[0, 0] = (255, 0, 0)
    path = tmp_path / "sheet.png"
    contact_sheet(path, [Tile([picture, picture], ["dog 0.93", "is cat"])] * 5, columns=2)
    with Image.open(path) as image:
        sheet = np.asarray(image)
    factor = (TILE - 2) // 32
    red = (sheet == (255, 0, 0)).all(axis=2)
    assert red.sum() == 5 * 2 * factor**2


def test_empty_sheet_and_large_pictures(tmp_path):
    contact_sheet(tmp_path / "none.png", [])
    contact_sheet(tmp_path / "one.png", [Tile([np.zeros((500, 300, 3), np.uint8)], [])])
    with Image.open(tmp_path / "one.png") as image:
        assert image.size[0] > TILE


def test_a_map_by_itself_is_clear_where_nothing_mattered():
    heat = np.zeros((4, 4))
    heat[0, 0], heat[3, 3] = 1.0, -0.5
    found = transparent(heat, strength=1.0)
    assert found.shape == (4, 4, 4)
    assert tuple(found[0, 0]) == (*FOR, 255)
    assert tuple(found[3, 3, :3]) == AGAINST
    assert found[3, 3, 3] == round(8 / 15 * 255)  # the nearest of sixteen strengths
    assert (found[1, 1] == 0).all()
    assert transparent(heat, least=10.0)[0, 0, 3] < 40


def test_large_maps_are_made_small_and_keep_their_shape():
    assert transparent(np.ones((96, 48))).shape == (16, 8, 4)
    assert not transparent(np.zeros((96, 96))).any()


def test_five_hundred_overlays_are_small():
    random = np.random.default_rng(0)
    maps = [np.kron(random.normal(size=(8, 8)), np.ones((12, 12))) for _ in range(20)]
    size = sum(len(thumbnail(transparent(heat))) for heat in maps) / 20
    assert 500 * size < 300_000


def test_a_head_stands_above(tmp_path):
    tile = Tile([np.zeros((32, 32, 3), np.uint8)], [])
    contact_sheet(tmp_path / "a.png", [tile])
    contact_sheet(tmp_path / "b.png", [tile], head=["one", "two"])
    with Image.open(tmp_path / "a.png") as plain, Image.open(tmp_path / "b.png") as headed:
        assert headed.size[1] > plain.size[1] + 20
