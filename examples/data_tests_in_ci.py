"""Run data tests on a network in your own CI. Exits with 1 if a test fails.

    python examples/data_tests_in_ci.py runs/mine my_tests.yaml

Without arguments it trains a network on the embedded street numbers first. Nothing is downloaded.
"""

import argparse
import sys
from pathlib import Path

import tinyrefinery as tr

parser = argparse.ArgumentParser(description="Run data tests on a network.")
parser.add_argument("run", type=Path, nargs="?", default=Path("runs/data_tests_in_ci"))
parser.add_argument("tests", type=Path, nargs="?", default=Path(__file__).with_name("tests.yaml"))
parser.add_argument("--release", action="store_true", help="UNPROVEN and TOO FEW fail, too.")
parser.add_argument("--images", type=int, default=6000, help="To train on, if RUN is not there.")
parser.add_argument("--epochs", type=int, default=13, help="To train for, if RUN is not there.")
options = parser.parse_args()

if not options.run.exists():
    sizes = [f"data.source.train={options.images}", f"stages.plain.epochs={options.epochs}"]
    demo = Path(__file__).parents[1] / "recipes/starter/demo.yaml"
    recipe = tr.load_recipe(demo, sizes)
    only_the_first = recipe.model_copy(update={"stages": recipe.stages[:1]})
    tr.train(only_the_first, folder=options.run)

try:
    network = tr.open_network(options.run)
    session = tr.run_tests(options.tests, network)
except tr.RefineryError as error:  # data, network or file of tests: the message has the remedy
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)

for result in session.results:
    measured = result.measured
    value = f"{measured.value:.3f} of {measured.n} images" if measured else result.remark
    print(f"{result.verdict:9} {result.name}: {result.metric} {value}, need {result.need}")
    for row in result.worst[:3]:
        print(f"          wrong: {session.paths[row]}")

sys.exit(tr.exit_code(session.results, release=options.release))
