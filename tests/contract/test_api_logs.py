"""CloudWatch Logs' operations on the same port, through boto3 and the AWS CLI."""

import asyncio
import json
import os
import sys
from functools import partial
from pathlib import Path

import boto3
import pytest
from apiside import call
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError


class Logs:
    def __init__(self, url, **keys):
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", **keys}
        config = ClientConfig(retries={"max_attempts": 0})
        self.client = boto3.client("logs", endpoint_url=url, region_name="us-east-1", config=config, **keys)

    def __getattr__(self, name):
        async def invoke(**members):
            return await asyncio.to_thread(partial(getattr(self.client, name), **members))

        return invoke


@pytest.fixture
async def logs(plane):
    built = Logs(plane.url)
    await built.create_log_group(logGroupName="/ecs/web")
    for stream in ("a/main/1", "b/main/2"):
        await built.create_log_stream(logGroupName="/ecs/web", logStreamName=stream)
    yield built
    built.client.close()


def batch(stream, *rows):
    events = [{"timestamp": at, "message": message} for at, message in rows]
    return {"logGroupName": "/ecs/web", "logStreamName": stream, "logEvents": events}


def where(stream="a/main/1"):
    return {"logGroupName": "/ecs/web", "logStreamName": stream}


def words(answer):
    return [event["message"] for event in answer["events"]]


@pytest.mark.parametrize(
    "service", ["ecs:us-east-1:123456789012:cluster/default", "logs:eu-west-1:1:log-group:/ecs/web"]
)
async def test_an_arn_of_something_else_names_no_group(logs, service):
    with pytest.raises(ClientError, match="is the ARN of no log group") as refusal:
        await logs.filter_log_events(logGroupIdentifier=f"arn:aws:{service}")
    assert refusal.value.response["Error"]["Code"] == "InvalidParameterException"
    own = "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/web"
    for name in (own, "/ecs/web"):
        assert (await logs.filter_log_events(logGroupIdentifier=name))["events"] == []


async def test_what_is_put_can_be_got_page_by_page_and_followed(logs):
    await logs.put_log_events(**batch("a/main/1", (1000, "one"), (2000, "two"), (3000, "three")))
    page = await logs.get_log_events(**where(), startFromHead=True, limit=2)
    assert words(page) == ["one", "two"]
    assert [event["timestamp"] for event in page["events"]] == [1000, 2000]
    page = await logs.get_log_events(**where(), nextToken=page["nextForwardToken"])
    assert words(page) == ["three"]
    end = page["nextForwardToken"]
    page = await logs.get_log_events(**where(), nextToken=end)
    assert (words(page), page["nextForwardToken"]) == ([], end)
    await logs.put_log_events(**batch("a/main/1", (4000, "four")))
    assert words(await logs.get_log_events(**where(), nextToken=end)) == ["four"]
    newest = await logs.get_log_events(**where(), limit=2)
    assert words(newest) == ["three", "four"]
    assert words(await logs.get_log_events(**where(), nextToken=newest["nextBackwardToken"])) == ["one", "two"]


async def test_filter_reads_across_streams_by_time(logs):
    await logs.put_log_events(**batch("a/main/1", (1000, "x ERROR"), (3000, "y ERROR")))
    await logs.put_log_events(**batch("b/main/2", (2000, "z ERROR"), (2500, "fine")))
    found = await logs.filter_log_events(logGroupName="/ecs/web", filterPattern="ERROR")
    assert [(e["logStreamName"], e["message"]) for e in found["events"]] == [
        ("a/main/1", "x ERROR"),
        ("b/main/2", "z ERROR"),
        ("a/main/1", "y ERROR"),
    ]
    page = await logs.filter_log_events(logGroupName="/ecs/web", filterPattern="ERROR", limit=2)
    more = await logs.filter_log_events(logGroupName="/ecs/web", filterPattern="ERROR", nextToken=page["nextToken"])
    assert (words(page), words(more)) == (["x ERROR", "z ERROR"], ["y ERROR"])
    only = await logs.filter_log_events(logGroupName="/ecs/web", logStreamNamePrefix="b/", startTime=2100)
    assert words(only) == ["fine"]


