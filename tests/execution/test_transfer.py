"""Starting from trained networks: other heads, frozen parts, rates by depth, other recipes."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.recipe_files import TINY, write_tiny
from tests.running import go, stage_folder
from tinyrefinery import builders
from tinyrefinery.errors import CheckpointError, RecipeError
from tinyrefinery.execution.execute import run
from tinyrefinery.models import create
from tinyrefinery.models.network_file import load_network, save_network
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.smoke import smoke
from tinyrefinery.runs.keys import stage_keys
from tinyrefinery.runs.plan import Job
from tinyrefinery.training import state

SECOND = "stages.plain"  # of the run that fine-tunes
SLOW = f"{SECOND}.optimizer.lr=1.0e-12"
TWO_DIGITS = ["data.source.digits=2", "stages.refined=null"]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The file of a network that knows ten classes, trained for two epochs."""
    folder = tmp_path_factory.mktemp("first")
    go(folder, overrides=["stages.refined=null"])
    return stage_folder(folder / "run", "plain") / "model.safetensors"


def moved(network, start) -> set[str]:
    """Names of the tensors that are no longer what they started as."""
    ours, theirs = network.state_dict(), load_network(start)[0].state_dict()
    return {
        name
        for name in ours
        if ours[name].shape != theirs[name].shape or not torch.equal(ours[name], theirs[name])
    }


def test_another_number_of_classes_needs_another_head(first, tmp_path):
    overrides = [*TWO_DIGITS, f"{SECOND}.init_from=file:{first}"]
    message = r"has 10 classes, but dataset 'street-numbers' has 100.*write replace_head: true"
    with pytest.raises(CheckpointError, match=message):
        go(tmp_path, overrides=overrides)
    chain = go(tmp_path, overrides=[*overrides, f"{SECOND}.replace_head=true", SLOW])
    network = chain["plain"].network
    assert network.fc.out_features == 100
    theirs = load_network(first)[0].state_dict()
    for name, tensor in network.named_parameters():
        if not name.startswith("fc."):
            assert (tensor - theirs[name]).abs().max() < 1e-6, name


def test_weights_without_a_header_too(first, tmp_path):
    overrides = [*TWO_DIGITS, f"{SECOND}.model.weights={first}"]
    with pytest.raises(CheckpointError, match=r"10 classes, but 100 are.*replace_head: true"):
        go(tmp_path, overrides=overrides)
    chain = go(tmp_path, overrides=[*overrides, f"{SECOND}.replace_head=true", SLOW])
    assert chain["plain"].network.fc.out_features == 100


def test_other_classes_of_the_same_number_are_refused(first, tmp_path):
    network, info = load_network(first)
    other = json.loads(json.dumps(vars(info))) | {"classes": [f"c{i}" for i in range(10)]}
    save_network(tmp_path / "other.safetensors", network, **other)
    overrides = ["stages.refined=null", f"{SECOND}.init_from=file:{tmp_path}/other.safetensors"]
    with pytest.raises(CheckpointError, match=r"class 0 is 'c0'.*it is '0'.*replace_head: true"):
        go(tmp_path, overrides=overrides)
    go(tmp_path, overrides=[*overrides, f"{SECOND}.replace_head=true"])


def test_a_new_head_is_drawn_by_the_seed(first, tmp_path):
    """Also where the classes are the same; and it is the one that no start would give."""
    common = ["stages.refined=null", SLOW, f"{SECOND}.seed=3"]
    plain = go(tmp_path, "plain", common)["plain"].network
    start = [f"{SECOND}.init_from=file:{first}", f"{SECOND}.replace_head=true"]
    begun = go(tmp_path, "begun", [*common, *start])["plain"].network
    torch.testing.assert_close(begun.fc.weight, plain.fc.weight, atol=1e-6, rtol=0)
    assert (begun.stages[0][0].conv.weight - plain.stages[0][0].conv.weight).abs().max() > 1e-3


