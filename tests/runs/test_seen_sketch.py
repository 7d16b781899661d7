"""The sketch of used images in a network's header, against the sets that it stands for."""

from hashlib import sha256

import pytest

from tinyrefinery.runs.seen_sketch import ENTRY, SIZE, read_sketch, sketch_facts


def ids(start: int, stop: int) -> list[str]:
    return [sha256(str(number).encode()).hexdigest() for number in range(start, stop)]


def test_up_to_its_size_every_image_is_told_exactly():
    sketch = read_sketch({ENTRY: sketch_facts(ids(0, SIZE))})
    assert sketch is not None
    assert sketch.uses(ids(0, SIZE)) == ["used"] * SIZE
    assert sketch.uses(ids(SIZE, 3 * SIZE)) == ["unused"] * (2 * SIZE)


def test_beyond_its_size_it_covers_an_even_share_and_is_never_wrong():
    used, others = ids(0, 20_000), ids(20_000, 40_000)
    sketch = read_sketch({ENTRY: sketch_facts(used)})
    assert sketch is not None
    assert set(sketch.uses(used)) == {"used", "unknown"}
    assert sketch.uses(used).count("used") == SIZE
    told = sketch.uses(others)
    assert set(told) == {"unused", "unknown"}
    # As many strangers as used images have an identity below the largest that is kept: 1,024, whose
    # standard deviation is 45.
    assert abs(told.count("unused") - SIZE) < 200


def test_order_and_copies_do_not_matter():
    assert sketch_facts(ids(0, 99)) == sketch_facts(ids(0, 99)[::-1] + ids(0, 50))


@pytest.mark.parametrize(
    "entry", [None, {}, {"images": 1, "kept": "?", "unknown_origin": []}, sketch_facts([])]
)
def test_a_header_without_a_sketch(entry):
    assert read_sketch({ENTRY: entry}) is None
