"""Training dynamics against a slow replay in NumPy, float64; resume; several processes."""

import dataclasses
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from tests.labels.policies import refined_labels
from tests.losses.named import create as create_loss
from tests.training.test_loop import (
    ROWS,
    VIEW,
    Killed,
    assert_equal,
    job,
    small_network,
    weights,
)
from tinyrefinery.errors import CheckpointError
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.training import dynamics as module
from tinyrefinery.training import target_dynamics
from tinyrefinery.training.dynamics import Dynamics, label_agreement
from tinyrefinery.training.loop import fit

GIVEN = ("visits", "aum", "correct", "forgetting", "learned")


def replay(rows, steps):
    """The measures by their definitions, one visit after the other; `steps` as for `update`."""
    visits = {row: [] for row in rows}
    for step_rows, logits, labels, targets, epoch in steps:
        for i, row in enumerate(step_rows):
            logit, label = np.asarray(logits[i], np.float64), int(labels[i])
            margin = logit[label] - np.delete(logit, label).max()
            visits[row].append((margin, label, np.asarray(targets[i], np.float64), epoch))
    found = {name: [] for name in (*GIVEN, "given_probability", "disagreement", "mean")}
    for row in rows:
        seen = visits[row]
        right = [margin > 0 for margin, *_ in seen]
        hit_epochs = [epoch + 1 for (*_, epoch), ok in zip(seen, right, strict=True) if ok]
        found["visits"].append(len(seen))
        found["aum"].append(np.mean([v[0] for v in seen]) if seen else np.nan)
        found["correct"].append(np.mean(right) if seen else np.nan)
        found["forgetting"].append(sum(a and not b for a, b in itertools.pairwise(right)))
        found["learned"].append(min(hit_epochs, default=-1))
        found["given_probability"].append(np.mean([t[k] for _, k, t, _ in seen] or [np.nan]))
        found["disagreement"].append(np.mean([t.argmax() != k for _, k, t, _ in seen] or [np.nan]))
        found["mean"].append(np.mean([t for _, _, t, _ in seen], 0) if seen else None)
    return {k: v if k == "mean" else np.array(v) for k, v in found.items()}


def drawn_steps(rows, classes, epochs=9, batch=8, seed=0):
    """A training as random numbers: noisy logits near a class that may not be the given one."""
    rng = np.random.default_rng(seed)
    own, given = rng.integers(classes, size=(2, rows.max() + 1))
    for epoch in range(epochs):
        order = rng.permutation(rows)
        for i in range(0, len(order) - batch + 1, batch):  # drops the last ones, as the loop does
            at = order[i : i + batch]
            logits = rng.normal(size=(batch, classes)) * 2
            logits[np.arange(batch), own[at]] += epoch / 3
            targets = rng.gamma(0.5, size=(batch, classes))
            targets[np.arange(batch), own[at]] += 1.5
            targets = torch.from_numpy(targets / targets.sum(1, keepdims=True)).float()
            yield at, torch.from_numpy(logits).float(), torch.from_numpy(given[at]), targets, epoch


def recorded(rows, classes, steps, **options):
    dynamics = Dynamics(rows, classes, **options)
    for step in steps:
        dynamics.update(*step)
    return dynamics


def assert_same(ours, theirs, names):
    for name in names:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-6, atol=2e-6, err_msg=name)


def test_agreement_of_labels_counts_crops():
    steps = list(drawn_steps(np.arange(20), 5))
    measured = recorded(np.arange(20), 5, steps, refined=True).measures()
    given = np.full(20, -1)
    agree = []
    for at, _, labels, targets, _ in steps:
        given[at] = labels
        agree += (targets.argmax(1) == labels).tolist()
    assert label_agreement(measured, given) == pytest.approx(np.mean(agree), abs=1e-6)
    # Pictures without a given class do not count.
    given[:5] = -1
    rows = np.concatenate([step[0] for step in steps])
    kept = np.array(agree)[rows >= 5]
    assert label_agreement(measured, given) == pytest.approx(np.mean(kept), abs=1e-6)
    assert label_agreement(measured, np.full(20, -1)) is None
    plain = recorded(np.arange(20), 5, steps).measures()
    assert label_agreement(plain, given) is None


