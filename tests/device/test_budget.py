"""Amounts with units, and what is above a budget."""

import pytest

from tinyrefinery.device.arena import Arena
from tinyrefinery.device.device_cost import DeviceCost
from tinyrefinery.device.excess import excesses
from tinyrefinery.errors import RecipeError
from tinyrefinery.options.budget import Budget, read_amount, read_budget


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        *(("1500", 1500), ("100kB", 100_000), ("100KB", 100_000), ("64KiB", 65_536)),
        *(("15M", 15_000_000), ("1.5MB", 1_500_000), (" 2 MiB", 2_097_152), ("96 kB", 96_000)),
        *(("2.01k", 2010), ("1.001kB", 1001)),
    ],
)
def test_amounts(text, amount):
    assert read_amount(text, "--flash") == amount


@pytest.mark.parametrize(
    "text", ["", "kB", "-1", "1.5", "100 bytes", "0", "64Kib", "1e6", "9" * 400]
)
def test_what_is_not_an_amount(text):
    with pytest.raises(RecipeError, match=r"--ram: .* is not an amount"):
        read_amount(text, "--ram")


def test_an_empty_limit_is_not_no_limit():
    with pytest.raises(RecipeError, match="--flash: '' is not an amount"):
        read_budget("", None, None)


def test_what_is_above_a_budget_is_listed():
    cost = DeviceCost(98_496, Arena(49_152, 9_312), 12_501_632)
    assert excesses(Budget(flash=98_496, ram=58_464, macs=12_501_632), cost) == ()
    assert excesses(Budget(), cost) == ()
    above = excesses(read_budget("98kB", "57KiB", "12M"), cost)
    assert [each.name for each in above] == ["flash", "ram", "macs"]
    assert str(above[1]) == "ram is 58,464 bytes, above the budget of 58,368"


def test_a_budget_without_limits_is_false():
    assert not Budget()
    assert Budget(macs=1)


def test_cycles_of_a_command():
    assert read_budget(None, None, None, "300k@ethos-u55-128").accelerator == (
        300_000,
        "ethos-u55-128",
    )
    with pytest.raises(RecipeError, match=r"--cycles: 'many' is not a limit of cycles"):
        read_budget(None, None, None, "many")
