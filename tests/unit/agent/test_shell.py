"""The small shells: signature, configuration, responders, journal, Docker's shape."""

import json

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from agent.backend.credentials import CredentialStore
from agent.backend.desk import Desk
from agent.backend.ecsclient import BackendUnreachableError, EcsClient
from agent.backend.responders import RESPONDERS
from agent.backend.sigv4 import Credentials, Signer
from agent.backend.storyteller import Storyteller
from agent.config import ConfigError, read, seconds
from agent.core.events import Desired
from agent.core.spec import ContainerSpec, Port, TaskSpec, cost
from agent.core.state import ContainerState, Release, TaskState
from agent.core.stopping import GiveUp
from agent.journal import Journal, JournalInUseError
from agent.runtime.inspected import bound_ports
from agent.runtime.spec import container_name, create_config
from wire.envelope import decode_frame
from wire.errors import AwsError
from wire.resources import Amounts
from wire.status import DesiredStatus
from wire.story import Kind

BASE = {"ECS_BACKEND_HOST": "http://127.0.0.1:6333"}


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", "http://127.0.0.1:6333/", b'{"cluster":"default"}'),
        ("GET", "http://h:1/acs/ws?seqNum=1&clusterArn=a%2Fb&dockerVersion=DockerVersion%3A%2020.10", b""),
    ],
)
def test_our_signature_is_botocores(method, url, body, monkeypatch):
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "T.Op"} if body else {}
    ours = Signer(Credentials("AK", "SK", "TOK"), "us-east-1").sign(method, url, headers, body, 1_800_000_000)
    request = AWSRequest(method=method, url=url, data=body, headers=headers)
    signer = SigV4Auth(BotoCredentials("AK", "SK", "TOK"), "ecs", "us-east-1")
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: __import__("datetime").datetime(2027, 1, 15, 8))
    signer.add_auth(request)
    assert ours["Authorization"] == request.headers["Authorization"]


@pytest.mark.parametrize(("text", "value"), [("30s", 30), ("1m30s", 90), ("2h", 7200), ("500ms", 0.5), ("-5s", -5)])
def test_go_durations(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["30", "", "s", "30 s", "abc", "1d"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)


def test_defaults_are_amazons():
    config = read(BASE)
    assert config.cluster == "default"
    assert config.settings.stop_timeout_seconds == 30
    assert config.settings.release is Release.EAGER
    assert config.settings.give_up is GiveUp.HOLD
    assert config.reserved_ports == {22, 2375, 2376, 51678, 51679}
    assert config.warnings == ()


@pytest.mark.parametrize(("text", "value"), [("0s", 30), ("200ms", 1), ("-3s", 1), ("24h", 86400), ("nonsense", 30)])
def test_stop_timeout_is_clamped_as_amazons(text, value):
    assert read({**BASE, "ECS_CONTAINER_STOP_TIMEOUT": text}).settings.stop_timeout_seconds == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ECS_RESOURCE_RELEASE", "lazy"),
        ("ECS_TASK_QUEUE", "greedy:0"),
        ("ECS_TASK_QUEUE", "fifo:3"),
        ("ECS_STOP_GIVE_UP", "never"),
        ("BERTH_INSTANCE_TYPE", "r5.lerge"),
        ("ECS_BACKEND_HOST", ""),
    ],
)
def test_what_makes_no_sense_is_one_sentence_that_names_it(name, value):
    with pytest.raises(ConfigError) as refused:
        read({**BASE, name: value})
    text = str(refused.value)
    assert name in text
    assert text.endswith(".")
    assert "\n" not in text


def test_a_malformed_variable_is_a_warning_that_names_it_and_the_default_stands():
    config = read({**BASE, "ECS_RESERVED_PORTS": "22,80", "ECS_RESERVED_MEMORY": "-4"})
    assert config.reserved_memory_mib == 0
    assert len(config.warnings) == 2
    assert {w.split()[0] for w in config.warnings} == {"ECS_RESERVED_PORTS", "ECS_RESERVED_MEMORY"}


