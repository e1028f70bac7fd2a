"""Options, hooks, groups and files of keys, spoilt at random: read, or refused with one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from search import tries

from berth.access import access_of
from berth.cli.group import read_hook
from berth.cli.options import duration_seconds
from berth.errors import UserError
from berth.groups import read_group
from controlplane.api.keys import read_keys_file
from controlplane.config import Config, SetupError, check

DIGITS = "9" * 5000
"""More than Python makes a number of."""
GROUP = ("web", ",", "=", "min=1", "max=", "desired=2", "boot=", "30s", "zone=a", "type=r5.large+", "warmup=5s")
HOOK = ("h", "launching", "terminating", "heartbeat=", "1h", "default=ABANDON", "url=http://x", "-1", "²", "\n", "m")
LINES = (b"[a]", b"[", b"\n", b"aws_access_key_id = x", b"aws_secret_access_key = y", b"=", b"%(z)s", b"\xff")


def refusal(read: Callable[[Any], object], what: Any, kind: type[Exception]) -> str:
    """The sentence of a refusal, "good" where there was none."""
    try:
        read(what)
    except kind as refused:
        return type(refused).__name__ if isinstance(refused, UnicodeError) else str(refused)
    return "good"


@settings(max_examples=tries(400))
@given(st.lists(st.sampled_from((*GROUP, *HOOK, DIGITS)) | st.text(max_size=5), max_size=8).map("".join))
@example(f"web,max={DIGITS}")
@example(f"web,boot={DIGITS}s")
@example(f"h,launching,heartbeat={DIGITS}s")
def test_words_are_read_or_refused(text: str) -> None:
    for read in (read_group, read_hook, duration_seconds):
        assert refusal(read, text, UserError)


@settings(max_examples=tries(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(LINES) | st.binary(max_size=5), max_size=8).map(b"".join))
def test_a_file_of_keys_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys"
    path.touch(mode=0o600)
    path.write_bytes(content)
    sentences = [
        refusal(read_keys_file, path, ValueError),
        refusal(lambda file: access_of(file, None, None, "off"), path, UserError),
    ]
    assert all(str(path) in sentence or sentence == "good" for sentence in sentences)


@pytest.mark.parametrize("members", [{"healthy_after_seconds": float("nan")}, {"time_scale": float("nan")}])
def test_no_number_is_no_setting(members: dict[str, float]) -> None:
    with pytest.raises(SetupError, match="must be"):
        check(Config(port=0, **members))
