"""X2Edit (arXiv 2508.07607) on FLUX.1 dev: its files, tasks, text path and sizes."""
