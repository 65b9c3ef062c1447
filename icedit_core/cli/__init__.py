"""The console script `icedit`; from a clone without installing, `python -m icedit_core.cli`."""
