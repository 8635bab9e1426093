"""Fixtures of the plots' tests."""

import pytest

import kapps


@pytest.fixture(scope="session")
def profile():
    return kapps.profile(kapps.resnet20_cifar())
