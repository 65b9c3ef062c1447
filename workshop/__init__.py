"""How the demo model was trained and is measured: TRAINING.md. Run in the pack's folder, `python -m workshop.NAME`."""
