"""Compute only what an edit changes: which steps are short, which tokens they compute, what the others become.

An editor computes all of the picture at every step, and most edits touch a small part. At a *full* step every token is
computed and the keys and values of all blocks are kept. A *short* step computes the *active* tokens alone, with the
kept keys and values of the *spared* ones and of the reference. One rule a file; nothing here knows a model.
"""
