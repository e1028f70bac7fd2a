"""Requests made from botocore's models of ECS and its neighbours, well-formed and what becomes of them in bad hands."""

import json
from functools import cache
from typing import Any, NamedTuple

from botocore.loaders import Loader
from botocore.model import ServiceModel
from hypothesis import strategies as st

from wire import ecs_shapes, events, logs
from wire.envelope import request_headers

NAMES = ["default", "web", "web:1", "job", "host-1", "", "a/b", "arn:aws:ecs:us-east-1:123456789012:cluster/default"]
NUMERALS = ["10", "2048", "0.5 vCPU", "-1", "9" * 30, "9" * 5000, "9" * 400 + " GB", "web:" + "9" * 5000, "\u00b2"]
WORDS = st.one_of(st.sampled_from(NAMES), st.text(max_size=12), st.sampled_from(NUMERALS))
NEIGHBOURS = [
    *("PutRule", "PutTargets", "ListRules", "DescribeRule", "ListTargetsByRule", "ListRuleNamesByTarget"),
    *("EnableRule", "DisableRule", "RemoveTargets", "DeleteRule", "CreateLogGroup", "CreateLogStream"),
    *("DescribeLogGroups", "DescribeLogStreams", "PutLogEvents", "GetLogEvents", "FilterLogEvents"),
]
WHOLE = st.one_of(st.integers(-2, 12), st.sampled_from([80, 2048, 65536, 2**31, -(2**63), 2**64]))
WRONG = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        1e300,
        10**30,
        "",
        "x" * 300_000,
        "9" * 5000,
        '{"a":' + "[" * 4000,
        "\x00",
        "\ud7ff\U0001f6a2",
        [],
        {},
        [None],
        [[]],
        {"": {}},
    ]
)
OPTIONAL_MEMBERS_MAX = 3
ITEMS_MAX = 2
DEPTHS = st.sampled_from([30, 200, 2_000, 100_000])


@cache
def _operations() -> list[tuple[str, Any, dict[str, str]]]:
    """Name, input shape and headers of every operation; those of the neighbours are one in six."""
    names = sorted(ecs_shapes.operations())
    ecs = [
        (name, ecs_shapes.service_model().operation_model(name).input_shape, request_headers(name)) for name in names
    ]
    found = ecs * 2
    for service, prefix in (("events", events.TARGET_PREFIX), ("logs", logs.TARGET_PREFIX)):
        model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
        served = [name for name in NEIGHBOURS if name in model.operation_names]
        found += [("", model.operation_model(name).input_shape, request_headers(name, prefix)) for name in served] * 2
    return found


class Sent(NamedTuple):
    """One request as it goes out."""

    operation: str
    """Of ECS; "" for a neighbour's."""
    headers: dict[str, str]
    body: bytes


@st.composite
def values(draw: st.DrawFn, shape: Any, known: dict[str, list[str]]) -> Any:  # noqa: PLR0911 - one for each type
    """A value of a shape of the model; `known` are the names of what is there, by the member that takes them."""
    match shape.type_name:
        case "structure":
            chosen = set(shape.required_members)
            if shape.members:
                chosen |= draw(st.sets(st.sampled_from(sorted(shape.members)), max_size=OPTIONAL_MEMBERS_MAX))
            return {name: draw(_member(name, shape.members[name], known)) for name in sorted(chosen)}
        case "list":
            return draw(st.lists(values(shape.member, known), max_size=ITEMS_MAX))
        case "map":
            return draw(st.dictionaries(WORDS, values(shape.value, known), max_size=ITEMS_MAX))
        case "boolean":
            return draw(st.booleans())
        case "integer" | "long":
            return draw(WHOLE)
        case "float" | "double" | "timestamp":
            return draw(st.floats(-1, 2e9))
        case _:
            return draw(st.sampled_from(shape.enum) if shape.enum else WORDS)


def _member(name: str, shape: Any, known: dict[str, list[str]]) -> st.SearchStrategy[Any]:
    there = known.get(name)
    if not there:
        return values(shape, known)
    pick: st.SearchStrategy[Any] = st.sampled_from(there)
    if shape.type_name == "list":
        pick = st.lists(pick, min_size=1, max_size=2)
    return st.one_of(pick, pick, values(shape, known))


@st.composite
def requests(draw: st.DrawFn, known: dict[str, list[str]]) -> Sent:
    """Any operation, as it should be in one of three, else spoilt in one way."""
    operation, shape, headers = draw(st.sampled_from(_operations()))
    body = draw(values(shape, known))
    spoil = draw(st.sampled_from(["", "", "value", "value", "member", "missing", "nested", "truncated", "headers"]))
    if spoil == "value":
        body = _changed(draw, body, draw(WRONG))
    elif spoil == "member":
        body = body | {draw(WORDS): draw(WRONG)}
    elif spoil == "missing" and body:
        body = {name: item for name, item in body.items() if name != draw(st.sampled_from(sorted(body)))}
    elif spoil == "headers":
        headers = draw(_spoilt(headers))
    encoded = json.dumps(body).encode()
    if spoil == "nested":
        depth = draw(DEPTHS)
        deep = draw(st.sampled_from([("[", "]"), ('{"a":', "}")]))
        member = draw(st.sampled_from([*sorted(shape.members), "unknown"]))
        encoded = f'{{"{member}": {deep[0] * depth}0{deep[1] * depth}}}'.encode()
    elif spoil == "truncated":
        encoded = encoded[: draw(st.integers(0, len(encoded) - 1))] + draw(st.sampled_from([b"", b"\xff", b"\x00}"]))
    return Sent(operation, headers, encoded)


def _changed(draw: st.DrawFn, body: Any, wrong: Any) -> Any:
    """`body` with one value in it, at any depth, replaced."""
    if isinstance(body, dict) and body and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(sorted(body)))
        return {**body, name: _changed(draw, body[name], wrong)}
    if isinstance(body, list) and body:
        return [_changed(draw, body[0], wrong), *body[1:]]
    return wrong


def _spoilt(headers: dict[str, str]) -> st.SearchStrategy[dict[str, str]]:
    target = headers["X-Amz-Target"]
    return st.sampled_from(
        [
            {},
            {"X-Amz-Target": target},
            {"Content-Type": headers["Content-Type"]},
            {**headers, "Content-Type": "text/xml"},
            {**headers, "Content-Encoding": "gzip"},
            {**headers, "X-Amz-Target": target.lower()},
            {**headers, "X-Amz-Target": target + "X" * 5000},
            {**headers, "X-Amz-Target": "Logs_20140328.CreateLogGroup"},
            {**headers, "Authorization": "AWS4-HMAC-SHA256 Credential=" + "/" * 300},
        ]
    )
