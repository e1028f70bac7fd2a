"""`python -m controlplane`: what cannot work is one sentence and exit code 2, and nothing is left behind."""

import socket
from pathlib import Path

import pytest
from subprocesses import Program, refusal

from controlplane.config import Config, SetupError, check


async def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = await refusal("--port", str(port), "--data-dir", str(tmp_path))
    assert code == 2
    assert said == f"controlplane: Port {port} on 127.0.0.1 is in use by another process; choose one with --port.\n"


async def test_a_data_directory_has_one_user(tmp_path: Path) -> None:
    async with Program("--data-dir", str(tmp_path)):
        code, said = await refusal("--port", "0", "--data-dir", str(tmp_path))
    assert code == 2
    assert said.count("\n") == 1
    assert str(tmp_path) in said


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["--host", "0.0.0.0"], {}, "beyond this machine, set BERTH_ACCESS_KEY_ID and BERTH_SECRET_ACCESS_KEY, or"),
        ([], {"BERTH_HOST": "0.0.0.0", "BERTH_ACCESS_KEY_ID": "x"}, "go together."),
        (["--policy", "none"], {}, "Unknown policy 'none'; there are ecs-2026, ecs-2015, on-exit, deadline, lease."),
        ([], {"BERTH_POLICY": "none"}, "Unknown policy 'none'"),
        (["--data-dir", "/proc/berth"], {}, "The data directory /proc/berth cannot be made"),
        (["--data-dir", "/dev/null"], {}, "The data directory /dev/null cannot be made"),
        (["--healthy-after-seconds", "-1"], {}, "must be 0 or more"),
    ],
)
async def test_bad_settings_are_one_sentence(arguments: list[str], environment: dict[str, str], sentence: str) -> None:
    code, said = await refusal(*arguments, "--port", "0", **environment)
    assert code == 2
    assert said.startswith("controlplane: ")
    assert sentence in said
    assert said.count("\n") == 1


def test_a_data_directory_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(SetupError, match="is not writable"):
        check(Config(data_dir=tmp_path))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    check(Config(host=host))
