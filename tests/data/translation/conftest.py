"""Pairs of made-up sentences, and their vocabularies."""

import random

import pytest

from kapps.data import translation

WORDS = {
    "one": "eins", "two": "zwei", "three": "drei", "grey": "grau", "cats": "Kätzchen", "sleep": "schlafen",
}  # fmt: skip


@pytest.fixture(scope="module")
def sentences():
    """Sources of 1 to 12 words, and their translations word by word."""
    generator = random.Random(0)
    rows = [generator.choices(list(WORDS), k=generator.randint(1, 12)) for _ in range(300)]
    sources = [" ".join(row) for row in rows]
    targets = [" ".join(WORDS[word] for word in row) for row in rows]
    return sources, targets


@pytest.fixture(scope="module")
def vocabularies(sentences):
    return translation.learn_vocabularies(*sentences, size=290)


@pytest.fixture(scope="module")
def pairs(sentences, vocabularies):
    return vocabularies.encode(*sentences)
