"""Weights that measure, below the host's folder of picture encoders (models/clip_vision)."""

from pathlib import Path

import folder_paths

from ...icedit_core.evaluation.metrics.models import Models, kind_of
from ...icedit_core.foreign import line

NONE = "none"
KIND = "clip_vision"
CLIP, DINO = ("clip",), ("vit", "dinov2")
NETS = {"squeezenet": "squeeze", "alexnet": "alex", "vgg": "vgg"}
"""What a file of torchvision's weights has in its name -> the backbone of LPIPS."""
WHO = "ICEdit Metrics"


def folders(types: tuple[str, ...]) -> list[str]:
    """`NONE`, and the transformers folders of these types that have weights in .safetensors."""
    names = {Path(name).parent for name in _files() if name.endswith(".safetensors")}
    return [NONE, *sorted(name.as_posix() for name in names if name.parts and kind_of(_folder(name)) in types)]


def lpips_files() -> list[str]:
    """`NONE`, and the files with a backbone's name in theirs."""
    return [NONE, *(name for name in _files() if _net(name))]


def models(clip: str, dino: str, lpips: str) -> Models:
    """The weights behind names of the lists.

    Raises:
        ValueError: a name that is not there, or weights that are none.
    """
    paths = [_path(name) for name in (clip, dino, lpips)]
    try:
        return Models(*paths, net=_net(lpips) or "squeeze")
    except ValueError as problem:
        raise ValueError(f"{WHO}: {problem}") from None


def stamp(*names: str | None) -> str:
    """Changes with the files; a linked name arrives as None."""
    found = [_path(name) for name in names if name]
    files = [file for path in found if path for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return " ".join(f"{file.stat().st_mtime_ns}:{file.stat().st_size}" for file in files)


def _files() -> list[str]:
    return folder_paths.get_filename_list(KIND)


def _folder(name: Path) -> Path:
    """The folder that a name of the list lies in, in whichever of the host's places it is."""
    file = next(one for one in _files() if Path(one).parent == name and one.endswith(".safetensors"))
    return Path(folder_paths.get_full_path(KIND, file) or "").parent


def _path(name: str) -> Path | None:
    if name == NONE:
        return None
    if name in lpips_files():
        return Path(folder_paths.get_full_path(KIND, name) or "")
    if name in {*folders(CLIP), *folders(DINO)}:
        return _folder(Path(name))
    raise ValueError(
        f"{WHO}: {line(name)} is not there, but a folder or file below models/{KIND} is needed. Put it there and "
        "press R."
    )


def _net(name: str) -> str:
    return next((net for word, net in NETS.items() if word in Path(name).name.lower()), "")
