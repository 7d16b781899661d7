"""Find the candidate, the crops and the labels that are best on the validation pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.fitting.choose_refiner import Refiner, make_refiner
from tinyrefinery.fitting.diary import Diary
from tinyrefinery.fitting.fit_options import FitOptions
from tinyrefinery.fitting.fit_recipes import VARIANTS, Plan, refined
from tinyrefinery.fitting.halving import FEWEST, ROUNDS, Round, first_round, next_round
from tinyrefinery.fitting.search_space import Candidate
from tinyrefinery.fitting.speed import epoch_seconds
from tinyrefinery.fitting.trials import (
    GIVEN,
    REFINED,
    Trial,
    is_better,
    ranked,
    table_of,
    train_trial,
)
from tinyrefinery.recipe.schema import Recipe

_ROUNDS, _REFINER, _VARIANTS = 0.4, 0.18, 0.08
"""Shares of the whole time."""
_END = 0.62
"""Share of the whole time by which all rounds are over. The rest is for the network that ships."""
_BEHIND = 0.02  # a refiner that is farther behind the best candidate has nothing to teach
_LONG = 60  # seconds of a training that is announced
_IMAGES = 300_000  # that the longest training goes through
_LONGEST = (100, 600)  # epochs, least and most, of the network that ships


def _span(seconds: float) -> str:
    """A time for people."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def longest(train: int) -> int:
    """Epochs beyond which a network of these sizes gains nothing that shows."""
    low, high = _LONGEST
    return max(low, min(high, _IMAGES // max(1, train)))


@dataclass(frozen=True)
class Choice:
    """What is to be trained for the device, and why."""

    candidate: Candidate
    plan: Plan = field(repr=False)
    """With the variants that helped."""
    labels: dict[str, Any] | None
    """Of the recipe; None: the given ones."""
    refiner: Refiner | None
    reason: str
    """Why these labels."""
    trials: tuple[Trial, ...] = field(repr=False)
    kept: tuple[str, ...]
    """Names of the variants that helped."""
    trial: Trial
    """The longest of the candidate with these labels."""
    seconds_per_epoch: float
    """Of the candidate, as measured, without making labels."""
    label_seconds: float
    """Of the labels of one epoch's crops; 0 for given labels."""
    folder: Path
    """Of the search."""
    trial_folder: Path
    """Run of the trial."""


class Search:
    """The short trainings that come before the long one."""

    def __init__(
        self,
        plan: Plan,
        data: Dataset,
        options: FitOptions,
        folder: Path,
        diary: Diary,
        say: Callable[[str], object],
    ) -> None:
        """Prepare a search.

        Args:
            plan: what all recipes have in common.
            data: without test pictures.
            options: what was asked for.
            folder: of the search.
            diary: of the folder.
            say: called with progress messages.
        """
        self.plan, self.data, self.options = plan, data, options
        self.folder, self.diary, self.say = folder, diary, say
        self.trials: list[Trial] = []
        self.speeds: dict[str, float] = {}
        self.most = longest(plan.look.train)

    def choose(self, candidates: Sequence[Candidate]) -> Choice:
        """Train candidates in rounds, and choose.

        Args:
            candidates: in the order in which they are taken if the time is not enough for all.

        Raises:
            RefineryError: if a network can't be trained.
        """
        by_name = {each.name: each for each in candidates}
        classes = len(self.data.classes)
        look, budget = self.plan.look, _ROUNDS * self.options.seconds
        if "speeds" not in self.diary:
            self.say("measuring how long an epoch of the candidates takes here")
        speeds = self.diary.decide("speeds", lambda: epoch_seconds(candidates, look, classes))
        self.speeds = speeds
        order = [speeds[each.name] for each in candidates]
        self._warn_of_time(order[:FEWEST])
        planned = self.diary.decide(
            "round 1", lambda: vars(first_round(order, budget, look.steps, self.most // 2))
        )
        this = Round(**planned)
        self._announce(this, sum(order[: this.candidates]) * this.epochs)
        found = self._round(0, list(candidates[: this.candidates]), this.epochs)
        this, names = self._next(1, this, found)
        found = self._round(1, [by_name[name] for name in names], this.epochs)
        best = ranked(found)
        self._try_variants(by_name[best[0].candidate], best[0])
        refiner = self._refiner(max(each.top1 for each in found))
        this, names = self._next(2, this, found, refiner)
        chosen = [by_name[name] for name in names]
        found = self._round(2, chosen, this.epochs)
        taught = list[Trial]()
        if refiner is not None:
            count = self._affordable(ranked(found), refiner.epoch)
            chosen = [by_name[each.candidate] for each in ranked(found)[:count]]
            taught = self._round(2, chosen, this.epochs, refiner)
        return self._conclude(by_name, found, taught, refiner)

    def _warn_of_time(self, speeds: Sequence[float]) -> None:
        """Report a time that is too short for one epoch of everything."""
        shortest = ROUNDS * sum(speeds) + max(speeds)  # the rounds, and the network that ships
        if shortest > self.options.seconds:
            self.say(
                f"note: one epoch of each round takes about {shortest / 3600:.2g} h here, longer "
                f"than --hours {self.options.hours:g}. The search ends late"
            )

    def _announce(self, first: Round, seconds: float) -> None:
        """Report what is planned, and how long it takes at most."""
        rounds = _END * self.options.seconds
        self.say(
            f"planned: {ROUNDS} rounds, a refiner and other crops, for at most {_span(rounds)} in "
            f"all. The first round trains {first.candidates} candidates for {first.epochs} epochs "
            f"each, about {_span(seconds)}. Then the best one is trained until "
            f"{_span(self.options.seconds)} are over"
        )

    def _next(
        self, number: int, before: Round, found: Sequence[Trial], refiner: Refiner | None = None
    ) -> tuple[Round, list[str]]:
        """A further round, and its candidates."""
        best, last = ranked(found), number == ROUNDS - 1

        def plan() -> dict[str, int]:
            """The round, by the time that is left now."""
            left = _END * self.options.seconds - self.diary.seconds
            if not last:
                left -= (_REFINER + _VARIANTS) * self.options.seconds
            speeds = [each.seconds_per_epoch for each in best]
            if refiner is not None:  # given and refined labels; crops are labeled once
                speeds = [2 * each + refiner.epoch for each in speeds]
            return vars(next_round(before, number, speeds, left, self.most // 2))

        this = Round(**self.diary.decide(f"round {number + 1}", plan))
        return this, [each.candidate for each in best[: this.candidates]]

    def _affordable(self, given: Sequence[Trial], labels: float) -> int:
        """How many of the candidates, at least one, also learn from refined labels in time.

        Labels of a large refiner may take many times as long as the training.
        """
        left = _END * self.options.seconds - self.diary.seconds
        count, total = 0, 0.0
        for each in given:
            total += each.seconds + each.epochs * labels
            if count and total > left:
                break
            count += 1
        return self.diary.decide("taught", lambda: count)

    def _round(
        self,
        number: int,
        candidates: Sequence[Candidate],
        epochs: int,
        refiner: Refiner | None = None,
    ) -> list[Trial]:
        """Train candidates for some epochs, from given or refined labels."""
        labels = GIVEN if refiner is None else REFINED
        self.say(
            f"round {number + 1} of {ROUNDS}: candidates: {len(candidates)}, epochs: {epochs}, "
            f"{labels} labels"
        )
        found = []
        for place, candidate in enumerate(candidates, 1):
            wanted = None if refiner is None else refined(refiner.by, self._store)
            recipe = self.plan.of_candidate(candidate, epochs, labels=wanted)
            where = _place(number, candidate.name, labels)
            seconds = self.speeds[candidate.name] * epochs
            if seconds >= _LONG and refiner is None:
                self.say(f"  {place} of {len(candidates)}: {candidate.name}: {_span(seconds)}")
            trial = self._train(recipe, where, candidate.name, labels)
            found.append(trial)
            self.say(
                f"  {place} of {len(candidates)}: {candidate.name}: {trial.top1:.1%} of "
                f"{self.plan.look.validation:,} validation pictures, {trial.seconds:.0f} s"
            )
        self.trials += found
        return found

    def _train(
        self, recipe: Recipe, place: str, candidate: str, labels: str, variant: str = ""
    ) -> Trial:
        trial = train_trial(
            recipe,
            self.folder / "search" / place,
            self.data,
            candidate=candidate,
            labels=labels,
            variant=variant,
        )
        self.diary.keep_time()
        return trial

    @property
    def _store(self) -> str:
        return str((self.folder / "labels").resolve())

    def _try_variants(self, candidate: Candidate, usual: Trial) -> None:
        """Keep what is better about crops than the usual, one change after another.

        The best trial so far is the yardstick, and a change that is ahead of it becomes the next.
        """
        seconds = _VARIANTS * self.options.seconds
        count = self.diary.decide("variants", lambda: int(seconds / max(usual.seconds, 1e-9)))
        best = usual
        variants = [each for each in VARIANTS if self.plan.look.channels == 3 or not _colors(each)]
        for variant in variants[:count]:
            tried = replace(self.plan, variants=(*self.plan.variants, variant))
            recipe = tried.of_candidate(candidate, usual.epochs)
            slug = variant.name.replace(" ", "-")
            trial = self._train(recipe, f"crops/{slug}", candidate.name, GIVEN, variant.name)
            better = is_better(trial, best)
            self.say(
                f"  {variant.name}: {trial.top1:.1%} against {best.top1:.1%}, "
                f"{'kept' if better else 'not kept'}"
            )
            self.trials.append(trial)
            if better:
                best, self.plan = trial, tried

    def _refiner(self, best: float) -> Refiner | None:
        """The refiner, if it has something to teach: else None."""
        made = self.diary.decide(
            "refiner",
            lambda: make_refiner(
                self.options.refiner,
                self.options.refiner_weights,
                plan=self.plan,
                data=self.data,
                folder=self.folder / "refiner",
                seconds=_REFINER * self.options.seconds,
                say=self.say,
                decide=self.diary.decide,
            ).as_dict(),
        )
        refiner = Refiner(**made)
        self.say(
            f"  {refiner.title}: {refiner.top1:.1%} of the validation pictures, the best candidate "
            f"so far {best:.1%}"
        )
        return refiner if refiner.top1 >= best - _BEHIND else None

    def _conclude(
        self,
        by_name: dict[str, Candidate],
        given: Sequence[Trial],
        taught: Sequence[Trial],
        refiner: Refiner | None,
    ) -> Choice:
        """The candidate and the labels that are best on the validation pictures."""
        kept, labels, reason = list(given), None, "no refiner knew more than the candidates"
        before = {each.candidate: each for each in given}
        if refiner is not None and taught:
            gain = sum(each.top1 - before[each.candidate].top1 for each in taught) / len(taught)
            which = "the best candidate" if len(taught) == 1 else f"{len(taught)} candidates"
            reason = (
                f"the refiner's labels change the accuracy of {which} by {100 * gain:+.1f} points"
                f"{'' if len(taught) == 1 else ' on average'}, on the validation pictures"
            )
            if gain > 0:
                kept, labels = list(taught), refined(refiner.by, self._store)
        best = ranked(kept)[0]
        # The first candidate may have made the labels that the next ones read from the store.
        made = (
            each.seconds_per_epoch - before[each.candidate].seconds_per_epoch for each in taught
        )
        self.diary.decide("trials", lambda: table_of(self.trials))
        return Choice(
            candidate=by_name[best.candidate],
            plan=self.plan,
            labels=labels,
            refiner=refiner,
            reason=reason,
            trials=tuple(self.trials),
            kept=tuple(each.name for each in self.plan.variants),
            trial=best,
            seconds_per_epoch=before[best.candidate].seconds_per_epoch,
            label_seconds=max(0.0, *made) if labels else 0.0,
            folder=self.folder,
            trial_folder=self.folder / "search" / _place(ROUNDS - 1, best.candidate, best.labels),
        )


def _place(number: int, candidate: str, labels: str) -> str:
    """Folder of a trial, below that of all trials."""
    return f"round-{number + 1}/{candidate}-{labels}"


def _colors(variant: Any) -> bool:
    return "color" in variant.changes
