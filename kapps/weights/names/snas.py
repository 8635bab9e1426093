"""SNAS: the names of DARTS."""

from kapps.weights.names.darts import quark0

__all__ = ["quark0"]