@pytest.mark.parametrize("ema", ["null", "0.5"])
def test_what_is_frozen_stays_with_its_statistics(first, tmp_path, ema):
    chain = go(
        tmp_path,
        overrides=[
            "stages.refined=null",
            f"{SECOND}.init_from=file:{first}",
            f"{SECOND}.freeze=[stages.0]",
            f"{SECOND}.ema={ema}",
            f"{SECOND}.optimizer.weight_decay=0.1",
        ],
    )
    network = chain["plain"].network
    assert moved(network, first) == {
        name for name in network.state_dict() if not name.startswith("stages.0.")
    }
    cost = chain["plain"].evaluation["cost"]
    frozen = sum(p.numel() for p in network.stages[0].parameters())
    assert (cost["frozen_parameters"], frozen > 0) == (frozen, True)


def test_an_earlier_stage_can_be_the_start(tmp_path):
    chain = go(
        tmp_path,
        overrides=[
            "stages.refined.init_from=plain",
            "stages.refined.freeze=1",
            "stages.refined.optimizer.layer_decay=0.5",
        ],
    )
    ours, theirs = (chain[name].network.state_dict() for name in ("refined", "plain"))
    same = {name for name in ours if torch.equal(ours[name], theirs[name])}
    assert same == {name for name in ours if name.startswith("stages.0.")}
    assert chain["plain"].evaluation["cost"]["frozen_parameters"] == 0


def test_interrupted_it_goes_on_exactly(first, tmp_path):
    """Groups, frozen statistics and the average come back from the state."""
    overrides = [
        "stages.refined=null",
        f"{SECOND}.init_from=file:{first}",
        f"{SECOND}.freeze=1",
        f"{SECOND}.ema=0.9",
        f"{SECOND}.epochs=4",
        f"{SECOND}.optimizer={{name: sgd, lr: 0.05, weight_decay: 0.01, layer_decay: 0.5, "
        "decay_norm_and_bias: false}",
        "engine.checkpoint_every_steps=2",
    ]
    whole = go(tmp_path, "whole", overrides)["plain"].network.state_dict()
    written, original = [], state.SavedState.write

    def stop_after_the_eighth(self, now):
        original(self, now)
        written.append(now.step)
        if len(written) == 8:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state.SavedState, "write", stop_after_the_eighth)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path, "broken", overrides)
    assert written[-1] > 0  # within an epoch
    again = go(tmp_path, "broken", overrides)["plain"].network.state_dict()
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_the_logged_rate_is_the_heads(first, tmp_path):
    go(
        tmp_path,
        overrides=[
            "stages.refined=null",
            f"{SECOND}.init_from=file:{first}",
            f"{SECOND}.optimizer={{name: sgd, lr: 0.05, layer_decay: 0.5}}",
            f"{SECOND}.schedule={{name: constant}}",
        ],
    )
    (metrics,) = (tmp_path / "run").glob("stages/*/metrics.jsonl")
    assert json.loads(metrics.read_text().splitlines()[-1])["lr"] == 0.05


def test_a_network_of_timm_is_fine_tuned_from_a_file(tmp_path):
    """As `pretrained: true` does, with weights that stand in for the download."""
    name = "timm:mobilenetv3_small_050"
    torch.manual_seed(1)
    source = create(name, 21, size=32, channels=1)
    save_file(source.network.state_dict(), tmp_path / "w.safetensors")
    model = f"{{name: '{name}', weights: {tmp_path}/w.safetensors}}"
    chain = go(
        tmp_path,
        overrides=[
            "stages.refined=null",
            f"{SECOND}.model={model}",
            f"{SECOND}.replace_head=true",
            f"{SECOND}.freeze=[conv_stem, bn1, blocks.0]",
            f"{SECOND}.optimizer.layer_decay=0.75",
            f"{SECOND}.epochs=1",
        ],
    )
    ours, theirs = chain["plain"].network.network.state_dict(), source.network.state_dict()
    same = {key for key in ours if ours[key].shape == theirs[key].shape}
    same = {key for key in same if torch.equal(ours[key], theirs[key])}
    kept = ("conv_stem.", "bn1.", "blocks.0.")
    assert same == {key for key in ours if key.startswith(kept)}


