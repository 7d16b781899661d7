"""How long the networks still to train will take, by the time that trained ones took."""

import time
from collections.abc import Sequence

from tinyrefinery.execution.opened import OpenJob
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.runs.plan import Step
from tinyrefinery.training.training_progress import duration


def _work(job: OpenJob, stage: Stage) -> int:
    """Crops that a stage is trained on."""
    return stage.epochs * len(job.rows_of(stage))


class RunClock:
    """Time left for the networks of a run that this process trains.

    A network's time is taken as proportional to its epochs and training images. The rate is that
    of networks of the same architecture, or of all where none of it is trained yet.
    """

    def __init__(self, jobs: Sequence[OpenJob], *, only: Sequence[str] | None = None) -> None:
        """List what is to be trained: of `jobs`, the unfinished stages (of those in `only`)."""
        self._left = {
            step.folder: (step.model, _work(job, job.stages[step.stage]))
            for job in jobs
            for step in job.planned.steps
            if not step.is_done and (only is None or step.stage in only)
        }
        self._total = len(self._left)
        self._trained: dict[str, tuple[float, float]] = {}
        self._last = time.monotonic()

    def finish(self, steps: Sequence[Step]) -> str | None:
        """Note that steps, trained in one go, are over, and say how long the rest will take.

        Returns:
            A line such as "2 of 5 networks trained, about 3:20 left"; None after the last.
        """
        over = [self._left.pop(step.folder) for step in steps if step.folder in self._left]
        now = time.monotonic()
        for model, work in over:  # steps trained in one go share the time
            seconds, done = self._trained.get(model, (0.0, 0.0))
            self._trained[model] = (seconds + (now - self._last) / len(over), done + work)
        self._last = now
        if not over or not self._left:
            return None
        left = sum(self._seconds(model, work) for model, work in self._left.values())
        trained = self._total - len(self._left)
        return f"{trained} of {self._total} networks trained, about {duration(left)} left"

    def skip(self, step: Step) -> None:
        """Note that a step is not trained."""
        if self._left.pop(step.folder, None) is not None:
            self._total -= 1

    def _seconds(self, model: str, work: float) -> float:
        alike = [self._trained[model]] if model in self._trained else self._trained.values()
        return work * sum(s for s, _ in alike) / sum(done for _, done in alike)
