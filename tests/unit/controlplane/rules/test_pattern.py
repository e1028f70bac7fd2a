"""Event patterns: what matches, and what is refused by name."""

from typing import Any

import pytest

from controlplane.rules.pattern import PatternError, check, matches

EVENT = {
    "source": "aws.ecs",
    "detail-type": "ECS Task State Change",
    "resources": ["arn:aws:ecs:us-east-1:1:task/default/abc"],
    "detail": {
        "lastStatus": "STOPPED",
        "group": "service:web",
        "version": 5,
        "force": True,
        "nothing": None,
        "containers": [{"exitCode": 137, "name": "main"}, {"exitCode": 0, "name": "side"}],
    },
}


@pytest.mark.parametrize(
    ("detail", "is_match"),
    [
        ({"lastStatus": ["STOPPED"]}, True),
        ({"lastStatus": ["RUNNING", "STOPPED"]}, True),
        ({"lastStatus": ["RUNNING"]}, False),
        ({"lastStatus": ["STOPPED"], "group": ["family:x"]}, False),
        ({"group": [{"prefix": "service:"}]}, True),
        ({"group": [{"prefix": "family:"}]}, False),
        ({"group": [{"suffix": ":web"}]}, True),
        ({"group": [{"anything-but": "service:api"}]}, True),
        ({"group": [{"anything-but": ["service:web", "x"]}]}, False),
        ({"group": [{"anything-but": {"prefix": "service:"}}]}, False),
        ({"version": [{"anything-but": [5]}]}, False),
        ({"startedBy": [{"anything-but": "x"}]}, False),
        ({"group": [{"exists": True}]}, True),
        ({"startedBy": [{"exists": False}]}, True),
        ({"group": [{"exists": False}]}, False),
        ({"away": {"deeper": [{"exists": False}]}}, True),
        ({"away": {"deeper": ["x"]}}, False),
        ({"version": [{"numeric": [">", 4]}]}, True),
        ({"version": [{"numeric": [">", 1, "<=", 5]}]}, True),
        ({"version": [{"numeric": ["=", 4]}]}, False),
        ({"lastStatus": [{"numeric": [">", 1]}]}, False),
        ({"version": [5]}, True),
        ({"version": ["5"]}, False),
        ({"force": [True]}, True),
        ({"force": [1]}, False),
        ({"nothing": [None]}, True),
        ({"lastStatus": ["RUNNING", {"prefix": "STOP"}]}, True),
    ],
)
def test_matches(detail: dict[str, Any], is_match: object) -> None:
    pattern = {"source": ["aws.ecs"], "detail": detail}
    check(pattern)
    assert matches(pattern, EVENT) is is_match


def test_a_list_matches_with_any_of_its_members() -> None:
    assert matches({"resources": [{"suffix": "/abc"}]}, EVENT)
    assert not matches({"resources": [{"suffix": "/abd"}]}, EVENT)
    assert not matches({"resources": ["x"]}, {"resources": []})


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ({}, "must be an object"),
        ([], "must be an object"),
        ("x", "must be an object"),
        ({"source": "aws.ecs"}, "non-empty array"),
        ({"source": []}, "non-empty array"),
        ({"detail": {}}, "Empty objects"),
        ({"source": [["x"]]}, "Arrays in arrays"),
        ({"source": [{"prefix": "a", "suffix": "b"}]}, "Only one key"),
        ({"source": [{"wildcard": "a*"}]}, "wildcard is not served here"),
        ({"source": [{"equals-ignore-case": "a"}]}, "equals-ignore-case is not served here"),
        ({"source": [{"cidr": "10.0.0.0/8"}]}, "cidr is not served here"),
        ({"$or": [{"source": ["a"]}]}, "$or is not served"),
        ({"source": [{"prefix": 1}]}, "can not be used"),
        ({"source": [{"exists": "yes"}]}, "can not be used"),
        ({"source": [{"numeric": [">"]}]}, "can not be used"),
        ({"source": [{"numeric": ["~", 1]}]}, "can not be used"),
        ({"source": [{"anything-but": {"exists": True}}]}, "can not be used"),
    ],
)
def test_refused(pattern: Any, why: str) -> None:
    with pytest.raises(PatternError) as refusal:
        check(pattern)
    assert why in str(refusal.value)
