"""`berth explain`: a line for each instance, the sentence below, and an exit code that a script can ask."""

from typing import Any

import pytest
from click.testing import CliRunner

from berth.__main__ import berth
from berth.client import EcsClient

TAKEN = {"instance": "a/i/one", "place": 1, "scores": {"binpack memory": 512}}
REFUSED = {"instance": "a/i/two", "reason": "RESOURCE:CPU", "lacks": "CPU", "missing": 24}


@pytest.mark.parametrize(("verdicts", "code"), [([TAKEN, REFUSED], 0), ([REFUSED], 1), ([], 1)])
def test_a_line_for_each_instance(monkeypatch: pytest.MonkeyPatch, verdicts: list[dict[str, Any]], code: int) -> None:
    async def call(_: EcsClient, __: str, **members: Any) -> dict[str, Any]:
        assert members == {"cluster": "default", "subject": "web"}
        return {"instances": verdicts, "sentence": "So it is."}

    monkeypatch.setattr(EcsClient, "call", call)
    told = CliRunner().invoke(berth, ["explain", "web"], standalone_mode=False)
    words = [line.split() for line in told.output.splitlines()]
    assert (["one", "1", "binpack", "memory", "=", "512"] in words) == (TAKEN in verdicts)
    assert (["two", "-", "RESOURCE:CPU:", "lacks", "CPU", "(24", "short)"] in words) == (REFUSED in verdicts)
    assert words[-1] == ["So", "it", "is."]
    assert told.return_value == code
