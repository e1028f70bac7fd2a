"""`berth stop`: what it asks for, and the one sentence where that is refused."""

from typing import Any

import pytest
from click.testing import CliRunner

from berth.__main__ import berth
from berth.client import EcsClient
from wire.errors import AwsError, InvalidParameterException


@pytest.mark.parametrize(("arguments", "operation"), [([], "StopTask"), (["--force"], "ForceStopTask")])
def test_the_operation(monkeypatch: pytest.MonkeyPatch, arguments: list[str], operation: str) -> None:
    asked = []

    async def call(_: EcsClient, operation: str, **members: Any) -> dict[str, Any]:
        asked.append((operation, members))
        return {"task": {"taskArn": "arn", "lastStatus": "RUNNING", "desiredStatus": "STOPPED"}}

    monkeypatch.setattr(EcsClient, "call", call)
    told = CliRunner().invoke(berth, ["stop", "abc", "--reason", "because", *arguments])
    assert told.output == "arn RUNNING, desired STOPPED\n"
    assert asked == [(operation, {"cluster": "default", "task": "abc", "reason": "because"})]


def test_a_refusal_and_an_absence_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def call(_: EcsClient, __: str, **___: Any) -> dict[str, Any]:
        raise InvalidParameterException("The referenced task was not found.")

    nobody = CliRunner().invoke(berth, ["stop", "abc", "--endpoint", "http://127.0.0.1:1"])
    assert (nobody.exit_code, "No control plane answers at http://127.0.0.1:1" in nobody.output) == (2, True)
    monkeypatch.setattr(EcsClient, "call", call)
    refused = CliRunner().invoke(berth, ["stop", "abc"])
    assert refused.exit_code == 2
    assert "The referenced task was not found." in refused.output
    assert issubclass(InvalidParameterException, AwsError)
