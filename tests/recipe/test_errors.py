"""What a wrong recipe says: the whole message, word for word."""

import pytest

from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.load import load_recipe

KNOWN_OPTIMIZER = (
    "known: lr, weight_decay, layer_decay, decay_norm_and_bias, name, momentum, nesterov"
)

ONE_MISTAKE = {
    # unknown key: the path by stage id, the nearest key of that very part
    "stages.alexnet.optimizer.wieght_decay=1": (
        "stages.alexnet.optimizer.wieght_decay: unknown key (did you mean 'weight_decay'?)"
    ),
    "stages.alexnet.optimizer.zzz=1": (
        f"stages.alexnet.optimizer.zzz: unknown key ({KNOWN_OPTIMIZER})"
    ),
    "stages.alexnet.labels.levle=crop": (
        "stages.alexnet.labels.levle: unknown key (did you mean 'level'?)"
    ),
    "data.source.traim=5": "data.source.traim: unknown key (did you mean 'train'?)",
    "sed=1": "sed: unknown key (did you mean 'seed'?)",
    # a key that belongs elsewhere: every place where it is known
    "epochs=5": (
        "epochs: no such key at the top; write stages.resnet50.epochs or stages.alexnet.epochs"
    ),
    "lr=0.1": (
        "lr: no such key at the top; write stages.resnet50.optimizer.lr or "
        "stages.alexnet.optimizer.lr"
    ),
    "threads=2": "threads: no such key at the top; write engine.threads",
    "stages.alexnet.lr=0.1": (
        "stages.alexnet.lr: no such key here; write stages.alexnet.optimizer.lr"
    ),
    "engine.thread=1": "engine.thread: unknown key (did you mean 'threads'?)",
    # wrong type
    "stages.alexnet.epochs=many": "stages.alexnet.epochs: should be a valid integer, not 'many'",
    "stages.alexnet.epochs=true": "stages.alexnet.epochs: should be a valid integer, not 'true'",
    "stages.alexnet.epochs=0": "stages.alexnet.epochs: should be greater than 0, not 0",
    "data.flip=true": "data.flip: should be a valid number, not 'true'",
    "data.flip=1.5": "data.flip: should be less than or equal to 1, not 1.5",
    "stages.alexnet.ema=true": "stages.alexnet.ema: should be a valid number, not 'true'",
    "stages.alexnet.labels.hard=maybe": (
        "stages.alexnet.labels.hard: should be true or false, not 'maybe'"
    ),
    "stages.alexnet.model=alexnet": (
        "stages.alexnet.model: should be a mapping of keys, not 'alexnet'; write {name: alexnet}"
    ),
    "data.train_crop.size=big": (
        "data.train_crop.size: should be one or two whole numbers of pixels above zero, not 'big'"
    ),
    "data.train_crop.area=[1, 0.1]": (
        "data.train_crop.area: should be [least, most], but 1.0 > 0.1"
    ),
    "stages.alexnet.id=Alex Net": (
        "stages.Alex Net.id: should be lower-case letters, digits, _ and -, not 'Alex Net'"
    ),
    # a kind that isn't there
    "stages.alexnet.optimizer.name=sdg": (
        "stages.alexnet.optimizer: no kind is named 'sdg' (did you mean 'sgd'?)"
    ),
    "stages.alexnet.schedule={warmup: 1}": (
        "stages.alexnet.schedule: needs a `name` that says which kind it is"
    ),
    "stages.alexnet.labels.level=corp": (
        "stages.alexnet.labels.level: should be 'crop', 'image' or 'category', not 'corp' "
        "(did you mean 'crop'?)"
    ),
    "engine.precision=16": (
        "engine.precision: should be 'auto', '32' or 'bf16', not '16' (did you mean 'bf16'?)"
    ),
    # missing
    "stages=[]": "stages: should have at least one element",
    "data.source={name: folder}": "data.source.root: missing",
    # stages that don't fit together
    "stages.alexnet.labels.by=resnet5": (
        "stages.alexnet.labels.by: no stage 'resnet5' (did you mean 'resnet50'? "
        "earlier stages: resnet50)"
    ),
    "stages.alexnet.labels.by=vgg": (
        "stages.alexnet.labels.by: no stage 'vgg' (earlier stages: resnet50)"
    ),
    "stages.alexnet.labels.by=alexnet": (
        "stages.alexnet.labels.by: 'alexnet' can't refine itself (earlier stages: resnet50)"
    ),
    "stages.resnet50.labels={name: refined, by: alexnet}": (
        "stages.resnet50.labels.by: 'alexnet' is a later generation, not yet trained when "
        "'resnet50' needs it; put 'alexnet' before 'resnet50' (earlier stages: none)"
    ),
    "stages.alexnet.labels.by=fil:x.safetensors": (
        "stages.alexnet.labels.by: 'fil:x.safetensors' is not a refiner: write the id of an "
        "earlier stage, file:PATH, timm:NAME or a URL"
    ),
    "stages.alexnet.labels.by=[resnet50, resnet50]": (
        "stages.alexnet.labels.by: names 'resnet50' more than once"
    ),
    "stages.alexnet.id=resnet50": "stages.resnet50: 2 stages have this id; each needs its own",
    "stages.resnet50.init_from=alexnet": (
        "stages.resnet50.init_from: 'alexnet' is a later generation, not yet trained when "
        "'resnet50' needs it; put 'alexnet' before 'resnet50' (earlier stages: none)"
    ),
    "stages.alexnet.init_from=resnet50": (
        "stages.alexnet.init_from: the weights of 'resnet50' (resnet50) don't fit this stage's "
        "model (alexnet); both must be the same"
    ),
    "stages.alexnet.beside=resnet50": (
        "stages.alexnet.beside: 'resnet50' and 'alexnet' must have the same labels to train in step"
    ),
    "stages.resnet50.beside=alexnet": (
        "stages.resnet50.beside: 'alexnet' is a later generation, not yet trained when "
        "'resnet50' needs it; put 'alexnet' before 'resnet50' (earlier stages: none)"
    ),
    "stages.alexnet.labels={name: refined, by: resnet50, level: image, store: labels}": (
        "stages.alexnet.labels.store: labels of level 'image' are made once a stage and need no "
        "store; remove it (store: null)"
    ),
    # settings that don't fit together
    "stages.alexnet.labels={name: refined, by: resnet50, batch_norm: running, bn_group: 64}": (
        "stages.alexnet.labels.bn_group: 64 has no effect with batch_norm: running; remove it "
        "(bn_group: null) or write batch_norm: batch"
    ),
    "stages.alexnet.labels={name: refined, by: resnet50, batch_norm: calibrated, bn_group: 64}": (
        "stages.alexnet.labels.bn_group: 64 has no effect with batch_norm: calibrated; remove it "
        "(bn_group: null) or write batch_norm: batch"
    ),
    "stages.alexnet.batch_size=1": (
        "stages.alexnet.labels.bn_group: batch statistics need at least 2 crops; write a bn_group, "
        "a larger batch_size or batch_norm: running"
    ),
    "stages.resnet50.jitter={}": (
        "stages.resnet50.jitter: labels (ground_truth) don't depend on the crop, so a jittered "
        "crop has no label of its own; write labels: {name: refined, by: ..., level: crop} or "
        "jitter: null"
    ),
    "stages.alexnet.stop={patience: null, restore_best: false}": (
        "stages.alexnet.stop.patience: null with restore_best: false does nothing; write a number, "
        "or stop: null"
    ),
    "stages.alexnet.jitter={share: 0}": (
        "stages.alexnet.jitter.share: should be greater than 0, not 0"
    ),
    "stages.alexnet.schedule.warmup=200": (
        "stages.alexnet.schedule.warmup: warmup (200) must be shorter than epochs (200): set "
        "schedule.warmup=0"
    ),
    "stages.resnet50.schedule.at=[170, 140]": (
        "stages.resnet50.schedule.at: should rise, but is [170.0, 140.0]"
    ),
    "data.mean=[0.5, 0.5, 0.5]": (
        "data.mean: has 3 numbers, but source.channels is 1: write one a channel"
    ),
}


