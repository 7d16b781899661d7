"""Learning-rate schedules against PyTorch's own, and by hand."""

import pytest
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.step_lr import StepLRScheduler

from tinyrefinery.options.schedules import (
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    Plateau,
    Step,
)
from tinyrefinery.training.learning_rates import PlateauSchedule, build


def torchs(scheduler, epochs):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = scheduler(optimizer)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    ("part", "theirs"),
    [
        (
            Step(at=(3, 7), factor=0.2),
            lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 7], gamma=0.2),
        ),
        (
            Cosine(final=0.05),
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10, eta_min=0.05),
        ),
        (Exponential(factor=0.9), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
        (
            Exponential(factor=0.97, every=3),
            lambda o: torch.optim.lr_scheduler.StepLR(o, 3, gamma=0.97),
        ),
        (Constant(), lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
    ],
)
def test_equal_to_pytorch(part, theirs):
    ours = build(part, 10)
    assert [ours(float(epoch)) for epoch in range(10)] == pytest.approx(torchs(theirs, 10))


def test_warmup_rises_linearly_to_the_full_rate():
    schedule, cosine = build(Cosine(warmup=2.0, warmup_start=0.1), 10), build(Cosine(), 10)
    assert [schedule(t) for t in (0.0, 1.0, 2.0)] == pytest.approx([0.1, 0.55, 1.0])
    assert schedule(2.01) == cosine(2.01)


def test_warmup_of_the_bias_loss_paper_reaches_its_rate():
    """From 1e-6 to .032 in 3 epochs, although the rate first falls after 2.4."""
    schedule = build(Exponential(factor=0.97, every=2.4, warmup=3, warmup_start=3.125e-5), 350)
    assert 0.032 * schedule(0) == pytest.approx(1e-6)
    assert 0.032 * schedule(3) == pytest.approx(0.032)
    assert 0.032 * schedule(3.01) == pytest.approx(0.03104)


@pytest.mark.parametrize("name", ["step", "cosine"])
def test_warmup_equals_timms(name):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    warm = {"warmup_t": 3, "warmup_lr_init": 0.1, "warmup_prefix": False}
    if name == "step":
        theirs = StepLRScheduler(optimizer, decay_t=2, decay_rate=0.5, **warm)
        ours = build(Exponential(factor=0.5, every=2, warmup=3, warmup_start=0.1), 10)
    else:
        theirs = CosineLRScheduler(optimizer, t_initial=10, **warm)
        ours = build(Cosine(warmup=3, warmup_start=0.1), 10)
    rates = {}
    for epoch in range(10):
        theirs.step(epoch)
        rates[epoch] = optimizer.param_groups[0]["lr"]
    del rates[3]  # the moment at which the warm-up ends: timm leaves out the full rate
    assert {epoch: ours(float(epoch)) for epoch in rates} == pytest.approx(rates)


def test_warmup_of_one_cycle_does_not_jump():
    schedule = build(OneCycle(peak=0.5, start=0.1, warmup=2.0), 10)
    assert schedule(2.0) == pytest.approx(schedule(2.0001), abs=1e-3)


def test_one_cycle():
    schedule = build(OneCycle(peak=0.2, start=0.1), 10)
    assert [schedule(t) for t in (0, 1, 2, 6, 10)] == pytest.approx([0.1, 0.55, 1.0, 0.5, 0.0])


@pytest.mark.parametrize("metric", ["validation_top1", "validation_loss"])
def test_plateau_equals_pytorch(metric):
    values = [0.1, 0.3, 0.2, 0.25, 0.29, 0.28, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.1]
    if metric == "validation_loss":
        values = [1 - v for v in values]
    ours = PlateauSchedule(Plateau(factor=0.5, patience=2, metric=metric))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        "max" if metric == "validation_top1" else "min",
        factor=0.5,
        patience=2,
        threshold_mode="abs",
    )
    for value in values:
        ours.observe({metric: value})
        theirs.step(value)
        assert ours(0) == pytest.approx(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("metric", ["validation_top1", "validation_loss"])
@pytest.mark.parametrize("lost", [float("nan"), float("inf"), float("-inf")])
def test_a_figure_that_is_no_number_is_no_best(metric, lost):
    """A loss of NaN in the first epoch would beat everything, as nothing is greater than NaN."""
    ours = PlateauSchedule(Plateau(factor=0.5, patience=1, metric=metric))
    sign = 1 if metric == "validation_top1" else -1
    for value in (lost, sign * 0.1, sign * 0.2, lost, sign * 0.3):
        ours.observe({metric: value})
    assert ours(0) == 1  # never two epochs in a row without improvement
    assert ours.state["best"] == sign * 0.3
    ours.observe({metric: lost})
    ours.observe({metric: lost})
    assert ours(0) == 0.5


def test_plateau_warms_up():
    ours = build(Plateau(warmup=2.0, warmup_start=0.5), 10)
    assert [ours(epoch) for epoch in (0, 1, 2, 3)] == pytest.approx([0.5, 0.75, 1.0, 1.0])
