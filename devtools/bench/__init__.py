"""Measurements: recorded with their machine, reported, never asserted."""
