"""Rules as tools make them: the AWS CLI, boto3 and `berth schedule`; and a task that an event starts."""

import asyncio
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from apiside import Client, Ecs, definition, until
from scripted_agent import ScriptedAgent

from controlplane.config import Config
from controlplane.core.rules import Rule
from controlplane.server import ControlPlane, running

AWS = Path(sys.executable).parent / "aws"
CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/default"
TARGET = {"Id": "1", "Arn": CLUSTER, "EcsParameters": {"TaskDefinitionArn": "web", "TaskCount": 1}}


async def command(url: str, *words: str) -> tuple[int, str, str]:
    """A command as a user gives it, with what `berth dev` prints in its environment."""
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    points = {f"AWS_ENDPOINT_URL_{name}": url for name in ("ECS", "EVENTBRIDGE", "STS")}
    run = partial(subprocess.run, words, env=clean | keys | points, capture_output=True, text=True, check=False)
    done = await asyncio.to_thread(run)
    return done.returncode, done.stdout, done.stderr


async def aws(url: str, *words: str) -> Any:
    code, out, err = await command(url, str(AWS), "--output", "json", *words)
    assert code == 0, err
    return json.loads(out) if out.strip() else None


@pytest.fixture
def events(plane: ControlPlane) -> Client:
    return Client("events", plane.url)


async def test_the_aws_cli_makes_a_schedule(plane: ControlPlane) -> None:
    url = plane.url
    made = await aws(url, "events", "put-rule", "--name", "nightly", "--schedule-expression", "cron(0 3 * * ? *)")
    assert made == {"RuleArn": "arn:aws:events:us-east-1:123456789012:rule/nightly"}
    put = await aws(url, "events", "put-targets", "--rule", "nightly", "--targets", json.dumps([TARGET]))
    assert put == {"FailedEntryCount": 0, "FailedEntries": []}
    listed = await aws(url, "events", "list-targets-by-rule", "--rule", "nightly")
    assert listed == {"Targets": [TARGET]}
    rule = plane.store.view().record(Rule, "nightly")
    assert rule is not None
    assert rule.next_at is not None
    code, _, err = await command(url, str(AWS), "events", "delete-rule", "--name", "nightly")
    assert code != 0
    assert "Rule can't be deleted since it has targets." in err
    assert (await aws(url, "sts", "get-caller-identity"))["Account"] == "123456789012"


async def test_rules_by_boto3(events: Client) -> None:
    wanted = json.dumps({"source": ["aws.ecs"]})
    await events.put_rule(Name="a", ScheduleExpression="rate(1 hour)", State="DISABLED", Description="an hour")
    await events.put_rule(Name="b", EventPattern=wanted)
    await events.put_targets(Rule="b", Targets=[TARGET, {**TARGET, "Id": "2"}])
    described = await events.describe_rule(Name="a")
    assert (described["State"], described["Description"]) == ("DISABLED", "an hour")
    assert (described["ScheduleExpression"], described["EventBusName"]) == ("rate(1 hour)", "default")
    await events.enable_rule(Name="a")
    rules = (await events.list_rules())["Rules"]
    assert [(rule["Name"], rule["State"]) for rule in rules] == [("a", "ENABLED"), ("b", "ENABLED")]
    assert rules[1]["EventPattern"] == wanted
    first = await events.list_rules(Limit=1)
    assert [rule["Name"] for rule in (await events.list_rules(NextToken=first["NextToken"]))["Rules"]] == ["b"]
    assert (await events.list_rules(NamePrefix="b"))["Rules"][0]["Name"] == "b"
    assert (await events.list_rule_names_by_target(TargetArn=CLUSTER))["RuleNames"] == ["b"]
    removed = await events.remove_targets(Rule="b", Ids=["1", "9"])
    assert [entry["TargetId"] for entry in removed["FailedEntries"]] == ["9"]
    await events.remove_targets(Rule="b", Ids=["2"])
    await events.delete_rule(Name="b")
    await events.disable_rule(Name="a")
    assert [rule["State"] for rule in (await events.list_rules())["Rules"]] == ["DISABLED"]


