"""Every `berth` command that asks a control plane signs, with the keys that AWS tools would take."""

import asyncio
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from berth.__main__ import berth
from berth.cli.options import Choice
from controlplane.api.keys import KeyRing, Keys
from controlplane.config import Config
from controlplane.server import running

KEYS = Keys("AKIDTEST", "secret")
MISMATCH = "The request signature we calculated does not match"
WORDS = {"changes": "ecs-2026", "value": "1"}
"""Arguments for which not any word will do."""
OPTIONS = {("group", "create"): ("--max", "1"), ("group", "set"): ("--min", "1")}
ENDLESS = {("group", "run")}
"""It follows the control plane until Ctrl-C, and outlives its refusals."""


def leaves(command: click.Command, context: click.Context, *path: str) -> Iterator[tuple[str, ...]]:
    """Each command with `--endpoint`, as the words that call it."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from leaves(inner, context, *path, name)
    elif path not in ENDLESS and any(parameter.name == "endpoint" for parameter in command.params):
        words = (word(parameter) for parameter in command.params if isinstance(parameter, click.Argument))
        yield (*path, *words, *OPTIONS.get(path, ()))


def word(argument: click.Argument) -> str:
    assert argument.name is not None
    return argument.type.words[0] if isinstance(argument.type, Choice) else WORDS.get(argument.name, "default")


COMMANDS = list(leaves(berth, click.Context(berth)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
async def test_it_signs(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    async with running(Config(port=0, keys=KeyRing((KEYS,)))) as plane:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECS", plane.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key_id)
        for secret in ("guess", KEYS.secret_access_key):
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
            result = await asyncio.to_thread(CliRunner().invoke, berth, words)
            assert result.exception is None or isinstance(result.exception, SystemExit | click.ClickException)
            said.append(result.output)
    assert MISMATCH in said[0]
    assert MISMATCH not in said[1]
    assert "MissingAuthenticationToken" not in said[1]


def test_all_are_there() -> None:
    assert {"alarm", "events", "explain", "fit", "policy", "reset", "schedule", "watch"} <= {c[0] for c in COMMANDS}
