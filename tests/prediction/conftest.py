"""The photos and the run of the tests of networks."""

from tests.networks.conftest import _photos, photos, run

__all__ = ["_photos", "photos", "run"]
