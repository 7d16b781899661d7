import io
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image

from tests.networks.runs import CLASSES, network_of, predictions_of, write_network
from tinyrefinery.auto_label.endpoint import EndpointLabeler
from tinyrefinery.auto_label.setup import LabelerChoice, audited_images, open_labeler
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.networks.facts import Facts
from tinyrefinery.networks.opening import open_network
from tinyrefinery.prediction.outputs import pooled, probabilities_of, read_classes
from tinyrefinery.prediction.predictor import NetworkPredictor, network_predictor


@pytest.fixture
def data(photos):
    return open_data("folder", root=str(photos), channels=1)


def test_a_run_labels_as_it_was_evaluated(run, data):
    labeler = open_labeler(LabelerChoice(str(run), stage="refined"))
    stored = predictions_of(run)
    found = labeler(data, stored.rows.copy())
    assert np.allclose(found, stored.probabilities, atol=1e-5)
    known, rows = audited_images(labeler, None)
    assert set(known.manifest.column("split")[rows]) == {"validation"}


def test_an_onnx_file_says_what_the_network_says(tmp_path, data):
    network = network_of("onnx", CLASSES).eval()
    file = write_network(tmp_path / "n.safetensors", "onnx")
    rows = np.arange(10)
    want = network_predictor(open_network(file))(data, rows)
    path = tmp_path / "n.onnx"
    torch.onnx.export(network, (torch.zeros(4, 1, 16, 16),), str(path), dynamo=True, verbose=False)
    stated = Facts(classes=CLASSES, mean=(0.5,), std=(0.25,))
    labeler = network_predictor(open_network(path, stated=stated))
    assert np.allclose(labeler(data, rows), want, atol=1e-5)  # 10 in batches of 4
    with pytest.raises(CheckpointError, match="doesn't state its classes"):
        open_labeler(LabelerChoice(str(path)))
    with pytest.raises(CheckpointError, match="has 2 outputs, but 3 classes"):
        open_network(path, stated=Facts(classes=("a", "b", "c"), mean=(0.5,), std=(0.25,)))
    path.write_bytes(b"no")
    with pytest.raises(CheckpointError, match="not a readable ONNX"):
        open_network(path, stated=stated)


def test_a_timm_model_with_weights_of_a_file(tmp_path, data):
    import timm

    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=3).eval()
    file = tmp_path / "w.pth"
    torch.save(model.state_dict(), file)
    names = tmp_path / "classes.txt"
    names.write_text("cat\n-\ndog\n")
    labeler = open_labeler(LabelerChoice("timm:resnet10t", classes=names, weights=file, size=32))
    assert labeler.classes == ("cat", "dog")
    colored = open_data("folder", root=data.name, channels=3)
    found = labeler(colored, np.arange(3))
    assert found.shape == (3, 2)
    assert (found.sum(axis=1) < 1).all()  # what goes to '-' is lost
    with pytest.raises(CheckpointError, match="no pretrained model"):
        open_network("timm:no_such_model")
    file.write_bytes(b"no")
    with pytest.raises(CheckpointError, match="can't be opened"):
        open_labeler(LabelerChoice("timm:resnet10t", classes=names, weights=file, size=32))


def test_outputs_are_added_up_by_name(tmp_path):
    p = np.array([[0.1, 0.2, 0.3, 0.4]])
    assert pooled(p, ("dog", "-", "cat", "dog")).tolist() == [[0.5, 0.3]]
    file = tmp_path / "classes.txt"
    file.write_text("dog\n-\ncat\ndog\n\n")
    assert read_classes(file) == ("dog", "-", "cat", "dog")
    for text, told in (("dog\n\ncat\n", "line 2"), ("dog\ndog\n-\n", "names 1 classes")):
        file.write_text(text)
        with pytest.raises(DataError, match=told):
            read_classes(file)


def test_logits_become_distributions():
    logits = np.array([[1000.0, 0.0], [3.0, 3.0]])
    assert probabilities_of(logits, "x") == pytest.approx(np.array([[1, 0], [0.5, 0.5]]))
    with pytest.raises(DataError, match="aren't finite"):
        probabilities_of(np.array([[np.nan, 1]]), "x")


