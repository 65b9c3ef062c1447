"""Pictures on the running node: small temporary files that the pack's scripts in web/js fetch.

They stand in the ui output one level deeper than the host's own "images", so that no API client that collects a
workflow's files takes them for results: it would download the diptych beside the edit.
"""

from comfy_api.latest import ui
from torch import Tensor


def for_browser(key: str, **pictures: Tensor) -> dict[str, list[dict]]:
    """A part of a node's ui output.

    Args:
        key: what the script in web/js looks for.
        pictures: name -> (B, H, W, 3 or 4) in [0, 1]. The longest batch counts; entry i takes picture i % B.
    Returns:
        key -> for each picture, name -> where the host keeps the file.
    """
    kept = {name: ui.PreviewImage(batch).values for name, batch in pictures.items()}
    count = max(len(entries) for entries in kept.values())
    return {key: [{name: entries[i % len(entries)] for name, entries in kept.items()} for i in range(count)]}
