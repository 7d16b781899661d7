"""The loop against a plain PyTorch loop, and that interruptions leave no trace."""

import copy
import dataclasses
import json

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional as F

from tests.data.scenes import stripes
from tests.labels.policies import refined_labels
from tests.losses.named import create as create_loss
from tinyrefinery.data.batches import View, shuffled, split_batches
from tinyrefinery.errors import ChainError, CheckpointError
from tinyrefinery.labels.policy import GivenLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.losses.targets import SparseTargets
from tinyrefinery.options.crops import Inception
from tinyrefinery.options.engine import Engine
from tinyrefinery.options.schedules import Constant, Cosine, Plateau
from tinyrefinery.options.training import TrainingOptions
from tinyrefinery.training import learning_rates as schedules
from tinyrefinery.training.job import Training
from tinyrefinery.training.loop import fit
from tinyrefinery.training.state import load_state, save_state

DATA = stripes()
VIEW = View(DATA, Inception(size=12), seed=2)
ROWS = DATA.manifest.rows("train")  # 80 rows
PLATEAU = Plateau(factor=0.5, patience=1, metric="validation_top1")


def small_network(dropout=0.0, norm=True):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8) if norm else nn.Identity(),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 3),
    )


class Killed(BaseException):
    """What a test raises where a process would die."""


def job(folder, network=None, schedule=None, validate=None, lr=0.1, **settings):
    network = network or small_network()
    settings = {"epochs": 3, "batch_size": 16, "seed": 5, "channels_last": False, **settings}
    names = settings.keys()
    options = {name: settings.pop(name) for name in names & TrainingOptions.model_fields.keys()}
    engine = {name: settings.pop(name) for name in names & Engine.model_fields.keys()}
    return Training(
        network=network,
        view=VIEW,
        rows=ROWS,
        policy=GivenLabels(3),
        loss=create_loss("cross_entropy"),
        optimizer=torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9),
        schedule=schedule or schedules.build(Cosine(), 3),
        options=TrainingOptions(**options),
        engine=Engine(**engine),
        fabric=Fabric(accelerator="cpu", devices=1),
        validate=validate or (lambda network: {"validation_top1": 0.5}),
        folder=folder,
        **settings,
    )


