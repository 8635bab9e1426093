"""Families of attention networks, one family per file."""
