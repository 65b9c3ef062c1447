"""Train the demo's model from the shipped weights on, or go on with it: every stage in turn, in the background.

    COMFYUI_PATH=... python -m workshop.train --state DIR [--only moe_lora normal_lora] [--base-steps 15000]

Stages: the autoencoder's decoder, the base model, its files (DIR/weights), the adapters, their files (DIR/loras). The
encoder stays as it is, so that the base model goes on from latents it knows; both learn at a share of the usual rates,
falling from the start. DIR lies outside the checkout; each stage goes on from its last checkpoint there, and a stage
that is done is passed over. One thread, at the lowest priority, and stopped while `dev.py bench` measures. The stages
count steps or CPU minutes, so that neither the waiting nor another load changes what is trained.
"""

import argparse
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from demo.model_files import DEMO, LORAS, WEIGHTS

from .measuring import is_measuring

ROOT = DEMO.parent
DECODER_SHARE, BASE_SHARE = 0.3, 0.8  # of the usual rates
POLL = 1.0  # seconds between two looks whether a bench measures
log = logging.getLogger("train")


def stages(
    state: Path, adapters: list[str], decoder_minutes: float, base_steps: int, adapter_steps: int
) -> list[tuple[Path, list[str]]]:
    """Each stage's last file, and the module with the arguments that make it."""
    begun = state / "begin"
    decoder = [f"--minutes={decoder_minutes}", "--decoder-only", f"--share={DECODER_SHARE}"]
    base = [f"--steps={base_steps}", f"--share={BASE_SHARE}"]
    return [
        (state / "autoencoder.done", ["train_autoencoder", f"--state={state}", f"--begin={WEIGHTS}", *decoder]),
        (state / "base.done", ["train_base", f"--state={state}", f"--begin={WEIGHTS}", *base]),
        (state / "weights.done", ["export", f"--state={state}", f"--out={state / 'weights'}"]),
        *(
            (
                state / f"{name}.done",
                [
                    "train_adapters",
                    f"--state={state / 'adapters'}",
                    f"--base={state / 'weights'}",
                    f"--steps={adapter_steps}",
                    f"--begin={begun}",
                    f"--only={name}",
                ],
            )
            for name in adapters
        ),
        (state / "loras.done", ["export", f"--state={state / 'adapters'}", "--adapters", f"--out={state / 'loras'}"]),
    ]


def begin(state: Path, adapters: list[str], folders: list[Path]) -> None:
    """Lay the adapters of now where `train_adapters --begin` reads them."""
    for name in adapters:
        goal = state / "begin" / name / "adapter.safetensors"
        files = [file for folder in folders if (file := folder / f"icedit_demo_{name}.safetensors").is_file()]
        if not files:
            raise ValueError(f"train: there is no adapter {name} in {', '.join(map(str, folders))}. Correct --only.")
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[0], goal)


def run(arguments: list[str]) -> None:
    """One stage as a process of one thread, which stands still while a bench measures.

    Raises:
        RuntimeError: it failed.
    """
    module, *options = arguments
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-m", f"workshop.{module}", *options]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    standing = False
    try:
        while process.poll() is None:
            time.sleep(POLL)
            if standing != is_measuring():
                standing = not standing
                process.send_signal(signal.SIGSTOP if standing else signal.SIGCONT)
                log.info("%s %s", module, "waits for a bench" if standing else "goes on")
    except BaseException:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()
        raise
    if process.returncode:
        raise RuntimeError(f"train: {module} failed with exit code {process.returncode}. Its messages stand above.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, required=True, help="a folder outside the checkout")
    parser.add_argument("--only", nargs="+", default=["moe_lora", "normal_lora"], help="adapters to train on")
    parser.add_argument("--decoder-minutes", type=float, default=40)
    parser.add_argument("--base-steps", type=int, default=15000)
    parser.add_argument("--adapter-steps", type=int, default=1500)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    state = args.state.resolve()
    if state.is_relative_to(ROOT):
        raise SystemExit(f"train: got --state {state}, but it must lie outside {ROOT}. Name another folder.")
    os.nice(19)
    state.mkdir(parents=True, exist_ok=True)
    begin(state, args.only, [LORAS, ROOT / "workshop" / "loras"])
    for done, arguments in stages(state, args.only, args.decoder_minutes, args.base_steps, args.adapter_steps):
        if not done.exists():
            run(arguments)
            done.touch()


if __name__ == "__main__":
    main()
