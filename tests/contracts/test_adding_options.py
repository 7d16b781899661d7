"""An option is declared once: a new one touches few source files, and then works.

Each case adds something to a copy of the source, by patches as small as a developer's, and uses it
in a process of its own: it trains, or builds the object from a recipe.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

import tinyrefinery
from tests.recipe_files import write_tiny
from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.load import load_recipe

SOURCE = Path(tinyrefinery.__file__).parent


@dataclass(frozen=True)
class Addition:
    """Something new, the files it touches, and what shows that it works."""

    most: int
    """Files that may be touched."""
    change: str
    """An override of a recipe that uses it."""
    patches: dict[str, tuple[tuple[str, str], ...]]
    """File -> (what stands there, what stands there afterwards)."""
    shows: str
    """A program that fails unless it works; its arguments are a recipe and the override."""
    new: dict[str, str] = field(default_factory=dict)
    """New files."""


SHOWS_TRAINING_OPTION = """
import sys
from tinyrefinery import train

def first_step(*overrides):
    short = ["stages.refined=null", "stages.plain.epochs=1", "data.source.train=16", *overrides]
    chain = train(sys.argv[1], short, folder=f"{sys.argv[1]}-{len(overrides)}")
    return chain[0][-1].network.state_dict()

plain, changed = first_step(), first_step(sys.argv[2])
assert any((plain[name] - changed[name]).abs().max() > 0.1 for name in plain)
"""
SHOWS_OPTIMIZER_OPTION = """
import sys, torch
from tinyrefinery import load_recipe
from tinyrefinery.training import parameter_groups

(stage, _) = load_recipe(sys.argv[1], sys.argv[2:]).generations
optimizer = parameter_groups.build(stage.optimizer, torch.nn.Linear(2, 2))
assert optimizer.param_groups[0]["amsgrad"] is True
"""
SHOWS_LOSS = """
import sys, torch
from tinyrefinery import builders, load_recipe

(stage, _) = load_recipe(sys.argv[1], sys.argv[2:]).generations
loss = builders.loss(stage)
logits, targets = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
assert loss(logits, targets).item() == 3 * 1.0
"""
SHOWS_POLICY = """
import sys, torch
from tinyrefinery import builders, load_recipe

recipe = load_recipe(sys.argv[1], sys.argv[2:])
data = builders.dataset(recipe.data)
view = builders.eval_view(recipe, data, torch.device("cpu"))
policy = builders.policy(recipe.generations[0], None, view)
assert (policy(view.render(data.manifest.rows("train")[:2], 0)) == 0.25).all()
"""

IMPORT = "from tinyrefinery.labels.uniform import UniformLabels"
ADDITIONS = {
    "a training option": Addition(
        most=3,
        change="stages.plain.weight_noise=0.5",
        patches={
            "options/training.py": (
                (
                    "    accumulate: PositiveInt = 1\n",
                    "    weight_noise: NonNegative = 0.0\n"
                    '    """Standard deviation of noise that each step adds to the weights."""\n'
                    "    accumulate: PositiveInt = 1\n",
                ),
            ),
            "training/loop.py": (
                (
                    "    optimizer.step()\n",
                    "    optimizer.step()\n"
                    "    for weight in job.network.parameters():\n"
                    "        noise = torch.randn_like(weight) * job.options.weight_noise\n"
                    "        weight.data.add_(noise)\n",
                ),
            ),
        },
        shows=SHOWS_TRAINING_OPTION,
    ),
    "an optimizer option": Addition(
        most=2,
        change="stages.plain.optimizer={name: adam, amsgrad: true}",
        patches={
            "options/optimizers.py": (
                (
                    '    name: Literal["adam"] = "adam"\n',
                    '    name: Literal["adam"] = "adam"\n'
                    "    amsgrad: bool = False\n"
                    '    """Divide by the largest second moment so far (arXiv 1904.09237)."""\n',
                ),
            ),
        },
        shows=SHOWS_OPTIMIZER_OPTION,
    ),
    "a loss": Addition(
        most=3,
        change="stages.plain.loss={name: l1, scale: 3}",
        patches={
            "options/losses.py": (
                (
                    "Loss = Annotated[\n    CrossEntropy |",
                    "class L1(Part):\n"
                    '    """Absolute distance of the distributions."""\n\n'
                    '    name: Literal["l1"] = "l1"\n'
                    "    scale: NonNegative = 1.0\n"
                    '    """Factor of the distance."""\n\n\n'
                    "Loss = Annotated[\n    L1 | CrossEntropy |",
                ),
            ),
            "losses/__init__.py": (
                ('    "l2": l2,\n', '    "l1": l1,\n    "l2": l2,\n'),
                ("import kl, l2\n", "import kl, l1, l2\n"),
            ),
            "losses/refinery.py": (
                (
                    "def l2(",
                    "def l1(logits, targets, features=None, *, scale):\n"
                    '    """Mean over the batch of scale times sum_k |p_k - t_k|."""\n'
                    "    log_p, t = comparable(logits, targets)\n"
                    "    return scale * (log_p.exp() - t).abs().sum(1).mean()\n\n\n"
                    "def l2(",
                ),
            ),
        },
        shows=SHOWS_LOSS,
    ),
    "a label policy": Addition(
        most=3,
        change="stages.plain.labels={name: uniform, classes_left: 4}",
        patches={
            "options/labels.py": (
                (
                    "Labels = Annotated[GroundTruth |",
                    "class Uniform(Part):\n"
                    '    """The same probability for so many classes, whatever is shown."""\n\n'
                    '    name: Literal["uniform"] = "uniform"\n'
                    "    classes_left: PositiveInt = 2\n"
                    '    """How many."""\n\n\n'
                    "Labels = Annotated[Uniform | GroundTruth |",
                ),
            ),
            "builders/label_policies.py": (
                ("POLICIES: dict", f"{IMPORT}\n\nPOLICIES: dict"),
                (
                    '    "ground_truth": lambda',
                    '    "uniform": lambda part, data: UniformLabels(part, len(data.classes)),\n'
                    '    "ground_truth": lambda',
                ),
            ),
        },
        new={
            "labels/uniform.py": (
                '"""Labels that say nothing."""\n\n'
                "import torch\n\n\n"
                "class UniformLabels:\n"
                '    """1 / n for each of `classes` classes."""\n\n'
                "    def __init__(self, part, classes):\n"
                "        self.part, self.classes = part, classes\n\n"
                "    def __call__(self, batch):\n"
                '        """Targets of the batch, (B, K)."""\n'
                "        left = self.part.classes_left\n"
                "        return torch.full((len(batch.labels), left), 1 / left)\n"
            )
        },
        shows=SHOWS_POLICY,
    ),
}


@pytest.mark.parametrize("name", ADDITIONS)
def test_few_files_are_touched_and_it_works(name: str, tmp_path: Path) -> None:
    addition, copy = ADDITIONS[name], tmp_path / "src" / "tinyrefinery"
    assert len(addition.patches) + len(addition.new) <= addition.most
    copytree(SOURCE, copy, ignore=ignore_patterns("__pycache__"))
    recipe = write_tiny(tmp_path)
    with pytest.raises(RecipeError):  # without it the override is a mistake
        load_recipe(recipe, [addition.change])
    for file, changes in addition.patches.items():
        text = (copy / file).read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{file}: {old!r} stands there {text.count(old)} times"
            text = text.replace(old, new)
        (copy / file).write_text(text)
    for file, text in addition.new.items():
        (copy / file).write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(copy.parent)}
    command = [sys.executable, "-c", addition.shows, str(recipe), addition.change]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
