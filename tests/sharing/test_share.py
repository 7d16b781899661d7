"""What is shared opens again, with what it was trained on, and nothing is shared in halves."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import errors
from typer.testing import CliRunner

from tests.networks.onnx_files import export
from tests.running import stage_folder
from tinyrefinery.cli.main import app
from tinyrefinery.data.open import open_data
from tinyrefinery.deploy.export.side_files import Vectors, record_file, write_artifact
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.networks.held_out import held_out
from tinyrefinery.networks.hub import parse_hub_name
from tinyrefinery.networks.network_data import open_source
from tinyrefinery.networks.opening import open_network
from tinyrefinery.recipe.load import load_recipe


def invoke(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def onnx_bytes(tmp_path_factory, _chain_run):
    made = tmp_path_factory.mktemp("onnx") / "made.onnx"
    return export(open_network(_chain_run).load(), made).read_bytes()


@pytest.fixture
def exported(tmp_path, chain_run, onnx_bytes):
    """A folder with an ONNX file that counts as exported from the refined stage."""
    stage = stage_folder(chain_run, "refined")
    key = json.loads((stage / "stage.json").read_text())["key"]
    drop = {"network": 0.5, "artifact": 0.45, "points": 5.0, "low": -1.0, "high": 9.0}
    parity = {"images": "40 validation images", "n": 40, "verdict": "UNPROVEN", "drop": drop}
    facts = {"digest": key, "target": "onnx", "precision": "int8", "parity": parity}
    vectors = Vectors(np.zeros((1, 16, 16, 1), np.uint8), np.full((1, 10), 0.1, np.float32), 0.1)
    write_artifact(tmp_path / "exports/net.onnx", onnx_bytes, vectors, facts)
    return tmp_path / "exports"


@pytest.fixture
def shared(tmp_path, chain_run, exported):
    found = invoke("share", chain_run, tmp_path / "digits", "--exports", exported)
    assert found.exit_code == 0, found.output
    return tmp_path / "digits"


class FakeApi:
    """Keeps what is pushed in a folder; fails where it is told to."""

    place: Path
    fails: Exception | None = None
    token: bool = True

    def whoami(self):
        if not self.token:
            raise errors.LocalTokenNotFoundError("no token")

    def create_repo(self, repo_id, **options):
        assert repo_id == "ann/digits"

    def upload_folder(self, *, repo_id, folder_path, revision, commit_message, delete_patterns):
        if self.fails is not None:
            raise self.fails
        for file in Path(folder_path).iterdir():
            (self.place / file.name).write_bytes(file.read_bytes())


@pytest.fixture
def hub(tmp_path, monkeypatch):
    place = tmp_path / "hub"
    place.mkdir()
    monkeypatch.setattr(FakeApi, "place", place, raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    asked = []

    def snapshot_download(repository, *, revision=None, allow_patterns=None):
        asked.append((repository, revision))
        if revision == "v9":
            raise errors.RevisionNotFoundError.__new__(errors.RevisionNotFoundError)
        return str(place)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    return SimpleNamespace(place=place, asked=asked)


def test_the_folder_has_everything(shared):
    names = {path.name for path in shared.iterdir()}
    whole = {"model.safetensors", "README.md", "bom.json", "recipe.yaml"}
    whole |= {"net.onnx", "net.onnx.json", "net.onnx.vectors.npz", "net.onnx.yaml"}
    assert names == whole
    card = (shared / "README.md").read_text()
    assert "# digits\n" in card
    assert "| 5.00 (-1.00 to 9.00) |" in card


def test_it_opens_as_the_same_network(shared, chain_run):
    original = open_network(chain_run)
    again = open_network(shared)
    assert again.classes == original.classes
    assert again.file.read_bytes() == original.file.read_bytes()


@pytest.mark.parametrize("name", ["", "net.onnx"])
def test_training_images_stay_known(shared, chain_run, name):
    """Also for an artifact, by the network beside it."""
    network = open_network(shared / name)
    source = load_recipe(chain_run / "recipe.yaml").data.source
    manifest = open_source(source).manifest
    splits = held_out(manifest, [network], own=False).manifest.column("split")
    before = manifest.column("split")
    assert network.trained is None
    assert set(splits[before != "test"]) == {"train"}
    assert set(splits[before == "test"]) == {"test"}


def test_other_images_are_held_out(shared):
    other = open_data("street_numbers", train=8, validation=0, test=8, digits=1, width=32, seed=7)
    held = held_out(other.manifest, [open_network(shared)], own=False)
    assert held.manifest.column("split").tolist() == other.manifest.column("split").tolist()


def test_a_shared_network_can_be_shared_again(shared, tmp_path):
    assert invoke("share", shared, tmp_path / "again").exit_code == 0
    assert (tmp_path / "again/net.onnx").read_bytes() == (shared / "net.onnx").read_bytes()
    assert "plain (seed 0)" in (tmp_path / "again/README.md").read_text()


def test_a_folder_with_files_is_refused(chain_run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    found = invoke("share", chain_run, tmp_path / "mine")
    assert (found.exit_code, [p.name for p in (tmp_path / "mine").iterdir()]) == (2, ["notes.txt"])
    assert "is not empty" in found.output


def test_a_damaged_artifact_is_not_shared(chain_run, exported, tmp_path):
    with (exported / "net.onnx").open("ab") as file:
        file.write(b"x")
    found = invoke("share", chain_run, tmp_path / "digits", "--exports", exported)
    assert found.exit_code == 2
    assert "net.onnx: its bytes differ" in found.output
    assert not (tmp_path / "digits").exists()


def test_missing_vectors_leave_nothing_behind(chain_run, exported, tmp_path):
    (exported / "net.onnx.vectors.npz").unlink()
    before = sorted(path.name for path in tmp_path.iterdir())
    found = invoke("share", chain_run, tmp_path / "digits", "--exports", exported)
    assert found.exit_code == 2
    assert "vectors.npz: is missing" in found.output
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_artifact_alone_is_refused(chain_run, exported, tmp_path):
    found = invoke("share", exported / "net.onnx", tmp_path / "digits")
    assert found.exit_code == 2
    assert record_file(exported / "net.onnx").exists()


def test_push_and_load(hub, chain_run, exported):
    found = invoke("share", chain_run, "hf:ann/digits", "--exports", exported, "--license", "mit")
    assert found.exit_code == 0, found.output
    card = (hub.place / "README.md").read_text()
    assert "tinyrefinery predict hf:ann/digits photos/" in card
    network = open_network("hf:ann/digits@v1")
    assert hub.asked == [("ann/digits", "v1")]
    assert network.file.read_bytes() == open_network(chain_run).file.read_bytes()
    assert network.seen_sketch is not None
    assert not network.home.is_absolute()  # nothing is kept in the Hub's cache
    assert invoke("card", "hf:ann/digits", "--out", "read").exit_code == 0
    assert "license: mit" in Path("read/README.md").read_text()


def test_a_failed_push_is_one_error(hub, chain_run, monkeypatch):
    monkeypatch.setattr(FakeApi, "fails", ConnectionError("no route to host"))
    found = invoke("share", chain_run, "hf:ann/digits")
    assert found.exit_code == 2
    assert "the Hub can't be reached (no route to host)" in found.output
    assert "No file was pushed" in found.output
    assert list(hub.place.iterdir()) == []


def test_without_a_token_nothing_is_pushed(hub, chain_run, monkeypatch):
    monkeypatch.setattr(FakeApi, "token", False)
    found = invoke("share", chain_run, "hf:ann/digits")
    assert (found.exit_code, list(hub.place.iterdir())) == (2, [])
    assert "hf auth login" in found.output


def test_an_unknown_revision_is_named(hub):
    with pytest.raises(DataError, match="ann/digits has no revision 'v9'"):
        open_network("hf:ann/digits@v9")


def test_a_repository_without_a_network_is_refused(hub):
    with pytest.raises(DataError, match=r"has no model\.safetensors"):
        open_network("hf:ann/digits")


def test_without_the_package_it_is_named(chain_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=r"pip install 'tinyrefinery\[hub\]'"):
        open_network("hf:ann/digits")


def test_no_connection_is_one_error(monkeypatch):
    def offline(*arguments, **options):
        raise errors.LocalEntryNotFoundError("cannot find the files on disk")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(CheckpointError, match="can't be reached"):
        open_network("hf:ann/digits")


@pytest.mark.parametrize(
    "word", ["hf:", "hf:digits", "hf:ann/digits@", "hf:a/b/c", "hf:ann/di gits"]
)
def test_a_wrong_name_is_an_error(word):
    with pytest.raises(DataError, match="hf:USER/NAME"):
        parse_hub_name(word)


def test_a_name_has_a_revision_or_none():
    assert parse_hub_name("hf:ann/digits") == ("ann/digits", None)
    assert parse_hub_name("hf:ann/digits@refs/pr/1") == ("ann/digits", "refs/pr/1")
