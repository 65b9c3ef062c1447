"""Where the demo model's files lie, and which they are. Standard library only."""

import hashlib
import json
from pathlib import Path

DEMO = Path(__file__).parent
WEIGHTS = DEMO / "weights"
LORAS = DEMO / "loras"
ADAPTER = LORAS / "icedit_demo_moe_lora.safetensors"  # what the demo's workflows load
EXAMPLE_PICTURE = DEMO / "example.png"  # what the instruction in config.json is about


def hashes(weights: Path = WEIGHTS, adapter: Path = ADAPTER) -> dict[str, str]:
    """SHA-256 of every file that a measurement is of: the base's from its config.json, the adapter's as it is now."""
    config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    return config["sha256"] | {adapter.name: hashlib.sha256(adapter.read_bytes()).hexdigest()}
