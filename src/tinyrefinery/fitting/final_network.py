"""The network that ships: trained for as long as the time allows, if that is longer than before."""

from collections.abc import Callable
from pathlib import Path

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.execution.execute import run
from tinyrefinery.files import write_atomic
from tinyrefinery.fitting.diary import Diary
from tinyrefinery.fitting.fit_options import PACKED, FitOptions
from tinyrefinery.fitting.fit_recipes import POOL
from tinyrefinery.fitting.search import Choice, longest
from tinyrefinery.fitting.shipping import TUNE
from tinyrefinery.fitting.trials import Trial, ranked, without_warnings
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.opening import open_network
from tinyrefinery.recipe.load import dump
from tinyrefinery.runs.plan import Job
from tinyrefinery.runs.run_folder import open_run

RECIPE, RUN = "recipe.yaml", "network"
_RESERVE = 0.08  # share of the time for the artifact and the page
_LEAST_RESERVE = 60.0  # seconds


def final_network(
    diary: Diary,
    choice: Choice,
    options: FitOptions,
    data: Dataset,
    say: Callable[[str], object],
) -> tuple[Network, int]:
    """The network that ships, and its epochs: the chosen trial, or the same trained for longer.

    Its recipe is written beside it.

    Args:
        diary: of the folder.
        choice: from the search.
        options: what was asked for.
        data: all pictures; the test pictures take no part in a choice.
        say: called with progress messages.

    Raises:
        RefineryError: if it can't be trained.
    """
    folder, trial = choice.folder, choice.trial
    train = len(data.manifest.rows("train"))
    count = int(diary.decide("epochs", lambda: _epochs(diary, choice, options, train)))
    labels = "refined" if choice.labels else "given"
    if count > trial.epochs:
        say(f"training {trial.candidate}, epochs: {count}, {labels} labels: {choice.reason}")
        recipe = choice.plan.of_candidate(choice.candidate, count, labels=choice.labels)
        write_atomic(folder / RECIPE, dump(recipe))
        with without_warnings("not shown to be better than guessing"):  # the result has its own
            run([Job(recipe)], folder / RUN, data=data)
        longer = _as_trial(folder / RUN, trial, count)
        if ranked([longer, trial])[0] is longer:
            return open_network(folder / RUN), count
        say("  the shorter training is better on the validation pictures")
    else:
        say(f"no time for more than {trial.epochs} epochs of {trial.candidate}: it ships as it is")
    recipe = choice.plan.of_candidate(choice.candidate, trial.epochs, labels=choice.labels)
    write_atomic(folder / RECIPE, dump(recipe))
    return open_network(choice.trial_folder), trial.epochs


def _epochs(diary: Diary, choice: Choice, options: FitOptions, train: int) -> int:
    """As many epochs as the time allows, at most those that a set of this size can use."""
    reserve = max(_RESERVE * options.seconds, min(_LEAST_RESERVE, options.seconds / 3))
    # Fine-tuning in 8 bits rounds at each step, and makes its labels again.
    epochs = 0 if options.to == PACKED else TUNE
    tuning = epochs * (2 * choice.seconds_per_epoch + choice.label_seconds)
    left = options.seconds - diary.seconds - reserve - min(tuning, options.seconds / 4)
    return max(1, min(longest(train), epochs_in(left, choice)))


def epochs_in(seconds: float, choice: Choice) -> int:
    """Epochs that fit into a time, where the first `POOL` of them also have labels to make."""
    each, labels = max(choice.seconds_per_epoch, 1e-9), choice.label_seconds
    labeled = int(seconds / (each + labels))
    return labeled if labeled <= POOL else int((seconds - POOL * labels) / each)


def _as_trial(folder: Path, trial: Trial, epochs: int) -> Trial:
    """A long training as a trial, to be compared with a short one."""
    stage = open_run(folder).stages[-1]
    found = stage.evaluation["validation"]
    seconds = sum(float(line["seconds"]) for line in stage.metrics)
    return Trial(
        trial.candidate,
        epochs,
        trial.labels,
        trial.variant,
        float(found["top1"]),
        float(found["nll"]),
        seconds,
    )
