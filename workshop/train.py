"""Train the demo's model from the shipped weights on, or go on with it: every stage in turn, in the background.

    COMFYUI_PATH=... python -m workshop.train --state DIR [--only moe_lora normal_lora] [--base-minutes 80]

Stages: the autoencoder, the base model, its files (DIR/weights), the adapters, their files (DIR/loras). DIR lies
outside the checkout; each stage goes on from its last checkpoint there, and a stage that is done is passed over. One
thread, at the lowest priority, and stopped while `dev.py bench` measures. The stages count CPU minutes, so that neither
the waiting nor another load changes what is trained.
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
POLL = 1.0  # seconds between two looks whether a bench measures
log = logging.getLogger("train")


def stages(state: Path, adapters: list[str], minutes: dict[str, float], steps: int) -> list[tuple[Path, list[str]]]:
    """Each stage's last file, and the module with the arguments that make it."""
    begun = state / "begin"
    return [
        (
            state / "autoencoder.done",
            ["train_autoencoder", f"--state={state}", f"--minutes={minutes['autoencoder']}", f"--begin={WEIGHTS}"],
        ),
        (
            state / "base.done",
            ["train_base", f"--state={state}", f"--minutes={minutes['base']}", f"--begin={WEIGHTS}"],
        ),
        (state / "weights.done", ["export", f"--state={state}", f"--out={state / 'weights'}"]),
        *(
            (
                state / f"{name}.done",
                [
                    "train_adapters",
                    f"--state={state / 'adapters'}",
                    f"--base={state / 'weights'}",
                    f"--steps={steps}",
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
    parser.add_argument("--autoencoder-minutes", type=float, default=20)
    parser.add_argument("--base-minutes", type=float, default=80)
    parser.add_argument("--adapter-steps", type=int, default=1500)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    state = args.state.resolve()
    if state.is_relative_to(ROOT):
        raise SystemExit(f"train: got --state {state}, but it must lie outside {ROOT}. Name another folder.")
    os.nice(19)
    state.mkdir(parents=True, exist_ok=True)
    begin(state, args.only, [LORAS, ROOT / "workshop" / "loras"])
    minutes = {"autoencoder": args.autoencoder_minutes, "base": args.base_minutes}
    for done, arguments in stages(state, args.only, minutes, args.adapter_steps):
        if not done.exists():
            run(arguments)
            done.touch()


if __name__ == "__main__":
    main()
