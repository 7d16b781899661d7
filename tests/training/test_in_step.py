"""Trainings in step: each ends as it would alone, and what they share is made once."""

import dataclasses

import pytest
import torch

from tests.labels.policies import refined_labels
from tests.training.test_loop import ROWS, VIEW, assert_equal, job, small_network, weights
from tinyrefinery.data.batches import load, shuffled, split_batches
from tinyrefinery.errors import ChainError
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.training import in_step
from tinyrefinery.training.in_step import SharedBatches, SharedLabels
from tinyrefinery.training.loop import fit, fit_in_step


def network(seed):
    torch.manual_seed(seed)
    return small_network()


def refined():
    return refined_labels(Refiner([network(9)]), VIEW, ROWS, bn_group=16)


class Counting:
    def __init__(self, policy):
        self.policy, self.calls = policy, 0

    def __call__(self, batch):
        self.calls += 1
        return self.policy(batch)


def together(folder, policy, batches, seeds=(1, 2, 3), **settings):
    return [
        dataclasses.replace(
            job(folder / str(seed), network(seed), **settings), policy=policy, load=batches
        )
        for seed in seeds
    ]


def test_each_ends_as_it_would_alone(tmp_path):
    alone = [weights(fit(each)[0]) for each in together(tmp_path / "alone", refined(), load)]
    shared = together(tmp_path / "shared", SharedLabels(refined()), SharedBatches())
    for (trained, history), expected in zip(fit_in_step(shared), alone, strict=True):
        assert_equal(weights(trained), expected)
        assert len(history) == 3


def test_crops_and_labels_are_made_once(tmp_path, monkeypatch):
    rendered = []

    def counted(view, batches, epoch, *, workers=0):
        for batch in load(view, batches, epoch, workers=workers):
            rendered.append(batch.epoch)
            yield batch

    monkeypatch.setattr(in_step, "load", counted)
    policy = Counting(refined())
    fit_in_step(together(tmp_path, SharedLabels(policy), SharedBatches()))
    assert policy.calls == 3 * 5  # epochs x steps, whatever the number of networks
    assert rendered == [0] * 5 + [1] * 5 + [2] * 5


def test_one_that_lags_behind_catches_up_alone_and_ends_the_same(tmp_path):
    expected = [weights(fit(each)[0]) for each in together(tmp_path / "alone", refined(), load)]
    folder = tmp_path / "resumed"
    for each, epochs in zip(together(folder, refined(), load), (1, 2, 0), strict=True):
        stop = StopHereError(after=epochs * 5 + 1)
        with pytest.raises(StopHereError):
            fit(dataclasses.replace(each, policy=lambda b, s=stop, p=each.policy: s.check(p(b))))
    policy = Counting(refined())
    shared = together(folder, SharedLabels(policy), SharedBatches())
    for (trained, _), weights_alone in zip(fit_in_step(shared), expected, strict=True):
        assert_equal(weights(trained), weights_alone)
    # The one at epoch 0 goes alone for one epoch, with the next for another, then all together.
    assert policy.calls == 3 * 5


def test_one_that_diverges_does_not_keep_the_others_from_ending(tmp_path):
    alone = weights(fit(together(tmp_path / "alone", refined(), load)[0])[0])
    shared = together(tmp_path / "shared", SharedLabels(refined()), SharedBatches())
    rate = torch.optim.SGD(shared[1].network.parameters(), lr=1e30)
    shared[1] = dataclasses.replace(shared[1], optimizer=rate)
    first, second, third = fit_in_step(shared)
    assert isinstance(second, ChainError)
    assert_equal(weights(first[0]), alone)
    assert len(third[1]) == 3


class StopHereError(Exception):
    def __init__(self, after):
        super().__init__("stop")
        self.left = after

    def check(self, targets):
        self.left -= 1
        if self.left < 0:
            raise self
        return targets


def test_batches_are_the_loaders_own(tmp_path):
    order = split_batches(shuffled(ROWS, 0, 4), 16, drop_last=True)
    shared = SharedBatches()
    first, second = shared(VIEW, order, 4), shared(VIEW, order, 4)
    for expected in load(VIEW, order, 4):
        one, two = next(first), next(second)
        assert one is two
        assert torch.equal(one.images, expected.images)
