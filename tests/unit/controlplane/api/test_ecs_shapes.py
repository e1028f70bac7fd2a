"""The model of botocore as our judge, over requests and answers."""

import subprocess
import sys

import pytest

from wire import ecs_shapes
from wire.errors import AwsError


def test_it_knows_all_operations_of_ecs():
    assert {"RunTask", "CreateService", "SubmitTaskStateChange"} <= ecs_shapes.operations()
    assert "SubmitStory" not in ecs_shapes.operations()


@pytest.mark.parametrize(
    ("operation", "body", "error"),
    [
        ("RunTask", {}, "InvalidParameterException: taskDefinition should not be null or empty."),
        ("RunTask", {"taskDefinition": None}, "InvalidParameterException: taskDefinition should not be null or empty."),
        ("RunTask", {"taskDefinition": 7}, "SerializationException: taskDefinition can not be read as a string."),
        ("RunTask", {"taskDefinition": "a", "count": "2"}, "count can not be read as an integer."),
        ("RunTask", {"taskDefinition": "a", "count": True}, "count can not be read as an integer."),
        (
            "RunTask",
            {"taskDefinition": "a", "launchType": "MOON"},
            "launch type should be one of [EC2,FARGATE,EXTERNAL",
        ),
        (
            "RegisterTaskDefinition",
            {"family": "f", "containerDefinitions": [{"environment": {"A": "1"}}]},
            "SerializationException: containerDefinitions[0].environment can not be read as a list.",
        ),
        (
            "RegisterTaskDefinition",
            {"family": "f", "containerDefinitions": [], "tags": [{"key": ""}]},
            "tags[0].key should have a length of at least 1.",
        ),
        ("RunTask", {"taskDefinition": "a", "tags": [{"key": "a!"}]}, "tags[0].key contains characters that are not"),
        ("RunTask", {"taskDefinition": "a", "count": 2**31}, "SerializationException: count can not be read as an"),
        (
            "PutClusterCapacityProviders",
            {
                "cluster": "c",
                "capacityProviders": [],
                "defaultCapacityProviderStrategy": [{"capacityProvider": "a", "weight": 1001}],
            },
            "defaultCapacityProviderStrategy[0].weight should be between 0 and 1000.",
        ),
    ],
)
def test_a_request_that_is_not_as_the_model_says_is_one_sentence(operation: str, body: dict[str, object], error: str):
    with pytest.raises(AwsError) as refused:
        ecs_shapes.check_request(operation, body)
    assert error in str(refused.value)


def test_unknown_members_are_kept_and_nulls_left_out():
    request = {"taskDefinition": "a", "new": {"x": None}, "group": None, "tags": [None]}
    assert ecs_shapes.check_request("RunTask", request) == {"taskDefinition": "a", "new": {}, "tags": []}


def test_a_pattern_knows_letters_of_every_script():
    tags = [{"key": "\u00e9\u4e2d_.:/=+-@ \u00a09", "value": ""}]
    assert ecs_shapes.check_request("RunTask", {"taskDefinition": "a", "tags": tags})["tags"] == tags


def test_an_answer_with_a_member_that_the_model_lacks_is_a_fault():
    answer = {"tasks": [{"taskArn": "a", "color": "red"}], "failures": {}}
    assert ecs_shapes.response_faults("RunTask", answer) == [
        "RunTask: tasks[0].color is not a member of Task.",
        "RunTask: failures can not be read as a list.",
    ]


def test_times_are_numbers():
    assert ecs_shapes.response_faults("StopTask", {"task": {"createdAt": 1.5, "stoppedAt": 2}}) == []
    assert ecs_shapes.response_faults("StopTask", {"task": {"createdAt": "2026-01-01"}})


def test_the_agent_never_loads_it():
    script = "import sys, agent.__main__; sys.exit(any(m.startswith('botocore') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