ODD_ROWS = np.array([3, 40, 7, 8, 9, 11, 2, 30, 31, 33, 5, 6, 21, 22, 23, 24, 25, 26, 60, 61, 62])


@pytest.mark.parametrize("at_once", [1, 3, 32])
def test_every_measure_equals_a_replay(at_once, monkeypatch):
    monkeypatch.setattr(module, "STEPS_AT_ONCE", at_once)
    steps = list(drawn_steps(ODD_ROWS, 5))
    wanted = replay(ODD_ROWS, steps)
    ours = recorded(ODD_ROWS, 5, steps, refined=True).measures()
    assert_same(ours, wanted, (*GIVEN, "given_probability", "disagreement"))
    means = np.array(wanted["mean"])
    assert (ours["refined_class"] == means.argmax(1)).all()
    np.testing.assert_allclose(ours["refined_probability"], means.max(1), rtol=2e-6)
    assert wanted["forgetting"].max() > 0
    assert len(set(wanted["visits"])) > 1
    plain = recorded(ODD_ROWS, 5, steps).measures()
    assert set(plain) == set(GIVEN)
    assert_same(plain, wanted, GIVEN)


def test_few_values_at_once_change_no_bit(monkeypatch):
    steps = list(drawn_steps(ODD_ROWS, 5))
    one = recorded(ODD_ROWS, 5, steps, refined=True).state()
    monkeypatch.setattr(module, "VALUES_AT_ONCE", 1)
    assert_equal(recorded(ODD_ROWS, 5, steps, refined=True).state(), one)


def test_half_precision_logits_are_compared_in_full():
    steps = list(drawn_steps(ODD_ROWS, 5))
    half = [(rows, logits.bfloat16(), *rest) for rows, logits, *rest in steps]
    wide = [(rows, logits.float(), *rest) for rows, logits, *rest in half]
    assert_same(recorded(ODD_ROWS, 5, half).measures(), replay(ODD_ROWS, wide), GIVEN)


def test_a_tie_is_wrong_and_a_sample_never_seen_has_no_share():
    rows, labels = np.array([0, 1]), torch.tensor([1])
    dynamics = Dynamics(rows, 2, refined=True)
    dynamics.update(rows[:1], torch.ones(1, 2), labels, torch.tensor([[0.2, 0.8]]), 0)
    found = dynamics.measures()
    assert found["correct"][0] == 0
    assert found["learned"].tolist() == [-1, -1]
    for name in ("aum", "correct", "given_probability", "disagreement", "refined_probability"):
        assert np.isnan(found[name]).tolist() == [False, True], name


def test_a_vote_finds_every_majority_and_bounds_its_probability(monkeypatch):
    monkeypatch.setattr(target_dynamics, "MEAN_LIMIT", 0)
    rows = np.arange(400)
    steps = list(drawn_steps(rows, 6, epochs=7, seed=3))
    ours = recorded(rows, 6, steps, refined=True).measures()
    tops = [[] for _ in rows]
    for step_rows, _, _, targets, _ in steps:
        for row, target in zip(step_rows, targets.numpy(), strict=True):
            tops[row].append(int(target.argmax()))
    counts = np.array([np.bincount(each, minlength=6) for each in tops])
    sure = counts.max(1) > counts.sum(1) / 2
    assert 50 < sure.sum() < 400
    assert (ours["refined_class"] == counts.argmax(1))[sure].all()
    means = np.array(replay(rows, steps)["mean"])
    mean = means[rows, ours["refined_class"]]
    assert (ours["refined_probability"] <= mean + 1e-6).all()
    whole = counts.max(1) == counts.sum(1)  # the candidate throughout
    assert whole.any()
    np.testing.assert_allclose(ours["refined_probability"][whole], mean[whole], rtol=2e-6)


def refined_job(folder, dynamics=None, labels=True, **settings):
    training = job(folder, small_network(dropout=0.3), **settings)
    if labels:
        policy = refined_labels(Refiner([small_network()]), VIEW, ROWS, bn_group=16)
        training = dataclasses.replace(training, policy=policy)
    return dataclasses.replace(training, dynamics=dynamics)


