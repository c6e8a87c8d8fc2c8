"""What several of the API tests share."""

import pytest

from support.valid_requests import World


@pytest.fixture(scope="session")
def worlds():
    return []


@pytest.fixture
def world(request, worlds, new_user):
    """Users and rooms for a test that only wants something to name. Passed on to the next test while it is still whole."""
    if not worlds:
        worlds.append(World(new_user))
    yield worlds[0]
    if not worlds[0].whole():
        worlds.clear()
