"""Export a network: convert it, check it on real images, write it with its record and vectors."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tinyrefinery.data.batches import evenly_spaced
from tinyrefinery.deploy.costs.packed_costs import packed_file_cost
from tinyrefinery.deploy.export import export_options
from tinyrefinery.deploy.export.artifact_facts import INSIDE, KeptLayers, artifact_facts, has_signs
from tinyrefinery.deploy.export.candidate import Candidate, better
from tinyrefinery.deploy.export.export_options import LIMITED, TARGETS, ExportOptions
from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.exported import Exported
from tinyrefinery.deploy.export.onnx_graph import export_graph
from tinyrefinery.deploy.export.parity import MOST_WITH_SIGNS, compare, divergence
from tinyrefinery.deploy.export.sample_images import Sample, Samples, draw_samples
from tinyrefinery.deploy.export.side_files import VECTORS, Vectors, failed_file, write_artifact
from tinyrefinery.deploy.export.verification import open_artifact, predict_artifact
from tinyrefinery.deploy.integer.integer_lowering import plan_network
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.device.ethos import cycles_excess
from tinyrefinery.device.excess import excesses
from tinyrefinery.device.file_form import forms_of
from tinyrefinery.device.host_latency import host_latency
from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic
from tinyrefinery.networks.network import Network
from tinyrefinery.options.budget import Budget

if TYPE_CHECKING:
    from tinyrefinery.deploy.export.layer_effects import LayerEffect

TUNED = "fine-tuned"
"""In the name of the run folder of a fine-tuned network."""
MIXED = "mixed"
FLOAT_TOLERANCE, LEAST_INT8_TOLERANCE = 1e-4, 1e-3
"""Of test vectors, in probability. Runtimes order sums differently."""
_AT_ONCE = 64
"""Images that the network predicts at a time. In floating point, all of them take gigabytes."""


def export_network(
    network: Network,
    options: ExportOptions,
    overrides: Sequence[str] = (),
    *,
    say: Callable[[str], object] = lambda text: None,
) -> list[Exported]:
    """Export a network to every target, and check each artifact in its own runtime.

    Args:
        network: from `open_network`.
        options: targets and settings.
        overrides: images to calibrate and check on, if not those of the network's run.
        say: called with progress messages.

    Returns:
        One entry per target. An artifact that predicts something else is not written; its record
        is, as `FILE.failed.json`.

    Raises:
        RefineryError: if the network can't be exported, or a file can't be written.
    """
    options = export_options.with_precision(options)
    export_options.check_export(network, options)
    samples = draw_samples(network, overrides, calibrate=options.calibrate)
    if options.int8 and samples.calibration is None:
        raise DataError(
            f"{network.name}: int8 is calibrated on real images, but no run or data is named. Name "
            "images, e.g. data.source.root=photos/"
        )
    info = network.info
    module = Exportable(
        network.load(), info.mean, info.std, normalize=options.preprocessing == INSIDE
    )
    work = _Work(network, options, samples, module)
    with TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.onnx"
        say(f"exporting {network.name}")
        _write_graphs(network, module, options, graph)
        kinds = dict.fromkeys("litert" if each == "c" else each for each in options.targets)
        made = {kind: work.export(kind, graph, Path(folder), say) for kind in kinds}
        return [
            work.export_c(made["litert"], say) if target == "c" else made[target]
            for target in options.targets
        ]


def _write_graphs(
    network: Network, module: Exportable, options: ExportOptions, graph: Path
) -> None:
    """Write the ONNX graph of a network, and beside it the program of torch for ExecuTorch."""
    info = network.info
    if set(options.targets) - {"executorch", "packed"} or options.explain:
        export_graph(module, info.size, info.channels, network.name, graph)
    if "executorch" in options.targets:
        from tinyrefinery.deploy.export.executorch_conversion import export_program, program_file

        pixels, program = options.preprocessing == INSIDE, program_file(graph)
        export_program(module, info.size, info.channels, network.name, program, pixels=pixels)


@dataclass(frozen=True)
class _Work:
    """One network on its way to several targets."""

    network: Network
    options: ExportOptions
    samples: Samples
    module: Exportable

    def export(
        self, target: str, graph: Path, folder: Path, say: Callable[[str], object]
    ) -> Exported:
        """Make, check and write the artifact of one target."""
        best, rejected = self._candidate(target, self.network, graph, folder, say), []
        if self.options.fine_tune and best.parity.verdict != "PASS":
            network, tuned = self.tuned(folder, say)
            other = self._candidate(target, network, tuned, folder / TUNED, say)
            best = better(best, other, "--fine-tune", rejected)
        ways = {"int16": "--keep-16bit", "floats": "--keep-float"}
        counts = {"int16": self.options.keep_16bit, "floats": self.options.keep_float}
        for kind, count in counts.items():
            if count and best.parity.verdict != "PASS":
                from tinyrefinery.deploy.export.float_layers import layers_that_lose_most

                layers = layers_that_lose_most(self._effects(best, say), count)
                kept, place = KeptLayers(**{kind: layers}), folder / f"{MIXED}-{kind}"
                other = self._candidate(target, best.network, best.graph, place, say, kept)
                best = better(best, other, ways[kind], rejected)
        exported = replace(self._write(target, best, say), rejected=tuple(rejected))
        if self.options.explain and self.samples.calibration is not None:
            return replace(exported, layers=self._layers(exported.path, best, say))
        return exported

    def export_c(self, artifact: Exported, say: Callable[[str], object]) -> Exported:
        """Write the C sources of the LiteRT artifact; if that was refused, it is the result."""
        if not artifact.written:
            return artifact
        from tinyrefinery.deploy.export.c_export import Expected, export_c

        check = self.samples.check
        say(f"writing C and checking its integers on {check.where}")
        expected = Expected(self.expected, check.labels, check.where, self.options.max_drop)
        inputs = self._inputs("litert", artifact.path)
        made = export_c(artifact.path, artifact.record, inputs, expected)
        return Exported(made.path, made.record, made.parity)

    def _candidate(
        self,
        target: str,
        network: Network,
        graph: Path,
        folder: Path,
        say: Callable[[str], object],
        kept: KeptLayers = KeptLayers(),  # noqa: B008  it is frozen
    ) -> Candidate:
        """The artifact of one graph with the calibration that loses least, and its check."""
        say(f"converting to {target}{' int8' if self.options.int8 else ''}")
        folder.mkdir(exist_ok=True)
        made = self._made(target, network, graph, folder, kept, say)
        say(f"checking on {self.samples.check.where}")
        inputs = self._inputs(target, next(iter(made.values())))
        found = {m: predict_artifact(p, inputs, say).astype(np.float32) for m, p in made.items()}
        losses = {method: divergence(self.expected, p) for method, p in found.items()}
        best = min(losses, key=losses.__getitem__)
        parity = compare(
            self.expected,
            found[best],
            self.samples.check.labels,
            self.samples.check.where,
            max_drop=self.options.max_drop if self.options.int8 else None,
            share=MOST_WITH_SIGNS if has_signs(network, target) else 1.0,
            exact=self._exact,
        )
        drop = 0.0 if parity.drop is None else parity.drop.high
        loss = (drop, losses[best])
        checked = inputs, found[best]
        return Candidate(network, graph, made[best], best, parity, checked, loss, kept)

    def _made(
        self,
        target: str,
        network: Network,
        graph: Path,
        folder: Path,
        kept: KeptLayers,
        say: Callable[[str], object],
    ) -> dict[str, Path]:
        """Files of a target by calibration method; "" for float."""
        pixels = self.options.preprocessing == INSIDE
        if target == "packed":
            from tinyrefinery.deploy.packing.packed_artifact import make_packed

            path, facts = folder / "artifact.packed", self._facts(network, target, "", kept)
            make_packed(network.load(), network.info, facts, path, pixels=pixels)
            return {"": path}
        from tinyrefinery.deploy.export.artifact_files import Files, make  # needs the extra

        images = self.samples.calibration
        files = Files(
            graph=graph,
            folder=folder,
            images=None if images is None or not self.options.int8 else self._taken(images),
            metadata=lambda method: json.dumps(
                self._facts(network, target, method, kept), sort_keys=True
            ),
            pixels=pixels,
            name=network.slug,
            kept=kept,
            budget=self.budget,
            forms=forms_of(self.budget, network.info.mean, network.info.std),
        )
        return make(target, files, say)

    def tuned(self, folder: Path, say: Callable[[str], object]) -> tuple[Network, Path]:
        """The network fine-tuned for int8, and its float graph; made once for all targets."""
        from tinyrefinery.deploy.export.fine_tuning import fine_tune

        epochs = self.options.fine_tune
        say(f"fine-tuning {self.network.name} for int8, epochs: {epochs}")
        name = f"{self.network.slug}.{TUNED}-{epochs}"
        network = fine_tune(self.network, epochs, self.options.out / name)
        graph = folder / TUNED / "graph.onnx"
        if not graph.parent.exists():
            graph.parent.mkdir()
            info, inside = network.info, self.options.preprocessing == INSIDE
            module = Exportable(network.load(), info.mean, info.std, normalize=inside)
            _write_graphs(network, module, self.options, graph)
        return network, graph

    def _layers(
        self, path: Path, best: Candidate, say: Callable[[str], object]
    ) -> tuple["LayerEffect", ...]:
        """What int8 costs each layer; also written beside the artifact."""
        from tinyrefinery.deploy.export.explaining import write_layers

        effects = self._effects(best, say)
        write_layers(path, effects)
        return tuple(effects)

    def _effects(self, best: Candidate, say: Callable[[str], object]) -> list["LayerEffect"]:
        """What int8 costs each layer of a candidate, the most expensive one first."""
        from tinyrefinery.deploy.export.explaining import IMAGES, explain_layers
        from tinyrefinery.deploy.export.layer_effects import EffectImages

        assert self.samples.calibration is not None
        taken, check = self._taken(self.samples.calibration), self.samples.check
        chosen = evenly_spaced(np.arange(len(check.pixels)), IMAGES)
        labels = None if check.labels is None else check.labels[chosen]
        images = EffectImages(self._taken(replace(check, pixels=check.pixels[chosen])), labels)
        pixels = self.options.preprocessing == INSIDE
        return explain_layers(best.graph, taken, images, best.method, pixels=pixels, say=say)

    def _facts(
        self, network: Network, target: str, method: str, kept: KeptLayers
    ) -> dict[str, Any]:
        inside, int8 = self.options.preprocessing, self.options.int8
        facts = artifact_facts(
            network, target=target, preprocessing=inside, int8=int8, method=method or None
        )
        facts |= kept.facts
        if network is self.network:
            return facts
        file = network.file.relative_to(self.options.out).as_posix()
        before = {"from": self.network.name, "digest": self.network.digest, "network": file}
        return facts | {"fine_tuned": before}

    def _taken(self, sample: Sample) -> np.ndarray:
        """What the graph takes for a sample, (n, H, W, C) float32."""
        images = sample.pixels.astype(np.float32)
        if self.options.preprocessing == INSIDE:
            return images
        info = self.network.info
        mean, std = np.asarray(info.mean, np.float32), np.asarray(info.std, np.float32)
        return (images / 255 - mean) / std

    def _inputs(self, target: str, artifact: Path) -> np.ndarray:
        """What the artifact takes for the images of the check, (n, H, W, C)."""
        if self.options.preprocessing == INSIDE:
            return self.samples.check.pixels
        if target == "executorch":  # takes float images, in int8 too
            return self._taken(self.samples.check)
        info, image = self.network.info, open_artifact(artifact).input
        images = self._taken(self.samples.check).transpose(0, 3, 1, 2)  # (n, C, H, W)
        return np.ascontiguousarray(image.encode(images, info.mean, info.std))

    @cached_property
    def budget(self) -> Budget:
        """Of the artifacts that it limits. int8 has the recipe's limits where none is named."""
        budget = self.options.budget
        return budget.over(recipe_budget(self.network)) if self.options.int8 else budget

    @cached_property
    def expected(self) -> np.ndarray:
        """Probabilities (n, K) of the network for the images of the check."""
        return self._probabilities(torch.float32)

    def _probabilities(self, dtype: torch.dtype) -> np.ndarray:
        """The same, computed with numbers of this type."""
        check = self.samples.check
        starts = range(0, len(check.pixels), _AT_ONCE)
        parts = (replace(check, pixels=check.pixels[s : s + _AT_ONCE]) for s in starts)
        module = copy.deepcopy(self.module).to(dtype)
        with torch.inference_mode():
            found = [module(torch.from_numpy(self._taken(part)).to(dtype)) for part in parts]
            return torch.cat(found).numpy()

    def _exact(self) -> np.ndarray | None:
        """The same in float64; None for a network that computes in float32 only."""
        try:
            return self._probabilities(torch.float64)
        except RuntimeError:  # a layer that makes float32 tensors of its own
            return None

    def _write(self, target: str, best: Candidate, say: Callable[[str], object]) -> Exported:
        """Write the artifact, or the record of its failure."""
        precision = ".int8" if self.options.int8 else ""
        path = self.options.out / f"{self.network.slug}{precision}{TARGETS[target]}"
        parity, (inputs, found) = best.parity, best.checked
        facts = self._facts(best.network, target, best.method, best.kept)
        facts["parity"] = parity.as_dict()
        excess: tuple[str, ...] = ()
        if target in LIMITED:
            excess = self._excess(best.made, facts, say)
        if target == "litert" and "c" in self.options.targets:
            plan_network(best.made)  # names an operator that C lacks before anything is written
        if parity.verdict == "FAIL" or excess:
            record = {"file": path.name, "excess": excess, **facts}
            write_atomic(failed_file(path), json.dumps(record, indent=1))
            return Exported(path, facts, parity, excess=excess)
        chosen = np.linspace(0, len(inputs) - 1, min(VECTORS, len(inputs))).astype(int)
        vectors = Vectors(inputs[chosen], found[chosen], self._tolerance(found))
        record = write_artifact(path, best.made.read_bytes(), vectors, facts)
        return Exported(path, record, parity)

    def _excess(
        self, made: Path, facts: dict[str, Any], say: Callable[[str], object]
    ) -> tuple[str, ...]:
        """What of a file is above the budget, for people. Adds its cost to the facts."""
        packed = facts["target"] == "packed"
        budget, cost = self.budget, packed_file_cost(made) if packed else device_cost(made)
        facts["cost"] = asdict(cost)
        ethos, cycles = cycles_excess(made, budget, say)
        if ethos is not None:
            facts["ethos"] = asdict(ethos)
        excess = tuple(map(str, (*excesses(budget, cost), *cycles)))
        if budget.milliseconds is None:
            return excess
        times = host_latency(open_artifact(made, threads=1))
        facts["latency"] = times
        if times["median"] <= budget.milliseconds:
            return excess
        text = f"latency is {times['median']:.3g} ms on this machine, above the budget of"
        return (*excess, f"{text} {budget.milliseconds:g} ms")

    def _tolerance(self, found: np.ndarray) -> float:
        """Of test vectors. For int8: what a step of the logits, of 255, changes at most.

        A logit that is off by two steps changes a probability by at most half of them.
        """
        if not self.options.int8:
            return FLOAT_TOLERANCE
        logits = np.log(np.maximum(found.astype(np.float64), 1e-30))
        return float(max(LEAST_INT8_TOLERANCE, np.ptp(logits) / 255))


def recipe_budget(network: Network) -> Budget | None:
    """The budget of a network's stage in the recipe that it was trained by."""
    stage = network.trained.stage if network.trained else None
    if network.recipe is None or stage not in [each.id for each in network.recipe.generations]:
        return None
    return network.recipe.budget_of(stage)
