"""Plots and arrays that show what is inside a model."""
