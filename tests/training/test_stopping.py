"""Early stopping against sequences worked out by hand, and that interruptions leave no trace."""

import dataclasses
import math

import pytest
import torch

from tests.training.test_loop import Killed, assert_equal, job, small_network, weights
from tinyrefinery.options.schedules import Constant, Plateau
from tinyrefinery.options.training import EarlyStop
from tinyrefinery.training import learning_rates as schedules
from tinyrefinery.training.in_step import SharedBatches, SharedLabels
from tinyrefinery.training.loop import fit, fit_in_step
from tinyrefinery.training.stopping import EarlyStopping

LINEAR = torch.nn.Linear(1, 1)


def ends(figures, **options):
    """Evaluations after which it is over, and the epoch it would keep."""
    stop = EarlyStopping(EarlyStop(**options))
    for number, value in enumerate(figures, 1):
        stop.observe({"epoch": number, stop.part.metric: value}, LINEAR)
        if stop.is_over:
            break
    return number, stop.outcome(number)["kept_epoch"]


@pytest.mark.parametrize(
    ("figures", "options", "expected"),
    [
        ([0.1, 0.5, 0.4, 0.45, 0.4, 0.9], {"patience": 3}, (5, 2)),
        ([0.1, 0.2, 0.3, 0.4], {"patience": 1}, (4, 4)),
        ([0.5, 0.5, 0.5], {"patience": 2}, (3, 1)),  # equal is no improvement; the first is kept
        ([0.9, 0.5, 0.6, 0.55], {"patience": 2, "metric": "validation_loss"}, (4, 2)),
        # .15 is less than .1 above .1; .21 is more; then .30 is less than .1 above .21
        ([0.10, 0.15, 0.21, 0.25, 0.30, 0.30], {"patience": 2, "min_delta": 0.1}, (5, 5)),
        ([0.1, 0.5, 0.4, 0.3], {"patience": None}, (4, 2)),
        ([0.1, 0.5, 0.4, 0.3], {"patience": 2, "restore_best": False}, (4, 4)),
        ([math.nan, 0.4, math.nan, math.nan], {"patience": 2}, (4, 2)),
        ([math.nan, math.nan, 0.4], {"patience": 2}, (2, 2)),
    ],
)
def test_when_it_ends_and_what_it_keeps(figures, options, expected):
    assert ends(figures, **options) == expected


def test_the_rule_of_the_replication_that_failed():
    """A network that gains 9 points every ten epochs is stopped; with min_delta 0 it is not."""
    slow = [0.30 + 0.009 * epoch for epoch in range(60)]
    assert ends(slow, patience=20, min_delta=0.1) == (60, 60)
    slower = [0.30 + 0.004 * epoch for epoch in range(60)]
    assert ends(slower, patience=20, min_delta=0.1)[0] == 21
    assert ends(slower, patience=20)[0] == 60


def figures_of(values):
    coming = iter(values)
    return lambda network: {"validation_top1": next(coming)}


def stopping(folder, values, network=None, stop=None, **settings):
    """A training whose validation figures are `values`."""
    made = job(
        folder,
        network,
        schedule=schedules.build(Constant(), 1),
        validate=figures_of(values),
        epochs=settings.pop("epochs", 8),
        **settings,
    )
    return dataclasses.replace(made, stop=stop or EarlyStopping(EarlyStop(patience=2)))


@pytest.mark.parametrize("ema", [None, 0.9])
def test_it_ends_early_with_the_best_weights(tmp_path, ema):
    trained, history = fit(stopping(tmp_path / "a", [0.3, 0.6, 0.5, 0.4, 0.9], ema=ema))
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    shorter = job(tmp_path / "b", schedule=schedules.build(Constant(), 1), epochs=2, ema=ema)
    assert_equal(weights(trained), weights(fit(shorter)[0]))


def test_without_restoring_it_ends_with_the_last_weights(tmp_path):
    stop = EarlyStopping(EarlyStop(patience=2, restore_best=False))
    trained, _ = fit(stopping(tmp_path / "a", [0.3, 0.6, 0.5, 0.4], stop=stop))
    assert stop.weights is None
    longer = job(tmp_path / "b", schedule=schedules.build(Constant(), 1), epochs=4)
    assert_equal(weights(trained), weights(fit(longer)[0]))


def test_all_epochs_are_trained_where_nothing_stops_it_and_the_best_is_kept(tmp_path):
    stop = EarlyStopping(EarlyStop(patience=None))
    trained, history = fit(stopping(tmp_path / "a", [0.3, 0.6, 0.5, 0.4], stop=stop, epochs=4))
    assert len(history) == 4
    shorter = job(tmp_path / "b", schedule=schedules.build(Constant(), 1), epochs=2)
    assert_equal(weights(trained), weights(fit(shorter)[0]))


def test_evaluations_count_not_epochs(tmp_path):
    made = stopping(tmp_path, [0.6, 0.5, 0.4], evaluate_every=2)
    _, history = fit(made)
    assert [record["epoch"] for record in history] == [1, 2, 3, 4, 5, 6]
    assert made.stop.outcome(6) == {"epochs": 6, "kept_epoch": 2}


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4])
def test_resume_is_bit_identical(tmp_path, killed_at):
    values = [0.3, 0.6, 0.5, 0.4]
    undisturbed, whole = fit(stopping(tmp_path / "whole", values, small_network(dropout=0.3)))
    calls = []

    def die(network):
        calls.append(1)
        if len(calls) == killed_at:
            raise Killed
        return {"validation_top1": values[len(calls) - 1]}

    cut = stopping(tmp_path / "cut", values, small_network(dropout=0.3))
    with pytest.raises(Killed):
        fit(dataclasses.replace(cut, validate=die))
    rest = values[killed_at - 1 :]
    again, history = fit(stopping(tmp_path / "cut", rest, small_network(dropout=0.3)))
    assert_equal(weights(again), weights(undisturbed))
    assert [r["validation_top1"] for r in history] == [r["validation_top1"] for r in whole]


def test_after_its_end_it_trains_no_more(tmp_path):
    """Killed between the last state and the finished stage: the same command gives the same."""
    undisturbed, history = fit(stopping(tmp_path, [0.3, 0.6, 0.5, 0.4]))
    again, same = fit(stopping(tmp_path, []))
    assert same == history
    assert_equal(weights(again), weights(undisturbed))


def test_networks_in_step_stop_one_by_one(tmp_path):
    def jobs(folder):
        made = [
            stopping(folder / "short", [0.6, 0.5, 0.4], small_network(0.1)),
            stopping(folder / "long", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], small_network()),
        ]
        return made

    alone = [fit(each) for each in jobs(tmp_path / "alone")]
    policy, batches = SharedLabels(jobs(tmp_path)[0].policy), SharedBatches()
    shared = [
        dataclasses.replace(each, policy=policy, load=batches) for each in jobs(tmp_path / "shared")
    ]
    for (ours, mine), (theirs, expected) in zip(fit_in_step(shared), alone, strict=True):
        assert len(mine) == len(expected)
        assert_equal(weights(ours), weights(theirs))
    assert [len(history) for _, history in alone] == [3, 8]


def test_the_plateau_falls_no_lower_than_asked():
    plateau = schedules.PlateauSchedule(Plateau(factor=0.1, patience=1, lowest=0.05))
    rates = []
    for _ in range(7):
        plateau.observe({"validation_loss": 0.5})
        rates.append(plateau(0))
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.05, 0.05, 0.05])
