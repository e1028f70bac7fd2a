"""What all tests share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import ports
import pytest
import search
import witness

search.set_up()


@pytest.fixture
def free_port():
    """A port of the loopback that nobody listens on."""
    return ports.free_port()


@pytest.fixture
def free_port_2():
    """Another one."""
    return ports.free_port()


@pytest.fixture
def free_port_3():
    """And a third."""
    return ports.free_port()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """A failed test's report has what its processes said: a failure elsewhere is understood from its output."""
    report = yield
    if report.failed:
        report.sections += witness.testimony()
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    """The next test's report speaks of the next test."""
    answer = yield
    witness.dismiss()
    return answer