RECIPE = TINY.replace("title: a tiny chain", "title: fine-tuned").replace(
    "digits: 1, width: 32", "digits: 2, width: 32"
)


def test_another_recipe_is_trained_first(tmp_path):
    start = write_tiny(tmp_path, name="start.yaml")
    overrides = [f"stages.plain.init_from=recipe:{start}", "stages.plain.replace_head=true", SLOW]
    recipe = load_recipe(write_tiny(tmp_path, RECIPE, "second.yaml"), overrides)
    jobs = [Job(recipe), Job(recipe.model_copy(update={"seed": 1}))]
    chains = run(jobs, tmp_path / "run")
    (folder,) = (tmp_path / "run" / "starts").iterdir()
    starts = sorted(folder.glob("stages/refined-*/model.safetensors"))  # of each seed its last
    assert len(starts) == 2
    seeds = {load_network(path)[1].extra["seed"]: path for path in starts}
    for seed, chain in enumerate(chains):
        theirs = load_network(seeds[seed])[0].state_dict()
        conv = "stages.0.0.conv.weight"
        torch.testing.assert_close(
            chain["plain"].network.state_dict()[conv], theirs[conv], atol=1e-6, rtol=0
        )
    assert (folder / "recipe.yaml").exists()
    # The recipe as it was given: the file of one seed would be wrong for another.
    again = load_recipe(tmp_path / "run" / "recipe.yaml")
    assert again.stages[0].init_from == f"recipe:{start}"
    before = {path: path.stat().st_mtime_ns for path in starts}
    run(jobs, tmp_path / "run")  # nothing is trained again
    assert before == {path: path.stat().st_mtime_ns for path in starts}


def test_a_recipe_that_starts_from_itself_is_refused(tmp_path):
    path = tmp_path / "tiny.yaml"
    write_tiny(tmp_path, TINY.replace("epochs: 2\n", f"epochs: 2\n    init_from: recipe:{path}\n"))
    with pytest.raises(RecipeError, match="starts from itself"):
        run([Job(load_recipe(path))], tmp_path / "run")


def test_a_start_of_another_architecture_is_refused_before_it_is_trained(tmp_path):
    start = write_tiny(tmp_path, name="start.yaml")
    overrides = [f"stages.plain.init_from=recipe:{start}", "stages.plain.model={name: resnet8}"]
    with pytest.raises(RecipeError, match=r"ends with street_cnn.*starts from it is resnet8"):
        go(tmp_path, overrides=overrides)
    assert not list(tmp_path.rglob("stages"))


def test_in_smoke_a_stage_starts_from_its_like(tmp_path):
    """Starts stand before all others, as a stage beside another can't start from one between."""
    overrides = [
        "stages.refined.labels={name: ground_truth}",
        "stages.refined.epochs=2",
        "stages.refined.beside=plain",
        "stages.refined.init_from=recipe:starter/demo",
        "stages.refined.freeze=1",
    ]
    small = smoke(load_recipe(write_tiny(tmp_path), overrides))
    assert [stage.id for stage in small.stages] == ["smoke_start_1", "plain", "refined"]
    assert small.stages[2].init_from == "smoke_start_1"
    assert small.stages[0].model == small.stages[2].model


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stages.plain.freeze=[stages.0]"], "plain.freeze: needs weights to start from"),
        (["stages.plain.replace_head=true"], "plain.replace_head: needs weights to start from"),
        (["stages.refined.init_from=timm:resnet18"], "nor recipe:NAME.*pretrained: true"),
        (["stages.plain.optimizer.layer_decay=1.5"], "layer_decay.*less than or equal to 1"),
        (
            ["stages.plain.init_from=file:x", "stages.plain.freeze=-1"],
            "stages.plain.freeze: should be a number of blocks or names of parts, not -1",
        ),
    ],
)
def test_what_a_recipe_may_not_say(tmp_path, overrides, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write_tiny(tmp_path), overrides)


