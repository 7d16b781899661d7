"""People's labels: joined to the right images, in the right order of classes, or refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.scenes import stripes
from tests.real import real_data
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.label_quality import label_quality
from tinyrefinery.refiners.human_labels import read_human_labels

MANIFEST = stripes().manifest
NAMES = MANIFEST.classes


def write(folder, metadata=None, **columns):
    path = folder / "votes.parquet"
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


def test_votes_find_their_images_by_path(tmp_path):
    paths = ["stripes/7", "elsewhere", "stripes/3"]
    path = write(tmp_path, path=paths, human_counts=[[1, 3, 0], [1, 0, 0], [0, 0, 5]])
    found = read_human_labels(path, MANIFEST)
    np.testing.assert_array_equal(found.rows, [3, 7])
    np.testing.assert_allclose(found.distributions, [[0, 0, 1], [0.25, 0.75, 0]])
    np.testing.assert_array_equal(found.votes, [5, 4])
    assert found.unmatched == 1
    assert len(found.of_rows(np.array([7, 8]))) == 1


def test_probabilities_by_id_and_a_column_a_class(tmp_path):
    ids = MANIFEST.column("id")[[5, 1]].tolist()
    shares = {name: [0.2 * i, 0.1] for i, name in enumerate(NAMES)}
    shares[NAMES[0]] = [0.4, 0.8]
    found = read_human_labels(write(tmp_path, id=ids, **shares), MANIFEST)
    np.testing.assert_allclose(found.distributions, [[0.8, 0.1, 0.1], [0.4, 0.2, 0.4]])
    assert found.votes is None


def test_class_names_of_the_file_set_the_order(tmp_path):
    features = {"label": {"names": [NAMES[2], NAMES[0], NAMES[1]]}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path = write(tmp_path, metadata, path=["stripes/0"], votes=[[6, 3, 1]])
    np.testing.assert_allclose(read_human_labels(path, MANIFEST).distributions, [[0.3, 0.1, 0.6]])
    features["label"]["names"][0] = "zebra"
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path = write(tmp_path, metadata, path=["stripes/0"], votes=[[6, 3, 1]])
    with pytest.raises(DataError, match="zebra"):
        read_human_labels(path, MANIFEST)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"path": ["stripes/0"], "votes": [[1, 2]]}, {}, "lines of 2 numbers, but the data has 3"),
        ({"path": ["stripes/0"], "votes": [[0, 0, 0]]}, {}, "1 lines are not votes"),
        ({"path": ["stripes/0"], "votes": [[1, -1, 3]]}, {}, "1 lines are not votes"),
        ({"path": ["stripes/0"], "votes": [[0.5, 0.2, 0.2]]}, {}, "line 0 sums to 0.9"),
        ({"path": ["stripes/0", "stripes/1"], "votes": [[1, 0, 0], None]}, {}, "empty values"),
        ({"path": ["stripes/0"], "votes": [[1, None, 0]]}, {}, "empty values"),
        ({"path": ["stripes/0"], "votes": [3]}, {}, "not a list"),
        ({"path": ["nothing"], "votes": [[1, 0, 0]]}, {}, "no line matches an image"),
        ({"path": ["stripes/0"] * 2, "votes": [[1, 0, 0]] * 2}, {}, "'path' is not unique"),
        ({"label": [1], "votes": [[1, 0, 0]]}, {"key": "label"}, "not unique"),
        ({"file": ["a"], "votes": [[1, 0, 0]]}, {}, "name the key column"),
        ({"path": ["stripes/0"], "votes": [[1, 0, 0]]}, {"key": "pth"}, "no key column 'pth'"),
        ({"path": ["stripes/0"], "votes": [[1, 0, 0]]}, {"column": "vote"}, "Did you mean"),
        ({"path": ["stripes/0"], "x": [1]}, {}, "no column for the class 'direction 0'"),
    ],
)
def test_what_is_refused(tmp_path, columns, options, message):
    with pytest.raises(DataError, match=message):
        read_human_labels(write(tmp_path, **columns), MANIFEST, **options)


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "votes.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="can't read the human labels"):
        read_human_labels(tmp_path / "votes.parquet", MANIFEST)
    with pytest.raises(DataError, match="can't read the human labels"):
        read_human_labels(tmp_path / "none.parquet", MANIFEST)


def test_cifar10h():
    """Published facts: some 51 votes an image; 79 images whose most-voted class isn't the label."""
    test = real_data("cifar10/test.parquet")
    votes = real_data("cifar10_human/cifar10h_cleanlab_test.parquet")
    data = open_data("parquet", path={"train": str(test)}, validation=0, test=0)
    by_path = read_human_labels(votes, data.manifest)
    assert len(by_path) == 10_000
    assert 47 <= by_path.votes.min() <= by_path.votes.mean() <= 63
    labels = data.manifest.labels[by_path.rows]
    assert (by_path.distributions.argmax(axis=1) != labels).sum() == 79
    by_number = read_human_labels(votes, data.manifest, key="orig_index", column="human_probs")
    np.testing.assert_array_equal(by_number.rows, by_path.rows)
    np.testing.assert_allclose(by_number.distributions, by_path.distributions, atol=1e-6)
    # Cross-entropy of one-hot labels with the floor, by hand in float64.
    one_hot = np.eye(10)[labels]
    mixed = 0.999 * one_hot + 0.0001
    own = -(by_path.distributions * np.log(mixed)).sum(axis=1).mean()
    quality = label_quality(one_hot, by_path.distributions)
    assert quality["cross_entropy"] == pytest.approx(own, abs=1e-12)