@pytest.mark.parametrize("refined", [False, True])
def test_weights_are_the_same_with_and_without(tmp_path, refined):
    dynamics = Dynamics(ROWS, 3, refined=refined)
    ours, _ = fit(refined_job(tmp_path / "with", dynamics, refined, workers=2))
    theirs, _ = fit(refined_job(tmp_path / "without", None, refined, workers=2))
    assert_equal(weights(ours), weights(theirs))
    assert (dynamics.measures()["visits"] == 3).all()


def test_the_loop_hands_over_what_the_loss_sees(tmp_path):
    seen, batches = [], []
    training = refined_job(tmp_path, Dynamics(ROWS, 3, refined=True), epochs=6)
    policy = training.policy

    def label(batch):
        batches.append(batch)
        return policy(batch)

    def loss(logits, targets, features=None):
        batch = batches[-1]
        seen.append((batch.rows, logits.detach().numpy(), batch.labels, targets, batch.epoch))
        return create_loss("cross_entropy")(logits, targets, features)

    fit(dataclasses.replace(training, policy=label, loss=loss))
    wanted, ours = replay(ROWS, seen), training.dynamics.measures()
    assert_same(ours, wanted, (*GIVEN, "given_probability", "disagreement"))
    assert (ours["refined_class"] == np.array(wanted["mean"]).argmax(1)).all()


@pytest.mark.parametrize("every", [None, 2])
@pytest.mark.parametrize("refined", [False, True])
def test_resume_leaves_no_trace(tmp_path, every, refined):
    def whole(folder, **options):
        dynamics = Dynamics(ROWS, 3, refined=refined)
        options |= {"checkpoint_every_steps": every, "epochs": 5}
        fit(refined_job(folder, dynamics, refined, **options))
        return dynamics.state()

    calls = []

    def die(network):
        calls.append(1)
        if len(calls) == 4:
            raise Killed
        return {"validation_top1": 0.5}

    undisturbed = whole(tmp_path / "whole")
    with pytest.raises(Killed):
        whole(tmp_path / "cut", validate=die)
    assert_equal(whole(tmp_path / "cut"), undisturbed)
    assert_equal(whole(tmp_path / "cut"), undisturbed)  # of a training that is finished


@pytest.mark.parametrize("first", [None, Dynamics(ROWS[:-1], 3)], ids=["none", "other samples"])
def test_a_state_with_other_dynamics_is_named(tmp_path, first):
    rows = ROWS if first is None else first.rows
    fit(dataclasses.replace(job(tmp_path, epochs=1), dynamics=first, rows=rows))
    with pytest.raises(CheckpointError, match=r"state\.pt: .*Delete state\.pt"):
        fit(dataclasses.replace(job(tmp_path), dynamics=Dynamics(ROWS, 3)))


class ThreadFabric:
    """Stands for one of several processes; each is a thread here."""

    def __init__(self, size):
        self.world_size, self.parts = size, {}
        self.barrier = threading.Barrier(size, timeout=20)

    def all_reduce(self, values, reduce_op):
        assert reduce_op == "sum"
        self.parts[threading.get_ident()] = values
        self.barrier.wait()
        total = sum(self.parts[key] for key in sorted(self.parts))
        self.barrier.wait()
        return total


@pytest.mark.parametrize("vote", [False, True])
def test_processes_share_what_they_have_seen(monkeypatch, vote):
    if vote:
        monkeypatch.setattr(target_dynamics, "MEAN_LIMIT", 0)
    steps = list(drawn_steps(ODD_ROWS, 5))
    alone = recorded(ODD_ROWS, 5, steps, refined=True).state()
    fabric = ThreadFabric(2)

    def process(rank):
        dynamics, state = Dynamics(ODD_ROWS, 5, refined=True), None
        for number, (rows, *tensors, epoch) in enumerate(steps):
            mine = [each[rank::2] for each in tensors]
            dynamics.update(rows[rank::2], *mine, epoch)
            if number % 3 == 2 or epoch != steps[min(number + 1, len(steps) - 1)][-1]:
                dynamics.share(fabric)  # as a saved state within an epoch, and at its end
            if number == len(steps) // 2 and state is None:
                dynamics.share(fabric)
                state = dynamics.state()
                dynamics = Dynamics(ODD_ROWS, 5, refined=True)
                dynamics.restore(state)
        dynamics.share(fabric)
        return dynamics.state()

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(process, range(2)):
            assert_equal(found, alone)
