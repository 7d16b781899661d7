"""The list of commands: panels of `tinyrefinery --help`, and for each command its file and help.

A command's help here is the first line of its function's docstring. It is repeated so that the
list can be printed without importing the commands.
"""

from typing import TypeAlias

Commands: TypeAlias = "dict[str, tuple[str | Commands, str]]"
"""Name -> (`file:function` in this folder, or the commands of a group; one-line help)."""

RECIPE: Commands = {
    "check": ("recipe:check", "Check recipes and tables. Reports all mistakes."),
    "list": ("recipe:list_recipes", "List shipped recipes and your own, with their titles."),
    "show": ("recipe:show", "Print a recipe with all defaults and overrides."),
    "schema": ("recipe:schema", "Print the JSON Schema of recipes, for YAML editors."),
}
DETECT: Commands = {
    "train": ("detect:train", "Train and evaluate the detector of a recipe. Rerun to resume."),
    "evaluate": ("detect:evaluate", "Show a detector's metrics, or re-evaluate it on other data."),
    "draw": ("detect:draw", "Draw predicted boxes on images."),
}
LABEL_STORE: Commands = {
    "make": ("label_store:make", "Compute labels before training. Rerun to resume."),
    "info": ("label_store:info", "Show what label stores contain."),
    "verify": ("label_store:verify", "Check label stores for damage, byte by byte."),
    "export": ("label_store:export", "Write stored labels to a Parquet table."),
}
PANELS: dict[str, Commands] = {
    "Train": {
        "demo": (
            "demo:demo",
            "Train, refine and ship a small network on the embedded data.",
        ),
        "fit": ("fit:fit", "Train the best small network for pictures and a budget."),
        "run": ("run:run", "Train a recipe and write a report. Rerun to resume."),
        "recipe": (RECIPE, "Check, list and print recipes."),
        "detect": (DETECT, "Train, evaluate and draw object detectors (SSD)."),
    },
    "Measure": {
        "predict": ("predict:predict", "Predict the classes of pictures, with probabilities."),
        "evaluate": ("evaluate:evaluate", "Show a run's metrics, or re-evaluate it on other data."),
        "report": ("report:report", "Write a self-contained HTML report on one or more runs."),
        "init": ("data_tests:init", "Create a starter data-test file."),
        "test": ("data_tests:judge", "Run data tests on a model. Exits with 1 if a test fails."),
        "compare": (
            "data_tests:compare",
            "Run the same data tests on several models side by side.",
        ),
        "history": ("data_tests:history", "Show one data test's results across runs."),
        "saliency": ("saliency:saliency", "Show which pixels drive a model's predictions."),
    },
    "Data": {
        "audit": ("audit:audit", "Check a dataset for leaks, label errors and shortcuts."),
        "mine": ("mine:mine", "Select images for human review, each with a reason."),
        "review": ("review:review", "Review a queue of images in the browser, by keyboard."),
        "apply": ("apply:apply", "Apply review decisions to the overlay. Safe to repeat."),
    },
    "Labels": {
        "label": ("label:label", "Auto-label images. Queue uncertain ones for review."),
        "label-store": (LABEL_STORE, "Compute, inspect, verify and export stored labels."),
        "label-quality": (
            "label_quality:label_quality",
            "Score each kind of label against true or human labels.",
        ),
        "refiner": ("refiner:refiner", "Assess and rank refiners before training on their labels."),
        "refiner-gains": (
            "refiner_gains:refiner_gains",
            "Compare each refiner's score with its students' gains.",
        ),
    },
    "Device": {
        "export": (
            "export:export",
            "Export a model for a device, checked against the network.",
        ),
        "verify": (
            "verify:verify",
            "Check an exported artifact and replay its test vectors.",
        ),
        "bundle": (
            "bundle:bundle",
            "Write a device folder with the model, a runner and a check.",
        ),
        "summary": ("summary:summary", "List layers, parameters, bytes, MACs and peak RAM."),
        "bench": ("bench:bench", "List flash, arena, MACs and latency of models."),
        "latency": ("latency:latency", "Benchmark forward passes of networks on this machine."),
    },
    "Share": {
        "card": ("card:card", "Write a model card and a bill of materials."),
        "pareto": (
            "pareto:pareto",
            "Compare accuracy and cost of models, with published networks.",
        ),
        "share": ("share:share", "Publish a model with its card, artifacts and recipe."),
    },
    "Papers": {
        "reproduce": ("run:reproduce", "Train the rows of a paper's table. Rerun to resume."),
        "variance": (
            "variance:variance",
            "Measure feature-map variance per layer (Bias Loss, Table 5).",
        ),
    },
}
