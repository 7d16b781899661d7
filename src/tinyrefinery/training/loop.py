"""The one training loop.

What differs between experiments is passed in: label policy, loss, schedule. Devices, precision and
processes come from Lightning Fabric. Every random choice is a function of (seed, epoch, step), so a
resumed run needs the weights, the optimizer and two numbers, nothing else.
"""

import time
from collections.abc import Generator, Iterable, Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tinyrefinery.data.batches import Batch, shuffled, split_batches
from tinyrefinery.data.device import to_device
from tinyrefinery.errors import ChainError
from tinyrefinery.layers.constraints import constrain, penalties
from tinyrefinery.layers.synced_norm import synchronized
from tinyrefinery.losses.targets import SparseTargets, Targets
from tinyrefinery.random import integer
from tinyrefinery.training.dynamics import Dynamics
from tinyrefinery.training.feature_hints import FeatureHints
from tinyrefinery.training.job import Training
from tinyrefinery.training.learning_rates import PlateauSchedule
from tinyrefinery.training.logs import Record, write_tensorboard
from tinyrefinery.training.memory import keep_freed_memory
from tinyrefinery.training.state import Progress, SavedState, bare, is_due, is_finite
from tinyrefinery.training.training_progress import TrainingProgress


class Learner(nn.Module):
    """A network whose forward pass also returns the feature map, where the loss needs it.

    With hints, it also returns how far its features are from the refiner's. The projection of hints
    is a part of it, so that several processes agree on its gradients.
    """

    def __init__(
        self, network: nn.Module, *, with_features: bool, hints: FeatureHints | None = None
    ) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network, self.hints = network, hints
        self.with_features = with_features or hints is not None

    def forward(
        self, images: Tensor, maps: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Logits (B, K), the last feature map (B, C, h, w), and the term of hints, a scalar.

        Args:
            images: normalized crops, (B, c, H, W).
            maps: the refiner's feature maps of these crops, for hints.
        """
        if not self.with_features:
            return self.network(images), None, None
        features = self.network.forward_features(images)  # type: ignore[operator]
        logits = self.network.forward_head(features)  # type: ignore[operator]
        if self.hints is None or maps is None:
            return logits, features, None
        return logits, features, self.hints(features, maps)


Position = tuple[int, int]
"""Epoch, and steps done in it."""
Trained = tuple[nn.Module, list[Record]]
"""The network after the last epoch (or its moving average), and a record per epoch."""


def fit(job: Training) -> Trained:
    """Train `job.network`, resuming from `state.pt` in its folder if there is one.

    Raises:
        ChainError: when the loss or a weight is no longer a finite number.
        CheckpointError: when the saved state is unreadable or of another network.
    """
    (trained,) = fit_in_step([job])
    if isinstance(trained, ChainError):
        raise trained
    return trained


def fit_in_step(jobs: Sequence[Training]) -> list[Trained | ChainError]:
    """Train several networks, one step of each in turn; see `fit`.

    What they have in common, crops and labels, can then be made once for all (`training.in_step`).
    Each resumes from its own state and ends as it would alone. Those that lag behind after an
    interruption catch up first, and one that diverges doesn't keep the others from ending.
    """
    steps = {number: _steps(job) for number, job in enumerate(jobs)}
    ends: dict[int, Trained | ChainError] = {}
    positions: dict[int, Position] = {}
    while steps:
        # Only those that are furthest behind move, so that all reach a step before any passes it.
        last = min(positions.get(number, (0, 0)) for number in steps)
        for number in [n for n in steps if positions.get(n, (0, 0)) == last]:
            try:
                positions[number] = next(steps[number])
            except StopIteration as end:
                ends[number] = end.value
            except ChainError as error:
                ends[number] = error
            if number in ends:
                del steps[number]
    return [ends[number] for number in range(len(jobs))]


def _steps(job: Training) -> Generator[Position, None, Trained]:
    """The training, a step at a time; yields its position before the first step and after each."""
    fabric = job.fabric
    keep_freed_memory()
    learner, stepper = fabric.setup(_learner(job), job.optimizer)
    # A copy of the network where it is now, which is on the device.
    average = average_of(job.network, job.options.ema) if job.options.ema else None
    # Batch statistics are those of the whole batch, however many processes share it.
    with synchronized(job.network):
        return (yield from _train(job, learner, stepper, average))


def _train(
    job: Training,
    learner: _FabricModule,
    stepper: torch.optim.Optimizer,
    average: AveragedModel | None,
) -> Generator[Position, None, Trained]:
    """The steps, by a learner and an optimizer that Fabric has set up."""
    options, fabric = job.options, job.fabric
    final = average.module if average is not None else job.network
    base_rates = [group["lr"] for group in job.optimizer.param_groups]
    saved = SavedState(job, average)
    now = saved.resume()
    progress = _progress(job)
    yield now.epoch, now.step
    while not _is_over(job, now.epoch):
        began, saved.step = time.perf_counter(), now.step
        batches = _batches(job, now.epoch)
        _to_train(learner, job.frozen)
        # A resumed epoch has the same batches as an undisturbed one, less those already done.
        for batch in _load(job, now, batches):
            _seed(integer(job.seed, "noise", now.epoch, now.step, fabric.global_rank), fabric)
            _set_rates(job, base_rates, now.epoch + now.step / len(batches))
            window, is_last = _window(now.step, options.accumulate, len(batches))
            # Gradients of accumulated steps stay on each device until the optimizer moves.
            with fabric.no_backward_sync(learner, enabled=not is_last):
                now.sums += _learn(learner, batch, job, share=1 / window).to(now.sums)
            if is_last:
                _move(job, learner, stepper)
                if average is not None:
                    average.update_parameters(job.network)
            now.step += 1
            progress.advance(now.epoch, now.step, len(batches))
            # Gradients aren't saved, so a checkpoint has to be written at the end of a window.
            if is_last and now.step < len(batches) and saved.is_due(now.step):
                saved.write(now)
            paused = time.perf_counter()
            yield now.epoch, now.step
            began += (
                time.perf_counter() - paused
            )  # the others' steps don't count as this one's time
        now = _close_epoch(job, now, final, time.perf_counter() - began, len(batches))
        progress.close_epoch(now.history[-1])
        if _is_over(job, now.epoch) or is_due(now.epoch, job.engine.checkpoint_every_epochs):
            saved.write(now)
    progress.close(now.history[-1] if now.history else None)
    if job.stop is not None:
        job.stop.restore(bare(final))
    return final, now.history


def _learner(job: Training) -> Learner:
    wants = getattr(getattr(job.loss, "func", job.loss), "needs_features", False)
    hints = job.hints.module if job.hints is not None else None
    return Learner(job.network, with_features=wants, hints=hints)


def _batches(job: Training, epoch: int) -> list[np.ndarray]:
    """Manifest rows of each of the epoch's batches, (B,), over all processes."""
    seed = job.view.seed if job.order_seed is None else job.order_seed
    order = shuffled(job.rows, seed, epoch)
    return split_batches(order, job.options.batch_size, drop_last=True)


def _progress(job: Training) -> TrainingProgress:
    size = job.options.batch_size
    # The last batch is left out where it is short and not the only one.
    images = len(job.rows) // size * size or len(job.rows)
    return TrainingProgress(job.title, job.options.epochs, images, shown=job.fabric.is_global_zero)


def _to_train(learner: nn.Module, frozen: Iterable[nn.Module]) -> None:
    """Training mode for all but what is frozen."""
    learner.train()
    for module in frozen:
        module.eval()


def _load(job: Training, now: Progress, batches: list[np.ndarray]) -> Iterable[Batch]:
    """This process's share of the epoch's batches still to come."""
    fabric = job.fabric
    # (B,) rows of a batch -> (B / processes,), every n-th of them
    shares = [rows[fabric.global_rank :: fabric.world_size] for rows in batches[now.step :]]
    now.sums = now.sums.to(fabric.device, torch.float32 if fabric.device.type == "mps" else None)
    return job.load(job.view, shares, now.epoch, workers=job.workers)


def _set_rates(job: Training, base_rates: Sequence[float], epoch: float) -> None:
    """Give each group of weights its learning rate at a (fractional) epoch."""
    for group, rate in zip(job.optimizer.param_groups, base_rates, strict=True):
        group["lr"] = rate * job.schedule(epoch)


def _window(step: int, accumulate: int, steps: int) -> tuple[int, bool]:
    """Steps whose gradients are added up with this one's, and whether it is the last of them.

    The last window of an epoch may be shorter, so its gradients are the mean over fewer steps.
    """
    first = step - step % accumulate
    window = min(accumulate, steps - first)
    return window, step + 1 == first + window


def _learn(learner: nn.Module, batch: Batch, job: Training, *, share: float) -> Tensor:
    """Label the batch, go forward and backward; loss sum, hits and crops, (3,) on the device.

    The loss is the mean over natural and jittered crops; all other figures are of natural ones.
    """
    maps: Tensor | None = None
    if job.hints is None:
        targets = job.policy(batch)  # (B, K)
    else:
        targets, maps = job.hints.label(batch)  # (B, K), (B, C, h, w)
    images = batch.images
    if job.engine.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    inputs, goals = images, targets
    if job.jitter is not None:
        with job.fabric.autocast():
            # (B, ...) -> (B + J, ...), natural crops first
            inputs, goals = job.jitter(images, targets, job.network, batch.at)
    logits, features, hint = learner(inputs, maps)
    value = job.loss(logits, goals, features)
    if hint is not None:
        value = value + hint
    if (more := penalties(job.network)) is not None:
        value = value + more
    job.fabric.backward(value * share)
    natural = logits.detach()[: len(batch.labels)]  # (B + J, K) -> (B, K)
    labels = batch.labels
    if job.labelled is not None:
        labels = _labels_or_top_classes(labels, targets)
    if job.dynamics is not None:
        _record_dynamics(job.dynamics, job.labelled, batch, natural, targets)
    hits = job.hits(natural, targets, labels)
    crops = torch.full_like(hits, len(batch.labels))
    return torch.stack([value.detach() * len(batch.labels), hits, crops])


def _labels_or_top_classes(labels: Tensor, targets: Targets) -> Tensor:
    """Given classes (B,); of pictures without one, the most likely class of their target."""
    if isinstance(targets, SparseTargets):
        place = targets.probability.argmax(dim=1, keepdim=True)
        top = targets.index.gather(1, place)[:, 0]
    else:
        top = targets.argmax(dim=1)
    return torch.where(labels >= 0, labels, top)


def _record_dynamics(
    dynamics: Dynamics,
    labelled: np.ndarray | None,
    batch: Batch,
    logits: Tensor,
    targets: Targets,
) -> None:
    """Record a step, of the crops that have a given label."""
    if labelled is None:
        dynamics.update(batch.rows, logits, batch.labels, targets, batch.epoch)
        return
    places = np.flatnonzero(labelled[batch.rows])
    if len(places):
        chosen = to_device(places, logits.device)
        part = (
            SparseTargets(targets.index[chosen], targets.probability[chosen], targets.classes)
            if isinstance(targets, SparseTargets)
            else targets[chosen]
        )
        rows, labels = batch.rows[places], batch.labels[chosen]
        dynamics.update(rows, logits[chosen], labels, part, batch.epoch)


def _move(job: Training, learner: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One step of the optimizer along the gradients added up so far."""
    limit = job.options.clip_norm
    if limit is not None:
        # A gradient that is not finite shows in the loss, whose error has the remedy.
        job.fabric.clip_gradients(learner, optimizer, max_norm=limit, error_if_nonfinite=False)
    optimizer.step()
    constrain(job.network)
    optimizer.zero_grad()


def _close_epoch(
    job: Training, now: Progress, final: nn.Module, seconds: float, steps: int
) -> Progress:
    """Sum the epoch up, evaluate when it is time, and turn to the next epoch.

    Raises:
        ChainError: when the loss or a weight is no longer a finite number.
    """
    total = job.fabric.all_reduce(now.sums, reduce_op="sum")  # (3,), over all processes
    assert isinstance(total, Tensor)
    if job.dynamics is not None:
        job.dynamics.share(job.fabric)
    loss, hits, crops = total.tolist()
    epoch = now.epoch + 1
    record: Record = {
        "epoch": epoch,
        "step": epoch * steps,
        "lr": job.optimizer.param_groups[0]["lr"],
        "train_loss": loss / crops,
        "train_top1": hits / crops,
        "seconds": seconds,
    }
    if not (np.isfinite(loss) and is_finite(job.network)):
        what = "weights are no numbers" if np.isfinite(loss) else f"training loss is {loss}"
        raise ChainError(
            f"{job.title}: the {what} in epoch {epoch}. Lower optimizer.lr, or set "
            "schedule.warmup or clip_norm; the last state with sound weights is kept."
        )
    if epoch == job.options.epochs or is_due(epoch, job.options.evaluate_every):
        record |= _evaluate(job, record, final)
    if job.engine.tensorboard and job.fabric.is_global_zero:
        write_tensorboard(job.folder, record)
    return Progress(epoch, history=[*now.history, record])


def _evaluate(job: Training, record: Record, final: nn.Module) -> Record:
    """The epoch's record with its validation figures, which the schedule and early stopping get."""
    # By one process: rounding may differ between machines, and so would rates.
    figures = job.validate(final) if job.fabric.is_global_zero else {}
    record = record | job.fabric.broadcast(figures)
    if isinstance(job.schedule, PlateauSchedule):
        job.schedule.observe(record)
    if job.stop is not None:
        job.stop.observe(record, bare(final))
    return record


def _seed(seed: int, fabric: Fabric) -> None:
    """Seed the generators in use; torch.manual_seed costs half a millisecond for all others."""
    torch.default_generator.manual_seed(seed)
    if fabric.device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif fabric.device.type == "mps":
        torch.mps.manual_seed(seed)


def _is_over(job: Training, epoch: int) -> bool:
    return epoch >= job.options.epochs or (job.stop is not None and job.stop.is_over)


def average_of(network: nn.Module, decay: float) -> AveragedModel:
    """A copy that follows `network`: average = decay * average + (1 - decay) * weights a step."""
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
