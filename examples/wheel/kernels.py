"""Compiled when the wheel is built; not part of it."""

import phalanx as px


def standardize(x):
    """Every row with mean 0 and variance 1."""
    centred = x - px.mean(x, axis=-1, keepdims=True)
    return centred / px.sqrt(px.mean(centred * centred, axis=-1, keepdims=True) + 1e-6)