def weights(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def reference(network, epochs=3, batch_size=16, clip=None, ema=None):
    """The same training by hand, with nothing of the loop but the crops."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    average = copy.deepcopy(network)
    schedule = schedules.build(Cosine(), 3)
    steps = len(ROWS) // batch_size
    network.train()
    for epoch in range(epochs):
        order = split_batches(shuffled(ROWS, VIEW.seed, epoch), batch_size, drop_last=True)
        for step, rows in enumerate(order):
            optimizer.param_groups[0]["lr"] = 0.1 * schedule(epoch + step / steps)
            batch = VIEW.render(rows, epoch)
            optimizer.zero_grad()
            F.cross_entropy(network(batch.images), batch.labels).backward()
            if clip:
                nn.utils.clip_grad_norm_(network.parameters(), clip)
            optimizer.step()
            if ema:
                first = epoch == step == 0
                for mine, theirs in zip(
                    average.state_dict().values(), network.state_dict().values(), strict=True
                ):
                    new = theirs if first else ema * mine + (1 - ema) * theirs
                    mine.copy_(new)
    return weights(average if ema else network)


def test_equals_a_plain_loop(tmp_path):
    trained, history = fit(job(tmp_path))
    for name, tensor in reference(small_network()).items():
        torch.testing.assert_close(weights(trained)[name], tensor, atol=1e-6, rtol=1e-5)
    assert [record["epoch"] for record in history] == [1, 2, 3]


def test_sparse_targets_train_as_dense_ones(tmp_path):
    def given(batch):
        return SparseTargets(batch.labels[:, None], torch.ones(len(batch.labels), 1), 3)

    trained, _ = fit(dataclasses.replace(job(tmp_path), policy=given))
    for name, tensor in reference(small_network()).items():
        torch.testing.assert_close(weights(trained)[name], tensor, atol=1e-6, rtol=1e-5)


def test_clipping_equals_a_plain_loop(tmp_path):
    trained, _ = fit(job(tmp_path, clip_norm=0.05))
    for name, tensor in reference(small_network(), clip=0.05).items():
        torch.testing.assert_close(weights(trained)[name], tensor, atol=1e-6, rtol=1e-5)


def test_moving_average_equals_one_by_hand(tmp_path):
    trained, _ = fit(job(tmp_path, network=small_network(norm=False), ema=0.8))
    for name, tensor in reference(small_network(norm=False), ema=0.8).items():
        torch.testing.assert_close(weights(trained)[name], tensor, atol=1e-6, rtol=1e-5)


def test_accumulated_small_batches_equal_a_large_one(tmp_path):
    # Without batch normalization, and with a rate that doesn't change within an epoch.
    constant = schedules.build(Constant(), 3)
    small, _ = fit(
        job(tmp_path / "a", small_network(norm=False), constant, batch_size=8, accumulate=2)
    )
    large, _ = fit(job(tmp_path / "b", small_network(norm=False), constant, batch_size=16))
    for name, tensor in weights(small).items():
        torch.testing.assert_close(tensor, weights(large)[name], atol=1e-6, rtol=1e-5)


def test_a_ragged_accumulation_window_counts_in_full(tmp_path):
    # 80 rows in batches of 16 make 5 steps: windows of 2, 2 and 1.
    moves = []
    training = job(tmp_path, accumulate=2, epochs=1)
    step = training.optimizer.step

    def count(*args, **kwargs):
        moves.append(1)
        return step(*args, **kwargs)

    training.optimizer.step = count
    fit(training)
    assert len(moves) == 3


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("every", [None, 2])
def test_resume_is_bit_identical(tmp_path, workers, every):
    def whole(folder, **options):
        return weights(
            fit(
                job(
                    folder,
                    small_network(dropout=0.3),
                    ema=0.9,
                    workers=workers,
                    checkpoint_every_steps=every,
                    **options,
                )
            )[0]
        )

    undisturbed = whole(tmp_path / "whole")
    calls = []

    def die(network):
        calls.append(1)
        if len(calls) == 2:  # after the steps of epoch two, before its state is saved
            raise Killed
        return {"validation_top1": 0.5}

    with pytest.raises(Killed):
        whole(tmp_path / "cut", validate=die)
    assert_equal(whole(tmp_path / "cut"), undisturbed)
    lines = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    whole_lines = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    for ours, theirs in zip(lines, whole_lines, strict=True):
        assert json.loads(ours)["train_loss"] == json.loads(theirs)["train_loss"]


def test_the_plateau_schedule_survives_a_resume(tmp_path):
    def run(folder, epochs_before=None):
        figures = iter([0.5, 0.4, 0.4, 0.4, 0.4, 0.4])
        plateau = schedules.PlateauSchedule(PLATEAU)

        def validate(network):
            return {"validation_top1": next(figures)}

        if epochs_before:
            fit(job(folder, schedule=plateau, validate=validate, epochs=epochs_before))
            plateau = schedules.PlateauSchedule(PLATEAU)
        trained, history = fit(job(folder, schedule=plateau, validate=validate, epochs=6))
        return weights(trained), [record["lr"] for record in history]

    undisturbed, rates = run(tmp_path / "a")
    again, rates_again = run(tmp_path / "b", epochs_before=3)
    assert rates == rates_again
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.025])
    assert_equal(again, undisturbed)


def test_divergence_is_named(tmp_path):
    with pytest.raises(ChainError, match=r"training loss is (nan|inf).*Lower optimizer.lr"):
        fit(job(tmp_path, lr=1e30, schedule=schedules.build(Constant(), 3)))


def damages(content):
    """A file's bytes: truncated, emptied, and with a flipped bit in its tensors."""
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0x10
    return {"truncated": content[: len(content) // 2], "empty": b"", "flipped": bytes(flipped)}


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped"])
@pytest.mark.parametrize("both", [False, True])
def test_a_damaged_state_is_not_used(tmp_path, damage, both, caplog):
    expected = weights(fit(job(tmp_path / "whole"))[0])
    folder = tmp_path / "cut"
    fit(job(folder, epochs=2, checkpoint_every_epochs=1))
    for name in ("state.pt", "state-earlier.pt")[: 1 + both]:
        state = folder / name
        state.write_bytes(damages(state.read_bytes())[damage])
    caplog.clear()
    assert_equal(weights(fit(job(folder))[0]), expected)
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "state.pt: is damaged" in told[0]
    assert told[-1].endswith("its start" if both else "step 0 of epoch 2")


def test_a_state_beyond_the_end_is_refused(tmp_path):
    fit(job(tmp_path, epochs=1))
    state = load_state(tmp_path / "state.pt")
    save_state(tmp_path / "state.pt", state | {"epoch": 10**9})
    with pytest.raises(CheckpointError, match=r"epoch 1000000000 of 3.*Delete"):
        fit(job(tmp_path))


def test_a_state_of_another_network_is_named(tmp_path):
    fit(job(tmp_path, epochs=1))
    with pytest.raises(CheckpointError, match="another network, optimizer or loss"):
        fit(job(tmp_path, network=small_network(norm=False)))


def test_metrics_are_written_as_csv_too(tmp_path):
    fit(job(tmp_path, epochs=2))
    header, *lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert header.startswith("epoch,step,lr,train_loss,train_top1")
    assert len(lines) == 2


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(job(tmp_path, epochs=2, tensorboard=True))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [scalar.step for scalar in events.Scalars("train_loss")] == [1, 2]


def test_resume_with_labels_that_cut_across_bn_groups(tmp_path):
    def whole(folder, **options):
        refiner = Refiner([small_network()])
        policy = refined_labels(refiner, VIEW, ROWS, bn_group=24)  # batches are of 16
        training = job(folder, small_network(), ema=0.9, checkpoint_every_steps=2, **options)
        return weights(fit(dataclasses.replace(training, policy=policy))[0])

    undisturbed = whole(tmp_path / "whole")
    calls = []

    def die(network):
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return {"validation_top1": 0.5}

    with pytest.raises(Killed):
        whole(tmp_path / "cut", validate=die)
    assert_equal(whole(tmp_path / "cut"), undisturbed)


def test_a_state_that_is_no_number_is_not_kept(tmp_path):
    with pytest.raises(ChainError):
        fit(
            job(
                tmp_path, lr=1e30, schedule=schedules.build(Constant(), 3), checkpoint_every_steps=1
            )
        )
    state = load_state(tmp_path / "state.pt")
    assert state["sums"].isfinite().all()


@pytest.mark.parametrize("step", [1, 4, 9])  # within the first epoch, and the very last step
def test_weights_ruined_behind_a_sound_loss_are_never_kept(tmp_path, step):
    calls = []

    def loss(logits, targets, features=None):
        calls.append(1)
        ruin = (logits - logits.detach()).square().sum().sqrt()  # zero, with a gradient of nan
        return F.cross_entropy(logits, targets) + (ruin if len(calls) > step else 0.0)

    training = job(tmp_path, epochs=2, checkpoint_every_steps=1)
    assert 2 * (len(ROWS) // 16) == 10
    with pytest.raises(ChainError, match=r"weights are no numbers|loss is nan"):
        fit(dataclasses.replace(training, loss=loss))
    state = load_state(tmp_path / "state.pt")
    assert 5 * state["epoch"] + state["step"] == step
    assert all(weights.isfinite().all() for weights in state["network"].values())


def test_states_within_an_epoch_come_at_the_first_move_after_they_are_due(tmp_path):
    saved = []
    training = job(tmp_path, batch_size=8, accumulate=4, epochs=1, checkpoint_every_steps=3)
    from tinyrefinery.training import state

    original = state.save_state
    try:
        state.save_state = lambda path, facts: saved.append((facts["epoch"], facts["step"]))
        fit(training)
    finally:
        state.save_state = original
    assert saved == [(0, 4), (0, 8), (1, 0)]  # 10 steps; moves after 4, 8 and 10


def test_another_number_of_threads_is_told_on_resuming(tmp_path, caplog):
    fit(job(tmp_path, epochs=1))
    state = load_state(tmp_path / "state.pt")
    save_state(tmp_path / "state.pt", state | {"threads": state["threads"] + 1})
    fit(job(tmp_path))
    before, now = state["threads"] + 1, state["threads"]
    assert f"trained with {before} CPU threads until here, and resumes with {now}" in caplog.text