async def test_groups_and_streams_are_described(logs):
    await logs.put_log_events(**batch("b/main/2", (2000, "z")))
    [group] = (await logs.describe_log_groups(logGroupNamePrefix="/ecs"))["logGroups"]
    assert group["logGroupName"] == "/ecs/web"
    assert group["arn"] == "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/web:*"
    streams = (await logs.describe_log_streams(logGroupName="/ecs/web"))["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == ["a/main/1", "b/main/2"]
    assert streams[1]["lastEventTimestamp"] == 2000
    newest = await logs.describe_log_streams(logGroupName="/ecs/web", orderBy="LastEventTime", descending=True, limit=1)
    assert newest["logStreams"][0]["logStreamName"] == "b/main/2"
    assert newest["nextToken"]


@pytest.mark.parametrize(
    ("operation", "members", "code"),
    [
        ("get_log_events", {"logGroupName": "none", "logStreamName": "s"}, "ResourceNotFoundException"),
        ("get_log_events", {"logGroupName": "/ecs/web", "logStreamName": "s"}, "ResourceNotFoundException"),
        ("create_log_group", {"logGroupName": "/ecs/web"}, "ResourceAlreadyExistsException"),
        ("get_log_events", {**where(), "nextToken": "x"}, "InvalidParameterException"),
        (
            "filter_log_events",
            {"logGroupName": "/ecs/web", "filterPattern": "{ $.a = 1 }"},
            "InvalidParameterException",
        ),
        ("put_log_events", batch("a/main/1", (2, "b"), (1, "a")), "InvalidParameterException"),
        ("describe_metric_filters", {}, "UnknownOperationException"),
    ],
)
async def test_what_cannot_be_done_is_said_in_awss_names(logs, operation, members, code):
    with pytest.raises(ClientError) as refused:
        await getattr(logs, operation)(**members)
    assert refused.value.response["Error"]["Code"] == code


async def test_other_services_are_still_told_where_they_are(plane):
    status, body = await call(plane.url, "ListClusters")
    assert (status, "clusterArns" in body) == (200, True)


async def aws_logs(url, *arguments):
    """What `aws logs` prints, read; the address comes from the variable that people set."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
    settings = {"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": url, "AWS_PAGER": "", "AWS_DEFAULT_OUTPUT": "json"}
    command = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("aws")),
        "logs",
        *arguments,
        env={**inherited, **keys, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complained = await command.communicate()
    assert command.returncode == 0, complained.decode()
    return json.loads(printed)


async def test_the_aws_command_line_reads_them(plane, logs):
    await logs.put_log_events(**batch("a/main/1", (1000, "cargo aboard"), (2000, "error: no berth")))
    await logs.put_log_events(**batch("b/main/2", (1500, "error: adrift")))
    of_web = ("--log-group-name", "/ecs/web")
    got, filtered, streams = await asyncio.gather(
        aws_logs(plane.url, "get-log-events", *of_web, "--log-stream-name", "a/main/1", "--start-from-head"),
        aws_logs(plane.url, "filter-log-events", *of_web, "--filter-pattern", "error"),
        aws_logs(plane.url, "describe-log-streams", *of_web),
    )
    assert [(e["timestamp"], e["message"]) for e in got["events"]] == [
        (1000, "cargo aboard"),
        (2000, "error: no berth"),
    ]
    assert [(e["logStreamName"], e["message"]) for e in filtered["events"]] == [
        ("b/main/2", "error: adrift"),
        ("a/main/1", "error: no berth"),
    ]
    assert [stream["logStreamName"] for stream in streams["logStreams"]] == ["a/main/1", "b/main/2"]
