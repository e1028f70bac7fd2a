"""`berth fit`: copies and what is left over, for a file and against limits other than size."""

import json
import re
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
    assert ["2048", "15731", "2", "0", "987", "CPU,", "MEMORY", "r5.large"] in words
    assert ["2048", "491", "0", "2048", "491", "MEMORY", "t3.nano"] in words
    told = CliRunner().invoke(berth, ["fit", str(file)], terminal_width=80)
    assert "r5.large" not in told.output
    assert re.search(r" 2048 +15731 +2 +0 +987 +CPU, MEMORY +large: r5 r5a", told.output), "types that are alike, once"
    file.write_text("nonsense")
    told = CliRunner().invoke(berth, ["fit", str(file)])
    assert (told.exit_code, len(told.output.strip().splitlines())) == (2, 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[", "is no JSON of a task definition"),
        ("{}", "it has no containerDefinitions"),
        ('{"containerDefinitions": []}', "it has no containerDefinitions"),
        ('{"containerDefinitions": "x"}', "it has no containerDefinitions"),
        ('{"containerDefinitions": [{"name": "a", "memory": [5]}]}', "a wrong type"),
        ('{"containerDefinitions": [{"name": "a", "memory": "ten"}]}', "whose size can be read"),
        ('{"containerDefinitions": [{"name": "a", "memory": -5}]}', "takes -5 MiB"),
        ('{"containerDefinitions": [{"name": "a"}]}', "takes 0 MiB"),
    ],
)
def test_what_is_no_task_definition_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "task.json"
    file.write_text(text)
    result = CliRunner().invoke(berth, ["fit", str(file)])
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert sentence in result.output


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "ftp://x", "localhost:6333"])
def test_an_endpoint_that_is_none_is_told_so(endpoint: str) -> None:
    result = CliRunner().invoke(berth, ["host", "list", "--endpoint", endpoint])
    assert (result.exit_code, result.output) == (
        2,
        f"{endpoint!r} is no endpoint: write it like http://127.0.0.1:6333.\n",
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--events-webhook", "nonsense"), "--events-webhook is 'nonsense', but must be an http or https URL."),
        (("--events-file", "/nonexistent/x"), "The folder of --events-file, /nonexistent, is not there."),
        (("--tls-cert", "/nonexistent/x", "--tls-key", "/nonexistent/x"), "There is no file /nonexistent/x."),
    ],
)
def test_dev_refuses_before_it_starts_anything(words: tuple[str, ...], sentence: str) -> None:
    result = CliRunner().invoke(berth, ["dev", "--runtime", "scripted", *words])
    assert (result.exit_code, result.output) == (2, f"{sentence}\n")
