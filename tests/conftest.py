"""What all tests share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import socket

import pytest


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def free_port():
    """A port of the loopback that nobody listens on."""
    return _free_port()


@pytest.fixture
def free_port_2():
    """Another one."""
    return _free_port()


@pytest.fixture
def free_port_3():
    """And a third."""
    return _free_port()
