"""One file per command of dev.py; each has `main(argv) -> exit code`."""