def test_the_journal_gives_back_what_it_was_given_and_two_agents_cannot_share_it(tmp_path):
    journal = Journal(tmp_path)
    state = TaskState(
        spec=TaskSpec(arn="a", containers=(ContainerSpec(name="c", image="i", ports=(Port(80, 0, "tcp"),)),)),
        containers=[ContainerState(spec=ContainerSpec(name="c", image="i"))],
    )
    journal.save([state], [])
    journal.note("x", "1")
    with pytest.raises(JournalInUseError):
        Journal(tmp_path)
    journal.close()
    again = Journal(tmp_path)
    assert again.tasks() == [state]
    assert again.fact("x") == "1"
    again.save([], ["a"])
    assert again.tasks() == []
    again.close()


def payload(*tasks):
    message = {"messageId": "m", "clusterArn": "c", "containerInstanceArn": "i", "seqNum": 1, "tasks": list(tasks)}
    return decode_frame(json.dumps({"type": "PayloadMessage", "message": message}))


class NoFacts:
    def fact(self, _name):
        return None

    def note(self, name, value):
        pass


async def respond(frame):
    events = []

    async def submit(event):
        events.append(event)

    desk = Desk(submit=submit, tasks=list, facts=NoFacts(), credentials=CredentialStore())
    answers = await RESPONDERS[frame.type](frame, desk)
    return events, json.loads(answers[0]) if answers else None


async def test_a_payload_as_amazons_control_plane_sends_it():
    arn = "arn:aws:ecs:us-east-1:000000000000:task/wire/b0000001"
    task = {
        "arn": arn,
        "desiredStatus": "RUNNING",
        "family": "wire",
        "version": "1",
        "containers": [
            {
                "name": "web",
                "image": "bb",
                "cpu": 10,
                "memory": 16,
                "essential": True,
                "command": ["sh"],
                "dockerConfig": {"config": "{}", "hostConfig": '{"NetworkMode":"bridge"}', "version": "1.21"},
                "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
                "environment": {"A": "b"},
                "overrides": '{"command":["other"]}',
            }
        ],
        "unknownMember": 3,
    }
    [event], answer = await respond(payload(task))
    assert isinstance(event, Desired)
    [container] = event.spec.containers
    assert event.spec.cluster == "wire"
    assert container.command == ("other",)
    assert cost(event.spec) == Amounts(10, 16)
    assert answer == {
        "type": "AckRequest",
        "message": {"cluster": "c", "containerInstance": "i", "messageId": "m"},
    }


async def test_stops_go_before_starts_and_a_bad_task_does_not_lose_the_others():
    events, answer = await respond(
        payload(
            {"arn": "a", "desiredStatus": "RUNNING", "containers": [{"name": "c", "image": "i"}]},
            {"arn": "bad", "desiredStatus": "DANCING"},
            {"arn": "worse", "desiredStatus": "RUNNING", "containers": [{"name": "c", "cpu": "many"}]},
            {"no": "arn"},
            {"arn": "b", "desiredStatus": "STOPPED", "containers": []},
        )
    )
    assert [e.task for e in events] == ["b", "a", "bad", "worse"]
    assert [bool(e.refusal) for e in events] == [False, False, True, True]
    assert events[0].desired is DesiredStatus.STOPPED
    assert answer["type"] == "AckRequest"


async def test_a_heartbeat_is_answered_with_its_id():
    frame = decode_frame('{"type":"HeartbeatMessage","message":{"healthy":true,"messageId":"hb-1"}}')
    assert (await respond(frame))[1] == {"type": "HeartbeatAckRequest", "message": {"messageId": "hb-1"}}


def test_cost_task_level_wins_and_reservation_goes_before_the_hard_limit():
    container = ContainerSpec(
        name="c",
        image="i",
        cpu=100,
        memory_mib=500,
        host_config=json.dumps({"MemoryReservation": 128 << 20}),
        ports=(Port(80, 8080), Port(53, 53, "udp"), Port(81, 0)),
    )
    assert cost(TaskSpec(arn="a", containers=(container, container))) == Amounts(
        200, 256, frozenset({8080}), frozenset({53})
    )
    assert cost(TaskSpec(arn="a", containers=(container,), cpu_vcpus=0.5, memory_mib=64)).cpu == 512


