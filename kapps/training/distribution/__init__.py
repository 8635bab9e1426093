"""Precision, devices and workers of a training."""
