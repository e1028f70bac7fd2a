"""`berth fit`: copies and what is left over, for a file and against limits other than size."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from berth.__main__ import berth
from berth.cli.fit import fitted
from wire.instance_types import INSTANCE_TYPES
from wire.resources import Amounts

R5_LARGE = INSTANCE_TYPES["r5.large"]


@pytest.mark.parametrize(
    ("amounts", "reserved", "expected"),
    [
        (Amounts(1024, 7372), 0, (2, 0, 987, "CPU, MEMORY")),
        (Amounts(1024, 7372), 1000, (1, 1024, 7359, "MEMORY")),
        (Amounts(682, 5243), 0, (3, 2, 2, "CPU, MEMORY")),
        (Amounts(10, 10, frozenset({80})), 0, (1, 2038, 15721, "PORTS")),
        (Amounts(4096, 10), 0, (0, 2048, 15731, "CPU")),
        (Amounts(gpus=1), 0, (0, 2048, 15731, "GPU")),
    ],
)
def test_copies_and_what_is_left(amounts: Amounts, reserved: int, expected: tuple[int, int, int, str]) -> None:
    row = fitted(R5_LARGE, amounts, reserved)
    assert (row.copies, row.cpu_left, row.memory_left_mib, row.limit) == expected


def test_gpus_are_whole() -> None:
    row = fitted(INSTANCE_TYPES["g4dn.12xlarge"], Amounts(1024, 1024, gpus=3))
    assert (row.copies, row.limit) == (1, "GPU")


def test_a_file_needs_no_control_plane(tmp_path: Path) -> None:
    file = tmp_path / "task.json"
    file.write_text(json.dumps({"containerDefinitions": [{"name": "a", "cpu": 1024, "memory": 7372}]}))
    told = CliRunner().invoke(berth, ["fit", str(file), "--instance-type", "r5.large", "--instance-type", "t3.nano"])
    words = [line.split() for line in told.output.splitlines()]
    assert words[0] == ["One", "copy", "takes", "1024", "CPU", "units", "and", "7372", "MiB."]
    assert ["r5.large", "2048", "15731", "2", "0", "987", "CPU,", "MEMORY"] in words
    assert ["t3.nano", "2048", "491", "0", "2048", "491", "MEMORY"] in words
    file.write_text("nonsense")
    told = CliRunner().invoke(berth, ["fit", str(file)])
    assert (told.exit_code, len(told.output.strip().splitlines())) == (2, 1)