def test_dockers_shape_amazons_labels_win_and_the_payload_lies_over_what_we_build():
    task = TaskSpec(arn="arn:t", cluster="default", family="web", version="7")
    container = ContainerSpec(
        name="my_app",
        image="i",
        cpu=1,
        memory_mib=64,
        command=("sh", "-c", "true"),
        environment={"A": "b"},
        ports=(Port(80, 8080), Port(81, 0)),
        docker_config=json.dumps({"Labels": {"team": "x", "com.amazonaws.ecs.task-arn": "liar"}, "User": "1000"}),
        host_config=json.dumps({"NetworkMode": "host", "CapAdd": ["NET_ADMIN"]}),
    )
    config = create_config(task, container, {"berth.instance": "i-1"})
    assert config["Labels"] == {
        "team": "x",
        "com.amazonaws.ecs.cluster": "default",
        "com.amazonaws.ecs.task-arn": "arn:t",
        "com.amazonaws.ecs.container-name": "my_app",
        "com.amazonaws.ecs.task-definition-family": "web",
        "com.amazonaws.ecs.task-definition-version": "7",
        "berth.instance": "i-1",
    }
    assert config["User"] == "1000"
    host = config["HostConfig"]
    assert (host["NetworkMode"], host["Memory"], host["CpuShares"]) == ("host", 64 << 20, 2)
    assert host["PortBindings"] == {"80/tcp": [{"HostPort": "8080"}], "81/tcp": [{"HostPort": ""}]}
    name = container_name(task, container)
    assert name == container_name(task, container)
    assert name.startswith("ecs-web-7-myapp-")
    assert len(name.rsplit("-", 1)[-1]) == 20


def test_ports_as_docker_bound_them_without_ipv6_doubles():
    ports = {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}, {"HostIp": "::", "HostPort": "32768"}],
        "9/udp": None,
    }
    assert bound_ports(ports) == (Port(80, 32768, "tcp"),)
    assert bound_ports(None) == ()


def test_a_task_state_without_optional_members_is_readable():
    bare = msgspec.json.decode(b'{"spec":{"arn":"a"},"containers":[]}', type=TaskState)
    assert bare.outbox == []


async def test_a_stop_is_a_stop_whatever_is_said_with_it():
    """What cannot be read of a run is refused; a stop needs its ARN alone."""
    bad = {"containers": "nonsense", "family": 7}
    tasks = [
        {"arn": "arn:run", "desiredStatus": "RUNNING", **bad},
        {"arn": "arn:stop", "desiredStatus": "STOPPED", **bad},
    ]
    message = {"messageId": "m", "clusterArn": "c", "containerInstanceArn": "i", "tasks": tasks}
    events, _ = await respond(decode_frame(json.dumps({"type": "PayloadMessage", "message": message})))
    assert [(event.task, event.desired, bool(event.refusal)) for event in events] == [
        ("arn:stop", DesiredStatus.STOPPED, False),
        ("arn:run", DesiredStatus.RUNNING, True),
    ]


async def test_an_answer_that_is_none_of_a_control_planes_is_no_answer():
    """A proxy's page, say, with status 200: a report that it ate would be lost."""

    async def page(_request):
        return web.Response(text="<html>")

    app = web.Application()
    app.router.add_post("/", page)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        client = EcsClient(session, str(server.make_url("")), Signer(Credentials("a", "b"), "us-east-1"))
        with pytest.raises(BackendUnreachableError, match="SubmitTaskStateChange: the answer is no JSON object"):
            await client.call("SubmitTaskStateChange", {})


async def test_a_story_that_is_refused_for_good_stands_in_nobodys_way(caplog):
    answers, asked = [AwsError("too large", status=413), AwsError("later", status=503), None], []

    class Plane:
        async def call(self, _operation, report):
            asked.append([line["subject"] for line in report["lines"]])
            if error := answers.pop(0):
                raise error

    teller = Storyteller(Plane(), "default", "arn:i")
    teller.tell(1, "bad", Kind.TASK_KNOWN, "", {})
    assert await teller.flush()
    assert "too large" in caplog.text
    teller.tell(2, "good", Kind.TASK_KNOWN, "", {})
    assert not await teller.flush()
    assert await teller.flush()
    assert asked == [["bad"], ["good"], ["good"]]