def test_logits_that_happen_to_sum_to_one_are_still_logits(data):
    predictor = NetworkPredictor(
        *("n", CLASSES, 1, (16, 16), (0.5,), (0.25,)),
        forward=lambda images: np.tile([0.25, 0.75], (len(images), 1)),
    )
    want = 1 / (1 + np.exp(0.25 - 0.75))
    assert predictor(data, np.arange(3))[:, 1] == pytest.approx(np.full(3, want))


@contextmanager
def endpoint(answer):
    """A server that answers each picture as a function of its pixels and of the try says."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.headers["Content-Type"], body))
            status, content, *headers = answer(body, len(seen))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/label", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def labeler(url, **more):
    return EndpointLabeler(url, CLASSES, channels=1, pause=0.001, timeout=5, **more)


def test_an_endpoint_gets_each_picture_as_it_is(data):
    def answer(body, _):
        share = float(np.asarray(Image.open(io.BytesIO(body))).mean()) / 255
        return 200, json.dumps({"person": share}).encode()

    with endpoint(answer) as (url, seen):
        found = labeler(url)(data, np.arange(6))
    want = [data.images.pixels(row).mean() / 255 for row in range(6)]
    assert found[:, CLASSES.index("person")] == pytest.approx(want)
    assert {kind for kind, _ in seen} == {"image/png"}


@pytest.mark.parametrize(
    "shape", [[0.3, 0.7], {"probabilities": {"person": 0.7, "no_person": 0.3}}]
)
def test_other_shapes_of_answers(data, shape):
    with endpoint(lambda *_: (200, json.dumps(shape).encode())) as (url, _):
        assert labeler(url)(data, np.array([0])).tolist() == [[0.3, 0.7]]


def test_errors_that_may_pass_are_tried_again(data):
    def answer(_, turn):
        return (503, b"") if turn < 3 else (200, b"[0.5, 0.5]")

    with endpoint(answer) as (url, seen):
        assert labeler(url)(data, np.array([0])).tolist() == [[0.5, 0.5]]
        assert len(seen) == 3
    with endpoint(lambda *_: (503, b"")) as (url, seen):
        with pytest.raises(DataError, match="no response after 3 attempts, last: HTTP 503"):
            labeler(url, retries=2)(data, np.array([0]))
        assert len(seen) == 3


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, b"", "HTTP 404"),
        (401, b"", "HTTP 401"),
        (302, b"", "HTTP 302"),
        (200, b"<html>", "not JSON"),
        (200, b"[0.5]", "expected 2 probabilities"),
        (200, b"[0.9, 0.9]", "no probabilities"),
        (200, b"[NaN, 0.5]", "no probabilities"),
        (200, b'["a", 0.5]', "no probabilities"),
        (200, b"[-0.1, 0.5]", "no probabilities"),
        (200, b'{"persom": 1.0}', "unknown class 'persom'"),
        (200, b" " * (1 << 20) + b"[0.5, 0.5]", "longer than"),
    ],
)
def test_answers_that_are_none_name_the_picture(data, status, body, told):
    where = [("Location", "http://127.0.0.1:1/")] if status == 302 else []
    told_by = pytest.raises(DataError, match=told)
    with endpoint(lambda *_: (status, body, *where)) as (url, seen), told_by as error:
        labeler(url)(data, np.array([0]))
    assert ".png" in str(error.value)
    assert len(seen) == 1


def test_nobody_there_and_no_address(data):
    with pytest.raises(DataError, match="no response after 1 attempts"):
        labeler("http://127.0.0.1:1/", retries=0)(data, np.array([0]))
    for url in ("file:///etc/passwd", "ftp://x/", "http://"):
        with pytest.raises(DataError, match="not an http"):
            labeler(url)


def test_what_a_command_can_name(tmp_path, run):
    assert open_labeler(LabelerChoice(str(run))).classes == CLASSES
    names = tmp_path / "c.txt"
    names.write_text("a\nb\n")
    assert open_labeler(LabelerChoice("https://x.example/y?key=1", names)).name == "http:x.example"
    with pytest.raises(DataError, match="leave out --classes"):
        open_labeler(LabelerChoice(str(run), names))
    with pytest.raises(DataError, match="--classes"):
        open_labeler(LabelerChoice("http://x.example"))
    with pytest.raises(DataError, match="--gold"):
        audited_images(open_labeler(LabelerChoice("http://x.example", names)), None)
    with pytest.raises(DataError, match="no such folder"):
        audited_images(open_labeler(LabelerChoice(str(run))), tmp_path / "none")
