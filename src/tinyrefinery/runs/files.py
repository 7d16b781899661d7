"""Names of everything in a run folder. No other module spells them.

A feature that adds a file of its own, such as `refiners.json`, names it itself.
"""

from tinyrefinery.training.files import EARLIER_STATE as EARLIER_STATE
from tinyrefinery.training.files import METRICS as METRICS
from tinyrefinery.training.files import METRICS_TABLE as METRICS_TABLE
from tinyrefinery.training.files import STATE as STATE

# In the run folder.
LOCK = ".lock"
RECIPE = "recipe.yaml"
RECIPES = "recipes"
"""Folder: of a table, the recipe of each row, ROW.yaml."""
ENVIRONMENT = "environment.json"
DATA = "data.json"
PRECISION = "precision.json"
"""What `engine.precision: auto` stands for in this run."""
DIGESTS = "digests.json"
"""Digests of the files beside it, so that damage is found."""
IMAGES = "images"
"""Folder: per dataset, its images with their splits, DIGEST16.parquet."""
EXCLUDED = "excluded.csv"
RESULTS = "results.csv"
TABLE = "table.json"
TABLE_LINES = "table.csv"
SAMPLES = "samples.npz"
STAGES = "stages"
"""Folder: per trained network, a folder ID-KEY8."""
STARTS = "starts"
"""Folder: run folders of the recipes whose networks stages start from."""
LABELS = "labels"
"""Folder: label stores."""

# In a stage's folder.
STAGE = "stage.json"
SEEN = "seen.parquet"
NETWORK = "model.safetensors"
EVALUATION = "evaluation.json"
DYNAMICS = "dynamics.parquet"
SUSPECTS = "suspects.csv"
TAXONOMY = ("synsets.csv", "similarity.csv")
SHEET = "sheet.jpg"
DONE = "done.json"
"""Written last: the stage is whole, and these are the digests of its files."""


def predictions(split: str) -> str:
    """Name of the file of a stage's predictions on a split."""
    return f"predictions-{split}.parquet"


def stage_folder(stage: str, key: str) -> str:
    """Name of a stage's folder in `STAGES`."""
    return f"{stage}-{key[:8]}"
