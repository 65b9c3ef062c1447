"""Developers' tools that run inside the prepared environment; users of the nodes need none of them."""
