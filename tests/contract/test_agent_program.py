"""The agent as the program that it is, where there is no Docker Engine: it waits, says so once, and ends when told."""

import os
import signal
import subprocess
import sys
import time

import pytest

from agent.runtime import connection
from agent.runtime.port import ForbiddenError, UnreachableError

IMPATIENT = """
import sys
import agent.daemon
agent.daemon.DOCKER_WAIT_SECONDS = 0.5
from agent.__main__ import main
sys.exit(main())
"""
"""The agent, but that it waits half a second for an engine."""
PATIENT = ("-m", "agent")


@pytest.fixture
def start(tmp_path):
    """Starts the agent (or a verb of its) with a Docker socket that is not there."""
    started = []

    def build(*program):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ECS_", "BERTH_"))}
        ours = {
            "DOCKER_HOST": f"unix://{tmp_path}/docker.sock",
            "ECS_BACKEND_HOST": "http://127.0.0.1:1",
            "ECS_DATADIR": str(tmp_path / "agent"),
        }
        process = subprocess.Popen([sys.executable, *program], env=inherited | ours, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield build
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_waits_says_so_once_and_ends_when_told(start, number):
    agent = start(*PATIENT)
    first = agent.stderr.readline()
    time.sleep(1)  # a few tries more
    assert agent.poll() is None
    agent.send_signal(number)
    _, rest = agent.communicate(timeout=60)
    assert "No Docker Engine answers" in first
    assert "waits for it, 120 s at most" in first
    assert (agent.returncode, rest) == (0, "")


def test_who_started_it_may_try_again(start):
    agent = start("-c", IMPATIENT)
    _, said = agent.communicate(timeout=60)
    assert agent.returncode == 1, "not the code that says never again"
    assert said.splitlines()[-1].startswith("No Docker Engine answers: start it")
    assert len(said.splitlines()) == 2


def test_a_question_is_answered_at_once(start):
    """`berth dev` asks so."""
    check = start(*PATIENT, "check")
    _, said = check.communicate(timeout=60)
    assert (check.returncode, said.count("\n")) == (2, 1)
    assert said.startswith("No Docker Engine answers")


def test_what_waiting_cannot_mend_is_told_apart(monkeypatch):
    def refused(**_):
        raise connection.docker.errors.DockerException(text)

    monkeypatch.setattr(connection.docker, "APIClient", refused)
    text = "Error while fetching server API version: ('Connection aborted.', PermissionError(13, 'Permission denied'))"
    with pytest.raises(ForbiddenError, match="join the group"):
        connection.probe()
    text = "Error while fetching server API version: ('Connection aborted.', FileNotFoundError(2, 'No such file'))"
    with pytest.raises(UnreachableError, match="No Docker Engine") as raised:
        connection.probe()
    assert not isinstance(raised.value, ForbiddenError)
