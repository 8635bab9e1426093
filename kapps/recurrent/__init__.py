"""Families of recurrent networks, one family per file."""
