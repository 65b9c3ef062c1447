"""One published file format a module; `write` gives the tensors of an adapter, the inverse of `readers.read`."""

from .icedit import write

__all__ = ["write"]
