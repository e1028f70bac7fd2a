"""Every variable of Amazon's agent is honoured or has a reason, in the code and in its documentation alike."""

import json
import logging
import re
from pathlib import Path

import pytest

from agent import config, variables
from agent.config import read
from agent.logs import LogFormat, LogSettings, set_up
from agent.machine.attributes import CLAIMED, capabilities

BASE = {"ECS_BACKEND_HOST": "http://127.0.0.1:6333"}
AMAZONS = set((Path(__file__).parent / "amazon_variables.txt").read_text().split())
DOCUMENT = (Path(__file__).parents[3] / "docs" / "agent.md").read_text()


def honoured():
    source = config._Source(BASE)
    original, config._Source = config._Source, lambda _: source
    try:
        read(BASE)
    finally:
        config._Source = original
    return source.read | set(variables.READ_ELSEWHERE)


def documented(heading):
    """Names in the first column of the table under a heading."""
    section = DOCUMENT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", cell)}


def test_every_variable_of_amazons_agent_is_honoured_or_has_a_reason():
    without = set(variables.NOT_APPLICABLE) | set(variables.NOT_YET)
    assert AMAZONS - honoured() - without == set()
    assert honoured() & without == set(), "these are honoured: take them out of agent/variables.py"
    assert without - AMAZONS == set()
    assert set(variables.NOT_APPLICABLE) & set(variables.NOT_YET) == set()


def test_the_document_lists_what_is_honoured_and_what_is_not():
    assert documented("Variables") == honoured()
    assert documented("Variables without effect yet") == set(variables.NOT_YET)
    assert documented("Variables that do not apply") == set(variables.NOT_APPLICABLE)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ECS_CLUSTR", "did you mean ECS_CLUSTER?"),
        ("ECS_CONTAINER_STOP_TIMOUT", "did you mean ECS_CONTAINER_STOP_TIMEOUT?"),
        ("BERTH_INSTANCE_TYP", "did you mean BERTH_INSTANCE_TYPE?"),
        ("ECS_SOMETHING_ELSE_ALTOGETHER", "is not known and has no effect."),
        ("ECS_POLL_METRICS", "has no effect yet: containers are read from their cgroups."),
        ("ECS_UPDATES_ENABLED", "has no effect here: this agent does not replace itself."),
    ],
)
def test_what_has_no_effect_is_told(name, words):
    (warning,) = read({**BASE, name: "x"}).warnings
    assert warning.startswith(f"{name} ")
    assert words in warning


@pytest.mark.parametrize("name", ["PATH", "HTTP_PROXY", "ECS_CONTAINER_METADATA_URI_V4", "DOCKER_HOST"])
def test_what_is_nobodys_mistake_is_not_told(name):
    assert read({**BASE, name: "x"}).warnings == ()
    assert read({**BASE, "ECS_CLUSTR": " "}).warnings == (), "an empty one is no setting"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ECS_LOGLEVEL", "loud"),
        ("ECS_LOG_ROLLOVER_TYPE", "daily"),
        ("ECS_LOG_OUTPUT_FORMAT", "xml"),
        ("ECS_LOG_MAX_FILE_SIZE_MB", "big"),
        ("ECS_ENABLE_CONTAINER_METADATA", "yes"),
        ("ECS_CONTAINER_INSTANCE_TAGS", "[1]"),
    ],
)
def test_a_malformed_one_is_told_and_the_default_stands(name, value):
    ours = read({**BASE, name: value})
    assert [warning.split()[0] for warning in ours.warnings] == [name]
    assert (ours.log, ours.local, ours.instance_tags) == (read(BASE).log, read(BASE).local, {})


@pytest.mark.parametrize("value", ["1", "t", "TRUE", "true"])
def test_booleans_are_gos(value):
    assert read({**BASE, "ECS_ENABLE_SPOT_INSTANCE_DRAINING": value}).local.drains_when_interrupted


@pytest.fixture
def root_log():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield root
    for handler in root.handlers[:]:
        if handler not in before:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)


@pytest.mark.parametrize(("kind", "reads"), [(LogFormat.JSON, json.loads), (LogFormat.LOGFMT, str)])
def test_the_log_rolls_over_and_speaks_amazons_formats(tmp_path, root_log, kind, reads):
    file = tmp_path / "agent.log"
    set_up(LogSettings(file=str(file), file_megabytes_max=0.0005, files_max=2, format=kind))
    for number in range(20):
        root_log.info("line %d of the log", number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent.log", "agent.log.1", "agent.log.2"]
    last = reads(file.read_text().splitlines()[-1])
    if kind is LogFormat.JSON:
        assert (last["level"], last["msg"]) == ("info", "line 19 of the log")
    else:
        assert re.match(r'level=info time=\S+ msg="line 19 of the log" module=root$', last)


def test_what_a_host_can_do_is_claimed_as_it_says():
    plain = set(capabilities(read(BASE).features))
    roles = {f"com.amazonaws.ecs.capability.task-iam-role{where}" for where in ("", "-network-host")}
    assert plain == {*CLAIMED, *roles}
    without = {"ECS_ENABLE_TASK_IAM_ROLE": "false", "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST": "0"}
    assert plain - set(capabilities(read({**BASE, **without}).features)) == roles
    said = read(
        {
            **BASE,
            "ECS_AVAILABLE_LOGGING_DRIVERS": '["json-file","syslog"]',
            "ECS_SELINUX_CAPABLE": "true",
            "ECS_APPARMOR_CAPABLE": "true",
            "ECS_DISABLE_DOCKER_HEALTH_CHECK": "true",
            "ECS_DISABLE_METRICS": "true",
        }
    )
    prefix = "com.amazonaws.ecs.capability."
    assert set(capabilities(said.features)) ^ plain == {
        f"{prefix}logging-driver.none",
        f"{prefix}logging-driver.awslogs",
        f"{prefix}logging-driver.syslog",
        f"{prefix}selinux",
        f"{prefix}apparmor",
        "ecs.capability.container-health-check",
    }
    assert (said.sends_metrics, read(BASE).sends_metrics) == (False, True)


def test_the_time_that_docker_has_for_a_create_and_a_start_has_amazons_lower_limits():
    said = read({**BASE, "ECS_CONTAINER_CREATE_TIMEOUT": "1m", "ECS_CONTAINER_START_TIMEOUT": "45s"})
    assert (said.options.create_seconds, said.options.start_seconds) == (60, 45)
    short = read({**BASE, "ECS_CONTAINER_CREATE_TIMEOUT": "59s", "ECS_CONTAINER_START_TIMEOUT": "44s"})
    assert (short.options.create_seconds, short.options.start_seconds) == (240, 240)
    assert len(short.warnings) == 2
