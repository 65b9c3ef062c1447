"""Adapters: low-rank updates of Linear layers, plain or with a per-token router over experts."""
