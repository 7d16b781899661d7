"""Every source and every reader of people's files, on what a seeded mutator makes of good input.

Each input is opened, or refused with a `RefineryError`, in bounded time. Of a folder, each picture
is used or listed.
"""

import json
import os
import shutil
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch  # noqa: F401 (imported by some sources, which must not count as a hang)

from tests.damage import distort
from tests.data.pictures import class_folders, picture
from tests.data.test_webdataset import samples, write_shard
from tests.detection.voc_files import sound
from tests.detection.voc_files import write as write_voc
from tests.recipe_files import TINY
from tinyrefinery.data.open import open_data
from tinyrefinery.data.overlay.decisions import Decision, append_decisions, read_decisions
from tinyrefinery.detection.voc import open_voc
from tinyrefinery.errors import RefineryError
from tinyrefinery.recipe.detection import Voc
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.review.label_studio import read_export

LIMIT = 120
"""Seconds for one input, on a machine that does other things too."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
EXPORT = Path(__file__).parents[1] / "review" / "golden" / "export.json"


def write_folder(home):
    class_folders(home / "photos", each=4)


def write_csv(home):
    write_folder(home)
    paths = sorted(path.relative_to(home / "photos") for path in home.rglob("*.png"))
    lines = [f"{path.as_posix()},{path.parts[0]},{i}" for i, path in enumerate(paths)]
    text = "\n".join(["file_name,label,n", *lines])
    (home / "photos" / "metadata.csv").write_text(text + "\n")


def write_jsonl(home):
    write_folder(home)
    paths = sorted(path.relative_to(home / "photos") for path in home.rglob("*.png"))
    lines = [json.dumps({"file_name": p.as_posix(), "label": p.parts[0]}) for p in paths]
    (home / "photos" / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def write_rows(home):
    rows = [{"bytes": picture(seed), "path": f"{seed}.png"} for seed in range(8)]
    table = pa.table({"image": rows, "label": [0, 1] * 4, "home": list("aabbccdd")})
    pq.write_table(table, home / "rows.parquet")


def write_tar(home):
    write_shard(home / "a.tar", samples(range(8)))


def write_hugging_face(home):
    datasets = pytest.importorskip("datasets")
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])}
    columns = {
        "image": [{"bytes": picture(s), "path": None} for s in range(8)],
        "label": [0, 1] * 4,
    }
    whole = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    datasets.DatasetDict({"train": whole}).save_to_disk(str(home / "saved"))


def write_overlay(home):
    zeros = [f"{i:064x}" for i in range(6)]
    append_decisions(
        home / "overlay.jsonl",
        [Decision(uid, "ok", "ann", f"2026-11-21T02:0{i}:00Z") for i, uid in enumerate(zeros)],
    )


def opened(name, path, **options):
    key = "root" if name == "folder" else "path"

    def read(home):
        return open_data(name, **{key: str(home / path)}, validation=0, test=0, **options)

    return read


KINDS = {
    "folder": (write_folder, opened("folder", "photos")),
    "metadata.csv": (write_csv, opened("folder", "photos")),
    "metadata.jsonl": (write_jsonl, opened("folder", "photos")),
    "parquet": (write_rows, opened("parquet", "rows.parquet")),
    "webdataset": (write_tar, opened("webdataset", "a.tar")),
    "hugging_face": (write_hugging_face, opened("hugging_face", "saved")),
    "voc": (
        lambda home: write_voc(home / "voc", sound()),
        lambda home: open_voc(Voc(root=str(home / "voc"))),
    ),
    "label studio": (
        lambda home: shutil.copy(EXPORT, home / "export.json"),
        lambda home: read_export(home / "export.json"),
    ),
    "recipe": (
        lambda home: (home / "tiny.yaml").write_text(TINY),
        lambda home: load_recipe(home / "tiny.yaml"),
    ),
    "overlay": (write_overlay, lambda home: read_decisions(home / "overlay.jsonl")),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder of good input for each kind."""
    home = tmp_path_factory.mktemp("good")
    for kind, (make, _) in KINDS.items():
        (home / kind).mkdir()
        make(home / kind)
    return home


@contextmanager
def bounded(what):
    """Raises when the block takes longer than `LIMIT`."""

    def stop(*_):
        raise AssertionError(f"{what}: took longer than {LIMIT} s")

    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def rearrange(home, random):
    """What people do to a folder of pictures: strays, odd names, moves and links."""
    root = home / "photos"
    pictures = sorted(root.rglob("*.png"))
    chosen = pictures[random.integers(len(pictures))]
    kind = int(random.integers(8))
    if kind == 0:
        chosen.rename(root / "stray.png")
    elif kind == 1:
        chosen.rename(chosen.with_name("é \n日.png"))
    elif kind == 2:
        (root / "bird").mkdir()
        chosen.rename(root / "bird" / "one.PNG")
    elif kind == 3:
        (chosen.parent / "deep" / "deeper").mkdir(parents=True)
        chosen.rename(chosen.parent / "deep" / "deeper" / chosen.name)
    elif kind == 4:
        (root / "cat" / "loop").symlink_to(root)
    elif kind == 5:
        shutil.move(root / "dog", root / "train")
    elif kind == 6:
        chosen.rename(chosen.with_suffix(".jpg"))
    else:
        shutil.copy(chosen, root / "dog" / "again.png")
    return f"rearranged ({kind})"


def lost(home, dataset):
    """Pictures under the root that are neither used nor listed."""
    root = home / "photos"
    used = {os.path.normpath(root / path) for path in dataset.manifest.column("path")}
    told = "\n".join(f"{each.where}\n{each.what}" for each in dataset.problems)
    names = [
        p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix.lower() in PICTURES
    ]
    return [name for name in names if str(root / name) not in used and name not in told]


def check(good, tmp_path, count, seed, kinds=tuple(KINDS)):
    """Open `count` bad inputs, and count by kind those that were refused or had problems listed."""
    random = np.random.default_rng(seed)
    noticed = dict.fromkeys(kinds, 0)
    home = tmp_path / "bad"
    for number in range(count):
        kind = kinds[number % len(kinds)]
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(good / kind, home)
        files = sorted(path for path in home.rglob("*") if path.is_file())
        small = [path for path in files if path.suffix not in PICTURES] or files
        among = small if random.random() < 0.6 else files
        chosen = among[random.integers(len(among))]
        folder = kind == "folder" or kind.startswith("metadata")
        how = rearrange(home, random) if folder and random.random() < 0.5 else None
        how = how or f"{chosen.name} {distort(chosen, random)}"
        what = f"input {number} of seed {seed}: {kind}, {how}"
        try:
            with bounded(what):
                found = KINDS[kind][1](home)
        except RefineryError:
            noticed[kind] += 1
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
        else:
            noticed[kind] += bool(getattr(found, "problems", ()))
            assert not folder or not lost(home, found), f"{what}: lost {lost(home, found)}"
    return noticed


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    """No network, no progress bars, and a cache in this test's folder."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


@pytest.mark.parametrize("kind", KINDS)
def test_good_input_is_not_refused(good, kind):
    """Otherwise a source that refuses everything would pass the tests below."""
    found = KINDS[kind][1](good / kind)
    assert not getattr(found, "problems", ())


def test_300_bad_inputs(good, tmp_path):
    noticed = check(good, tmp_path, 300, 0)
    assert all(noticed.values()), f"damage of one kind was never noticed: {noticed}"


@pytest.mark.slow
def test_5000_bad_inputs(good, tmp_path):
    check(good, tmp_path, 5000, 1)
