"""Two processes under accelerate do what one does at the same global batch.

torchrun starts them: 'accelerate launch' starts several processes on CPUs only through MPI.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from icedit_core.training import loop

from . import training_world as world

WORKER = Path(__file__).with_name("training_worker.py")
OPTIMISERS = {"adamw": {"name": "adamw", "lr": 1e-3}, "prodigy": {"name": "prodigy", "lr": 1.0}}
STEPS = {"adamw": 8, "prodigy": 60}  # Prodigy begins with steps of 1e-6
SHARED = {"ema": {"decay": 0.9}, "validation": {"every": 30, "rows": 2, "steps": 2}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    return trained(tmp_path_factory.mktemp("adamw"), "adamw")


def trained(folder: Path, name: str) -> Path:
    """The folder, with one-NAME and two-NAME of that optimiser, from one process and from two."""
    data, optimiser, train = world.write_rows(folder / "pairs"), OPTIMISERS[name], {"steps": STEPS[name]}
    alone = world.config(data, folder / f"one-{name}", optimiser=optimiser, train=train | {"batch": 2}, **SHARED)
    loop.train(alone, base=world.base())
    train |= {"batch": 1, "gradient_checkpointing": name == "prodigy"}
    shared = world.values(data, folder / f"two-{name}", optimiser=optimiser, train=train, **SHARED)
    (folder / "jobs.json").write_text(json.dumps({"fork": False, "jobs": [{"values": shared}]}), encoding="utf-8")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port())]
    launch += [str(WORKER), str(folder / "jobs.json")]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    run = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


def largest_difference(folder: Path, name: str) -> float:
    one, two = (load_file(folder / f"{count}-{name}" / "adapter.safetensors") for count in ("one", "two"))
    assert one.keys() == two.keys()
    assert any(bool(tensor.any()) for key, tensor in one.items() if "lora_B" in key), "nothing was learnt"
    return max(float((one[key] - two[key]).abs().max()) for key in one)


def test_two_processes_equal_one_with_adamw(outputs):
    assert largest_difference(outputs, "adamw") < 1e-5


@pytest.mark.slow
def test_two_processes_equal_one_with_prodigy(tmp_path):
    outputs = trained(tmp_path, "prodigy")
    scale = (outputs / "two-prodigy" / "loss.csv").read_text().splitlines()[-1].split(",")[3]
    assert float(scale) > 1e-5, "its steps must have grown for this to say anything"
    assert largest_difference(outputs, "prodigy") < 1e-5


def test_they_log_the_same_losses_and_each_file_once(outputs):
    one, two = (outputs / f"{count}-adamw" for count in ("one", "two"))
    curves = [
        [list(map(float, line.split(",")[:2])) for line in (out / "loss.csv").read_text().splitlines()[1:]]
        for out in (one, two)
    ]
    assert torch.allclose(torch.tensor(curves[0]), torch.tensor(curves[1]), atol=1e-5)
    assert [step for step, _ in curves[1]] == list(range(1, 9))
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}


def test_a_checkpoint_of_two_processes_goes_on_in_one(outputs, tmp_path):
    """The global batch is what counts, not who computes it."""
    out = outputs / "two-adamw"
    state = torch.load(out / "checkpoints" / "step-00000008" / "state.pt", weights_only=True)
    seen = []
    settings = world.config(
        outputs / "pairs", out, optimiser=OPTIMISERS["adamw"], train={"batch": 2, "steps": 10}, **SHARED
    )
    loop.train(settings, base=world.base(), on_event=lambda kind, values: seen.append((kind, values["step"])))
    assert state["step"] == 8 and seen[0] == ("start", 8) and ("step", 10) in seen
