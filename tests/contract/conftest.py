"""A control plane in this process, on a free port, for the tests of its API."""

from collections.abc import AsyncIterator

import pytest
from apiside import Ecs
from haproxy_here import PROGRAM

from controlplane.config import Config
from controlplane.server import ControlPlane, running


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with running(Config(port=0, healthy_after_seconds=0, check_answers=True, haproxy=PROGRAM)) as plane:
        yield plane


@pytest.fixture
def ecs(plane: ControlPlane) -> Ecs:
    return Ecs(plane.url)