@pytest.mark.parametrize("override", ONE_MISTAKE)
def test_one_mistake_gives_one_clear_line(good, override):
    with pytest.raises(RecipeError) as caught:
        load_recipe(good, [override])
    assert str(caught.value) == f"{good}: {ONE_MISTAKE[override]}"


def test_static_labels_can_t_be_jittered(good):
    labels = "stages.alexnet.labels={name: refined, by: resnet50, level: image}"
    with pytest.raises(
        RecipeError, match=r"alexnet\.jitter: labels \(level 'image'\) don't depend"
    ):
        load_recipe(good, [labels, "stages.alexnet.jitter={}"])


def test_all_mistakes_are_told_at_once(good):
    with pytest.raises(RecipeError) as caught:
        load_recipe(good, ["sed=1", "stages.alexnet.epochs=x", "stages.resnet50.loss={name: kll}"])
    lines = {line.removeprefix(f"{good}: ") for line in str(caught.value).splitlines()}
    assert lines == {
        "sed: unknown key (did you mean 'seed'?)",
        "stages.alexnet.epochs: should be a valid integer, not 'x'",
        "stages.resnet50.loss: no kind is named 'kll' (did you mean 'kl'?)",
    }


def test_a_derived_default_is_not_blamed_too(good):
    with pytest.raises(RecipeError) as caught:
        load_recipe(good, ["data.train_crop.size=-1"])
    assert "eval_crop" not in str(caught.value)


def test_replacing_only_the_name_leaves_foreign_keys_behind(good):
    with pytest.raises(RecipeError, match=r"stages\.alexnet\.optimizer\.momentum: unknown key"):
        load_recipe(good, ["stages.alexnet.optimizer.name=adam"])


FILES = {
    "": "should be a mapping of keys, but is empty",
    "- 1": "should be a mapping of keys, but is a list",
    "title: a\ntitle: b": "line 2: the key 'title' is here twice",
    "title: [a\n": "line 2: expected ',' or ']', but got '<stream end>'",
    "title: a\nrows: []": "is a table of recipes (it has rows), not a recipe",
    "title: a": "data: missing",
}


@pytest.mark.parametrize("text", FILES)
def test_a_file_that_is_no_recipe(write, text):
    path = write(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).splitlines()[0] == f"{path}: {FILES[text]}"


def test_no_such_file_and_no_text(tmp_path):
    with pytest.raises(RecipeError, match=r"nowhere\.yaml: no such file$"):
        load_recipe(tmp_path / "nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"title: \xff\xfe")
    with pytest.raises(RecipeError, match=r"not a text file \(byte 7 is not UTF-8\)"):
        load_recipe(tmp_path / "binary.yaml")
    with pytest.raises(RecipeError, match="is a folder, not a recipe"):
        load_recipe(tmp_path)
