"""One published file format a module; `read` gives an Adapter or says why not."""

from .icedit import read

__all__ = ["read"]
