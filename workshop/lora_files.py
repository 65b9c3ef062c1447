"""Where the trained adapters lie: the one that ships in the demo, the ablation's others here."""

from pathlib import Path

from demo.model_files import ADAPTER

LORAS = Path(__file__).parent / "loras"


def lora_file(variant: str) -> Path:
    """The file of a variant of `train_adapters`, such as moe_lora."""
    name = f"icedit_demo_{variant}.safetensors"
    return ADAPTER if name == ADAPTER.name else LORAS / name
