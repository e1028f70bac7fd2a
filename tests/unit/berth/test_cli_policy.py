"""`berth policy`: what it asks for, what it shows, and the sentence where the words make no sense."""

from typing import Any

import pytest
from click.testing import CliRunner

from berth.__main__ import berth
from berth.client import EcsClient

ANSWER = {
    "clusterName": "c",
    "preset": None,
    "policy": {"hold-ends": "deadline", "pending-lease-seconds": None},
    "agent": {"task-queue": "serial"},
}


def test_it_asks_and_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def call(_: EcsClient, operation: str, **members: Any) -> dict[str, Any]:
        asked.append((operation, members))
        return ANSWER

    monkeypatch.setattr(EcsClient, "call", call)
    told = CliRunner().invoke(berth, ["policy", "set", "c", "lease", "hold-ends=deadline"])
    assert told.output.splitlines() == [
        "cluster c: a combination of its own",
        "  hold-ends=deadline",
        "  pending-lease-seconds=none",
        "  task-queue=serial  (agents)",
    ]
    assert CliRunner().invoke(berth, ["policy", "show", "c"]).output == told.output
    assert asked == [
        ("PutClusterPolicy", {"cluster": "c", "preset": "lease", "switches": {"hold-ends": "deadline"}}),
        ("GetClusterPolicy", {"cluster": "c"}),
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["ecs-1999"], "is no policy preset; there are ecs-2026"), (["lease", "deadline"], "are two presets")],
)
def test_words_that_make_no_sense(words: list[str], sentence: str) -> None:
    refused = CliRunner().invoke(berth, ["policy", "set", "default", *words])
    assert (refused.exit_code, sentence in refused.output) == (2, True)
