"""Files the nodes offer: the host's model folders and what the pack ships."""

from pathlib import Path

import folder_paths

from ...demo.model_files import LORAS
from ...icedit_core.foreign import line

SHIPPED = "icedit_demo/"


def lora_names() -> list[str]:
    """Adapter files: the user's, then the demo's, which comes first only where there is no other."""
    shipped = sorted(SHIPPED + path.name for path in LORAS.glob("*.safetensors"))
    return folder_paths.get_filename_list("loras") + shipped


def lora_path(name: str, who: str = "ICEdit Load LoRA") -> Path:
    """The file behind a name of `lora_names`.

    Args:
        who: the node that speaks.

    Raises:
        ValueError: there is no such file.
    """
    if name.startswith(SHIPPED) and name in lora_names():
        return LORAS / name[len(SHIPPED) :]
    path = folder_paths.get_full_path("loras", name)
    if path is None:
        raise ValueError(
            f"{who}: {line(name)} is not there, but a file in models/loras is needed. Put it there and refresh."
        )
    return Path(path)


def lora_state(name: str | None, who: str = "ICEdit Load LoRA") -> str:
    """What changes when the file changes on disk, for `fingerprint_inputs`; a linked name arrives there as None.

    Raises:
        ValueError: see `lora_path`.
    """
    if name is None:
        return ""
    stat = lora_path(name, who).stat()
    return f"{stat.st_mtime_ns}:{stat.st_size}"
