from pathlib import Path

import pytest

from support.npm import Workspace


@pytest.fixture(scope="session")
def workspace():
    """Where this folder's scripts run."""
    return Workspace(Path(__file__).resolve().parent)
