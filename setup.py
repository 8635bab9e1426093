"""Builds and installs kapps for tools that call setup.py; the project's metadata is in pyproject.toml."""

from setuptools import setup

setup()
