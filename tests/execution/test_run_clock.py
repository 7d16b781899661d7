"""The time that a run still takes, from the time that it took."""

from pathlib import Path
from types import SimpleNamespace

from tinyrefinery.execution import run_clock
from tinyrefinery.execution.run_clock import RunClock


def steps_of(*models):
    return [
        SimpleNamespace(folder=Path(f"{i}"), model=model, stage=f"s{i}", is_done=False)
        for i, model in enumerate(models)
    ]


def clock_at(monkeypatch, steps, epochs, times):
    moments = iter(times)
    monkeypatch.setattr(run_clock.time, "monotonic", lambda: next(moments))
    stages = {step.stage: SimpleNamespace(epochs=e) for step, e in zip(steps, epochs, strict=True)}
    job = SimpleNamespace(
        planned=SimpleNamespace(steps=steps), stages=stages, rows_of=lambda stage: range(100)
    )
    return RunClock([job])


def test_time_left_follows_epochs_and_architecture(monkeypatch):
    steps = steps_of("small", "large", "small")
    clock = clock_at(monkeypatch, steps, (10, 10, 20), [0, 5, 105])
    # 10 epochs of the small one took 5 s; the large one is not measured yet.
    assert clock.finish(steps[:1]) == "1 of 3 networks trained, about 0:15 left"
    assert clock.finish(steps[1:2]) == "2 of 3 networks trained, about 0:10 left"


def test_nothing_is_said_after_the_last(monkeypatch):
    steps = steps_of("small")
    assert clock_at(monkeypatch, steps, (1,), [0, 1]).finish(steps) is None


def test_skipped_networks_do_not_count(monkeypatch):
    steps = steps_of("small", "small", "small")
    clock = clock_at(monkeypatch, steps, (1, 1, 1), [0, 4])
    clock.skip(steps[2])
    assert clock.finish(steps[:1]) == "1 of 2 networks trained, about 0:04 left"
