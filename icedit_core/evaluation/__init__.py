"""Editors measured by evidence: data sets and their protocols, metrics, and two or more runs compared.

Heavy libraries (transformers, torchmetrics, scipy, matplotlib, jinja2, pyarrow) are imported where they are used.
"""
