"""Editing by inversion: a picture's way to noise under one prompt, and back under another.

`directedit`, `euler`, `rf_solver` and `flowedit` each have `edit(clean, field, plan, seen)`. They ask for velocities
through `plan.Field`, so they know no model.
"""

from . import directedit, euler, flowedit, rf_solver
from .plan import WHO, Edited, Field, Plan, relative_error

METHODS = {"directedit": directedit.edit, "euler": euler.edit, "rf_solver": rf_solver.edit, "flowedit": flowedit.edit}
STEPS = {"directedit": 2, "euler": 3, "rf_solver": 3, "flowedit": 1}
"""How often a method goes through the steps that are taken."""

__all__ = ["METHODS", "STEPS", "WHO", "Edited", "Field", "Plan", "relative_error"]