def test_an_unknown_part_is_told_before_training(first, tmp_path):
    overrides = [f"{SECOND}.init_from=file:{first}", f"{SECOND}.freeze=[stages.7]"]
    with pytest.raises(RecipeError, match=r"no part 'stages.7'.*stages.0, stages.1"):
        go(tmp_path, overrides=overrides)
    assert not list((tmp_path / "run").glob("stages/*"))


def test_new_options_change_a_stages_key_only_where_they_are_set(first, tmp_path):
    def key(*overrides):
        recipe = load_recipe(write_tiny(tmp_path), ["stages.refined=null", *overrides])
        return stage_keys(recipe, builders.dataset(recipe.data))["plain"]

    start = f"{SECOND}.init_from=file:{first}"
    options = [
        [],
        [start],
        [start, f"{SECOND}.replace_head=true"],
        [start, f"{SECOND}.freeze=1"],
        [start, f"{SECOND}.freeze=[stages.0]"],
        [f"{SECOND}.optimizer.layer_decay=0.5"],
        [f"{SECOND}.optimizer.decay_norm_and_bias=false"],
    ]
    assert len({key(*each) for each in options}) == len(options)
    assert key(f"{SECOND}.optimizer.layer_decay=null", f"{SECOND}.freeze=[]") == key()


def test_a_key_knows_files_by_their_content_wherever_they_lie(first, tmp_path):
    """So a run folder can be moved, and named from another folder."""
    moved_to = tmp_path / "elsewhere.safetensors"
    moved_to.write_bytes(first.read_bytes())
    network, info = load_network(first)
    with torch.no_grad():
        network.fc.bias.add_(1)
    save_network(tmp_path / "other.safetensors", network, **vars(info))

    def keys(*overrides):
        recipe = load_recipe(write_tiny(tmp_path), overrides)
        return stage_keys(recipe, builders.dataset(recipe.data))

    for written in (
        f"{SECOND}.init_from=file:{{}}",
        f"{SECOND}.model.weights={{}}",
        "stages.refined.labels.by=file:{}",
        "stages.refined.labels.by=[plain, 'file:{}']",
    ):
        here, there = keys(written.format(first)), keys(written.format(moved_to))
        other, without = keys(written.format(tmp_path / "other.safetensors")), keys()
        assert here == there != other
        assert without not in (here, other)
    ways = (f"{SECOND}.init_from=file:{first}", f"{SECOND}.model.weights={first}")
    assert len({keys(way)["plain"] for way in ways}) == 2


NO_NETWORK = "We couldn't connect to 'https://huggingface.co'"


@pytest.fixture
def offline(monkeypatch):
    """timm without a network and without a file in its cache."""
    import timm

    create_model = timm.create_model

    def without_weights(name, **options):
        if options.pop("pretrained", False):
            raise OSError(NO_NETWORK)
        return create_model(name, **options)

    monkeypatch.setattr(timm, "create_model", without_weights)


PRETRAINED = "{name: 'timm:mobilenetv3_small_050', kwargs: {pretrained: true}}"


@pytest.mark.usefixtures("offline")
def test_pretrained_weights_are_there_before_anything_is_trained(tmp_path):
    """Also where a later stage needs them."""
    with pytest.raises(CheckpointError, match="pretrained weights are not available") as caught:
        go(tmp_path, overrides=[f"stages.refined.model={PRETRAINED}"])
    told = str(caught.value)
    assert NO_NETWORK in told
    assert "https://huggingface.co/timm/mobilenetv3_small_050" in told
    assert "weights: model.safetensors} with replace_head: true" in told
    assert "can't build" not in told
    assert not list(tmp_path.glob("run/stages/*/metrics.jsonl"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("pretrained", ["true", "false"])
def test_a_size_that_timm_can_not_build_is_not_about_weights(tmp_path, pretrained):
    kwargs = f"{{pretrained: {pretrained}, patch_size: 64}}"
    model = f"{{name: 'timm:vit_tiny_patch16_224', kwargs: {kwargs}}}"
    with pytest.raises(RecipeError, match=r"timm can't build.*for 16x16 pixels"):
        go(tmp_path, overrides=[f"stages.plain.model={model}"])
