"""A command in a container is over when Docker says so, which may be after its output has ended."""

from types import SimpleNamespace
from unittest import mock

import docker.errors
import pytest

from agent.runtime import execution
from agent.runtime.execution import Execution
from agent.runtime.port import RuntimeCallError

RUNS = {"Running": True, "ExitCode": None}


def a_command(*found):
    """Docker says so of it, look by look."""
    connection = SimpleNamespace(
        setblocking=lambda _: None,
        _response=SimpleNamespace(raw=SimpleNamespace(_fp=SimpleNamespace(fp=SimpleNamespace(peek=bytes)))),
    )
    client = SimpleNamespace(exec_inspect=mock.Mock(side_effect=found))
    return Execution(client, "id", connection, has_terminal=False)


async def test_the_exit_code_is_the_one_of_the_end(monkeypatch):
    monkeypatch.setattr(execution, "LOOK_AGAIN_SECONDS", 0)
    assert await a_command(RUNS, RUNS, {"Running": False, "ExitCode": 7}).exit_code() == 7


async def test_a_command_that_goes_on_without_output_has_no_exit_code(monkeypatch):
    monkeypatch.setattr(execution, "LOOK_AGAIN_SECONDS", 0)
    with pytest.raises(RuntimeCallError, match="still runs"):
        await a_command(*[RUNS] * execution.LOOKS_MAX).exit_code()


async def test_an_engine_that_does_not_say_is_no_success():
    with pytest.raises(RuntimeCallError):
        await a_command(docker.errors.APIError("gone")).exit_code()
