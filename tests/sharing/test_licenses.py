"""Names of licenses in SPDX's list and on the Hub."""

import pytest

from tinyrefinery.sharing.licenses import License, timm_license


@pytest.mark.parametrize(
    ("stated", "spdx", "hub"),
    [
        ("apache-2.0", "Apache-2.0", "apache-2.0"),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0", "cc-by-nc-4.0"),
        ("gpl-3.0", "", "gpl-3.0"),  # was removed from the list of SPDX
        ("GPL-3.0-only", "GPL-3.0-only", "gpl-3.0"),
        ("ODbL-1.0", "ODbL-1.0", "odbl"),
        ("my company's", "", ""),
        ("", "", ""),
    ],
)
def test_names(stated, spdx, hub):
    license = License(stated, "someone")
    assert (license.spdx, license.hub) == (spdx, hub)
    assert bool(license) == bool(stated)


def test_an_unstated_license_is_unknown():
    assert str(License()) == "unknown"
    assert str(License("my company's")) == "my company's"


def test_timm_states_a_license():
    assert timm_license("timm:resnet18").spdx == "Apache-2.0"
    assert not timm_license("timm:no_such_model")
