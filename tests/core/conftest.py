"""The core ring imports from the pack's root; no ComfyUI is in reach here, so nothing can be hidden."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
