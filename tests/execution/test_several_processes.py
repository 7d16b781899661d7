"""One, two and four processes, and two hosts of which one is lost, train the same network."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from safetensors.numpy import load_file
from torch import distributed
from typer.testing import CliRunner

from tinyrefinery.cli.main import app
from tinyrefinery.errors import ChainError
from tinyrefinery.execution.several_processes import told_if_others_ended
from tinyrefinery.options.launch import Launch, is_first, launched
from tinyrefinery.recipe.load import dump, load_recipe
from tinyrefinery.runs.plan import run_folder

RECIPE = """
title: several processes
seed: 0
data:
  source: {name: street_numbers, digits: 1, train: 192, validation: 64, test: 64}
  train_crop: {name: inception, size: [24, 36], area: [0.5, 1.0]}
  eval_crop: {name: center, size: [24, 36]}
  flip: 0.0
  mean: [0.5]
  std: [0.25]
  workers: 0
stages:
  - id: student
    model: {name: resnet8, kwargs: {width: 0.5}}
    optimizer: {name: sgd, lr: 0.01, momentum: 0.9}
    schedule: {name: constant}
    epochs: EPOCHS
    batch_size: 32
    labels: {name: refined, by: "file:REFINER", store: {}}
engine: {device: cpu, threads: 1, checkpoint_every_steps: 2}
chain: {collapse: null}
"""
SOURCE = Path(__file__).parents[2] / "src"


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", **more}


def torchrun(*arguments):
    return [sys.executable, "-m", "torch.distributed.run", *arguments, "-m", "tinyrefinery", "run"]


def trained(folder):
    (stage,) = (folder / "stages").glob("student-*")
    return load_file(stage / "model.safetensors")


def streams(folder):
    files = sorted((folder / "labels").rglob("stream-*"))
    return {path.name: path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a recipe, the refiner that it names, and what one process makes of it."""
    folder = tmp_path_factory.mktemp("processes")
    first = RECIPE.replace("EPOCHS", "1").replace("student", "refiner")
    start = first.index("    labels:")
    first = first[:start] + first[first.index("engine:") :]
    (folder / "first.yaml").write_text(first)
    command = [sys.executable, "-m", "tinyrefinery", "run"]
    run = [*command, "first.yaml", "--name", "first"]
    subprocess.run(run, cwd=folder, env=environment(), check=True, capture_output=True)
    (network,) = folder.glob("runs/first/stages/refiner-*/model.safetensors")
    (folder / "r.yaml").write_text(RECIPE.replace("EPOCHS", "2").replace("REFINER", str(network)))
    run = [*command, "r.yaml", "--name", "one"]
    subprocess.run(run, cwd=folder, env=environment(), check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_the_number_of_processes_changes_rounding_only(processes, place):
    name = f"{processes}"
    command = [*torchrun("--standalone", "--nproc-per-node", name), "r.yaml", "--name", name]
    done = subprocess.run(
        command, cwd=place, env=environment(), check=True, capture_output=True, text=True
    )
    assert done.stderr.count("run folder:") == 1  # one of them speaks
    one, several = place / "runs/one", place / "runs" / name
    assert len(streams(one)) == 2
    assert streams(several) == streams(one)  # to the last bit
    for key, weights in trained(one).items():
        np.testing.assert_allclose(trained(several)[key], weights, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_fabric_starts_the_processes_of_one_machine(place):
    command = [sys.executable, "-m", "tinyrefinery", "run", "r.yaml", "--devices", "2"]
    command += ["--name", "devices"]
    subprocess.run(command, cwd=place, env=environment(), check=True, capture_output=True)
    for key, weights in trained(place / "runs/one").items():
        found = trained(place / "runs/devices")[key]
        np.testing.assert_allclose(found, weights, rtol=1e-3, atol=1e-4)


def ip(*arguments):
    return subprocess.run(["ip", *arguments], check=False, capture_output=True).returncode == 0


@pytest.fixture
def hosts():
    """Two hosts in network namespaces, joined by a cable: 10.97.0.1 and 10.97.0.2."""
    for number in (1, 2) if which("ip") else ():  # what an earlier test left that was killed
        ip("netns", "del", f"trhost{number}")
    if not (which("ip") and ip("netns", "add", "trhost1")):
        pytest.skip("network namespaces can't be made here")
    steps = [
        "netns add trhost2",
        "link add trcable1 type veth peer name trcable2",
        *(f"link set trcable{n} netns trhost{n}" for n in (1, 2)),
        *(f"-n trhost{n} addr add 10.97.0.{n}/24 dev trcable{n}" for n in (1, 2)),
        *(f"-n trhost{n} link set {device} up" for n in (1, 2) for device in (f"trcable{n}", "lo")),
    ]
    try:
        if not all(ip(*step.split()) for step in steps):
            pytest.skip("network namespaces can't be joined here")
        yield
    finally:
        for number in (1, 2):
            switch_off(number)
            ip("netns", "del", f"trhost{number}")


def switch_off(number):
    """End every process of a host, without a word to the other one."""
    command = ["ip", "netns", "pids", f"trhost{number}"]
    found = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    for process in found.split():
        os.kill(int(process), signal.SIGKILL)


def on_host(number, place, log):
    options = ["--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "5"]
    options += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "10.97.0.1:29517", "--rdzv-id", "x"]
    # Hosts without names: which one keeps the meeting place has to be told.
    options += ["--local-addr", f"10.97.0.{number}"]
    options += ["--rdzv-conf", f"join_timeout=300,is_host={int(number == 1)}"]
    command = ["ip", "netns", "exec", f"trhost{number}", *torchrun(*options), "r.yaml", *LONGER]
    variables = {"GLOO_SOCKET_IFNAME": f"trcable{number}"}
    variables["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    with (place / log).open("w") as file:
        return subprocess.Popen(
            [*command, "--name", "hosts"],
            **{"cwd": place, "stdout": file, "stderr": subprocess.STDOUT},
            env=environment(**variables),
        )


LONGER = ["stages.student.epochs=8", "stages.student.optimizer.lr=0.003"]


@pytest.mark.slow
def test_a_host_is_lost_and_comes_back(hosts, place):
    first, second = (on_host(number, place, f"{number}.log") for number in (1, 2))
    stages, deadline = place / "runs/hosts/stages", time.monotonic() + 240
    while not list(stages.glob("student-*/state.pt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert second.poll() is None, (place / "2.log").read_text()
    switch_off(2)
    second.wait()
    second = on_host(2, place, "2-again.log")
    ends = [each.wait(timeout=300) for each in (first, second)]
    assert ends == [0, 0], (place / "1.log").read_text()
    (metrics,) = stages.glob("student-*/metrics.jsonl")
    assert len(metrics.read_text().splitlines()) == 8
    alone = [sys.executable, "-m", "tinyrefinery", "run", "r.yaml", "--name", "alone", *LONGER]
    subprocess.run(alone, cwd=place, env=environment(), check=True, capture_output=True)
    assert streams(place / "runs/hosts") == streams(place / "runs/alone")
    for key, weights in trained(place / "runs/alone").items():
        found = trained(place / "runs/hosts")[key]
        np.testing.assert_allclose(found, weights, rtol=1e-2, atol=1e-3)


NO_LAUNCHER = ("TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS", "LOCAL_RANK", "NODE_RANK")


@pytest.mark.parametrize(
    ("variables", "expected", "first"),
    [
        ({}, None, True),
        ({"LOCAL_RANK": "1"}, None, False),  # Fabric started it
        (
            {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"},
            Launch(rank=5, devices=4, nodes=2),
            False,
        ),
        (
            {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"},
            Launch(rank=0, devices=1, nodes=2),
            True,
        ),
        (
            {"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "3"},
            Launch(rank=3, devices=4, nodes=2),
            False,
        ),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1"}, None, True),
    ],
)
def test_the_launcher_is_read_from_the_environment(variables, expected, first, monkeypatch):
    for name in NO_LAUNCHER:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == expected
    assert is_first() is first


LAUNCHED = {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3"}


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (["run", "r.yaml", "--nodes", "2"], {}, "engine.nodes: 2 machines need a launcher"),
        (["run", "r.yaml", "--devices", "2", "--processes", "2"], {}, "Leave --processes out"),
        (["run", "r.yaml", "--devices", "3"], {}, "can't be shared evenly by 3 devices"),
        (["run", "r.yaml", "--devices", "2"], LAUNCHED, "Leave --devices out"),
        (["fit", "."], LAUNCHED, "tinyrefinery fit is the work of one process"),
        (["audit", "."], {**LAUNCHED, "RANK": "1"}, "process 1: tinyrefinery audit is the work"),
    ],
)
def test_what_can_not_be_shared_is_one_message(
    arguments, variables, message, tmp_path, monkeypatch
):
    for name in NO_LAUNCHER:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    start = RECIPE.index("    labels:")
    plain = RECIPE[:start] + RECIPE[RECIPE.index("engine:") :]
    (tmp_path / "r.yaml").write_text(plain.replace("EPOCHS", "1"))
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 2
    assert message in " ".join(ended.output.split())
    assert not list(tmp_path.rglob("model.safetensors"))


def test_the_folder_of_a_run_does_not_depend_on_the_processes(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE.replace("EPOCHS", "1"))
    one = load_recipe(file)
    several = load_recipe(file, ["engine.devices=4", "engine.nodes=2"])
    assert run_folder(tmp_path, "r", several) == run_folder(tmp_path, "r", one)
    assert "nodes" not in dump(one)  # so folders of recipes from before it stay the same


@pytest.fixture
def group(tmp_path):
    """A process group of this process alone."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


def test_a_lost_process_is_one_message(group):
    message = "[gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]"
    lost = pytest.raises(ChainError, match="another process of this training ended")
    with lost, told_if_others_ended():
        raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="size mismatch"), told_if_others_ended():
        raise RuntimeError("size mismatch")


def test_without_a_group_an_error_stays():
    with pytest.raises(RuntimeError, match="gloo"), told_if_others_ended():
        raise RuntimeError("gloo")
