"""Tables of latencies: the shipped one has the printed numbers, mistakes are told."""

import pytest

from tinyrefinery.errors import RecipeError
from tinyrefinery.models import create
from tinyrefinery.recipe.latency_table import is_latency_table, load_latency_table
from tinyrefinery.recipe.shipped import locate

GOOD = """
title: a table
devices: {phone: a phone}
method: once
latency:
  - {id: small, network: resnet8, paper: {phone: 3}}
"""


def test_table_2_has_the_printed_numbers():
    table = load_latency_table(locate("bias_loss/table2"))
    assert {row.id: tuple(row.paper.values()) for row in table.latency} == {
        "skipblocknet_m": (27, 42),
        "ghostnet_130": (27, 41),
        "mnasnet_a2": (21, 39),
        "mobilenet_v3_large": (26, 38),
        "mobilenet_v2": (27, 38),
    }
    for row in table.latency:
        if row.network is not None:
            assert create(row.network, 10, size=table.size, **row.kwargs)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("phone: 3", "fone: 3", "no device 'fone'"),
        ("phone: 3", "phone: 0", "greater than 0"),
        ("network: resnet8, ", "", "the first row is what ratios are to"),
        ("method: once", "methode: once", "methode"),
    ],
)
def test_mistakes_are_told(tmp_path, old, new, told):
    path = tmp_path / "table.yaml"
    path.write_text(GOOD.replace(old, new))
    assert is_latency_table(path)
    with pytest.raises(RecipeError, match=told):
        load_latency_table(path)