async def test_what_cannot_be_is_refused_as_aws_does(plane: ControlPlane, events: Client) -> None:
    revision = plane.store.view().revision
    assert await events.refused("put_rule", Name="a", ScheduleExpression="rate(1 minutes)") == (
        "ValidationException",
        "Parameter ScheduleExpression is not valid.",
    )
    code, message = await events.refused("put_rule", Name="a", EventPattern='{"source": [{"wildcard": "*"}]}')
    assert (code, "wildcard is not served here" in message) == ("InvalidEventPatternException", True)
    assert (await events.refused("put_rule", Name="a", EventPattern="{"))[0] == "InvalidEventPatternException"
    assert (await events.refused("put_rule", Name="a"))[0] == "ValidationException"
    assert await events.refused("describe_rule", Name="no") == (
        "ResourceNotFoundException",
        "Rule no does not exist on EventBus default.",
    )
    assert (await events.refused("describe_rule", Name="a", EventBusName="mine"))[0] == "ResourceNotFoundException"
    code, message = await events.refused("put_permission", StatementId="x", Action="a", Principal="*")
    assert (code, "is not served here" in message) == ("UnknownOperationException", True)
    assert plane.store.view().revision == revision
    await events.put_rule(Name="a", ScheduleExpression="rate(1 hour)")
    lambda_ = {"Id": "1", "Arn": "arn:aws:lambda:us-east-1:123456789012:function:f"}
    code, message = await events.refused("put_targets", Rule="a", Targets=[lambda_])
    assert (code, "only ECS targets are served here" in message) == ("ValidationException", True)
    abroad = {**TARGET, "Arn": CLUSTER.replace("us-east-1", "eu-west-1")}
    code, message = await events.refused("put_targets", Rule="a", Targets=[abroad])
    assert (code, "not in the region us-east-1 of the account" in message) == ("ValidationException", True)
    code, message = await events.refused("put_targets", Rule="a", Targets=[{**TARGET, "InputPath": "$.x"}])
    assert "InputPath is not served here" in message
    code, message = await events.refused("put_targets", Rule="a", Targets=[{**TARGET, "Input": "{"}])
    assert "Input is no JSON object" in message


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("list_rules", {"NextToken": "²"}),
        ("list_rules", {"NextToken": "9" * 2000}),
        ("put_rule", {"Name": "a", "EventPattern": '{"a":' + "[" * 4000}),
        ("put_targets", {"Rule": "a", "Targets": [{**TARGET, "Input": '{"a":' + "[" * 8000}]}),
    ],
)
async def test_what_reads_as_no_number_and_no_json_is_the_callers_fault(
    events: Client, operation: str, members: dict[str, Any]
) -> None:
    await events.put_rule(Name="a", ScheduleExpression="rate(1 hour)")
    code, _ = await events.refused(operation, **members)
    assert code in ("ValidationException", "InvalidEventPatternException")


async def test_pages_of_rules_stay_right_while_rules_come_and_go(events: Client) -> None:
    for name in ("b", "c", "d"):
        await events.put_rule(Name=name, ScheduleExpression="rate(1 hour)")
    first = await events.list_rules(Limit=2)
    await events.put_rule(Name="a", ScheduleExpression="rate(1 hour)")
    await events.delete_rule(Name="c")
    assert [rule["Name"] for rule in (await events.list_rules(NextToken=first["NextToken"]))["Rules"]] == ["d"]


async def test_an_event_starts_a_task(plane: ControlPlane, ecs: Ecs, events: Client) -> None:
    async with ScriptedAgent(plane.url):
        await ecs.register_task_definition(**definition("web"))
        await ecs.register_task_definition(**definition("after"))
        wanted = {"source": ["aws.ecs"], "detail": {"lastStatus": ["STOPPED"], "group": [{"prefix": "family:web"}]}}
        await events.put_rule(Name="next", EventPattern=json.dumps(wanted))
        target = {**TARGET, "EcsParameters": {"TaskDefinitionArn": "after"}}
        await events.put_targets(Rule="next", Targets=[target])
        first = (await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"]
        await ecs.stop_task(task=first)
        view = await until(plane, lambda view: len(view.tasks("default")) > 1)
    started = [task for task in view.tasks("default") if task.arn != first]
    assert [(task.group, task.started_by) for task in started] == [("family:after", "events-rule/next")]


async def test_rules_outlive_the_process(tmp_path: Path) -> None:
    config = Config(port=0, data_dir=tmp_path)
    async with running(config) as plane:
        await Client("events", plane.url).put_rule(Name="a", ScheduleExpression="rate(7 days)")
        before = plane.store.view().record(Rule, "a")
    async with running(config) as plane:
        assert plane.store.view().record(Rule, "a") == before


async def test_berth_schedule(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition("job"))

    async def berth(*words: str) -> tuple[int, str, str]:
        return await command(plane.url, sys.executable, "-m", "berth", "schedule", *words)

    assert await berth("create", "often", "rate(5 minutes)", "job", "--count", "2") == (
        0,
        "often: 2 x job in default by rate(5 minutes)\n",
        "",
    )
    _, out, _ = await berth("list")
    assert "often  ENABLED  rate(5 minutes)  2 x job in default" in out
    code, _, err = await berth("create", "bad", "rate(1 minutes)", "job")
    refused = "The control plane refused: ValidationException: Parameter ScheduleExpression is not valid.\n"
    assert (code, err) == (2, refused)
    for words, sentence in (
        (("nojob",), "There is no task definition 'nojob'.\n"),
        (("job", "--cluster", "nowhere"), "There is no cluster 'nowhere'.\n"),
        (("job", "--input", "{"), '--input is no JSON object, such as {"containerOverrides": [...]}.\n'),
    ):
        assert await berth("create", "bad", "rate(1 hour)", *words) == (2, "", sentence)
    assert [rule.name for rule in plane.store.view().records(Rule)] == ["often"]
    assert (await berth("remove", "often"))[1] == "often is removed.\n"
    assert list(plane.store.view().records(Rule)) == []
