"""LiteRT files of others open, and predict what the LiteRT interpreter alone predicts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.real import DATA
from tinyrefinery.errors import CheckpointError
from tinyrefinery.models.litert_file import LiteRtNetwork
from tinyrefinery.networks.facts import Facts
from tinyrefinery.networks.opening import open_network
