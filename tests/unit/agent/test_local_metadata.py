"""Task metadata: the shapes of versions 2 to 4, the words of the errors, and who may read what."""

import re

import pytest
from local_world import ARN, IDS, OTHER_ARN, FakeLooks, books, docker_id, inspected, served, task

from agent.core.ladder import Known
from agent.core.pause import pauses_of
from agent.core.spec import ContainerSpec, RestartPolicy, TaskSpec
from agent.core.state import ContainerState
from agent.local.identifiers import Identifiers
from agent.local.metadata import Metadata
from agent.local.shapes import V2, V3, V4, container_shape, introspected_task, task_shape, with_rates
from wire.errors import AwsError

MAIN = IDS.endpoint(ARN, "main")


class Tags:
    """A control plane that knows tags, or does not."""

    def __init__(self, answer):
        self.answer = answer

    async def call(self, operation, request):
        assert operation == "ListTagsForResource"
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"tags": self.answer.get(request["resourceArn"], [])}


def routes(tasks, looks, client=None, own=("127.0.0.1",)):
    metadata = Metadata(books(tasks, looks, own), client, cluster="default", instance="i", zone="us-east-1a")
    return metadata.routes()


def test_ids_are_stable_unguessable_and_one_per_container():
    assert Identifiers(b"secret").endpoint(ARN, "main") == MAIN
    others = {IDS.endpoint(ARN, "late"), IDS.endpoint(OTHER_ARN, "main"), Identifiers(b"x").endpoint(ARN, "main")}
    assert MAIN not in others
    assert len(others) == 3
    assert re.fullmatch(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", MAIN)


async def test_a_container_reads_itself_and_its_task_in_version_4():
    async with served(routes([task()], FakeLooks(inspected()))) as ask:
        status, container = await ask(f"/v4/{MAIN}")
        assert status == 200
        assert container == {
            "DockerId": docker_id(ARN),
            "Name": "main",
            "DockerName": "ecs-web-3-main-0001",
            "Image": "berth/stubborn:latest",
            "ImageID": "sha256:aa",
            "Ports": [{"ContainerPort": 80, "Protocol": "tcp", "HostPort": 32768}],
            "Labels": {"a": "b"},
            "DesiredStatus": "RUNNING",
            "KnownStatus": "RUNNING",
            "Limits": {"CPU": 10, "Memory": 64},
            "CreatedAt": "2026-11-21T10:00:00.5Z",
            "StartedAt": "2026-11-21T10:00:01.25Z",
            "Type": "NORMAL",
            "LogDriver": "json-file",
            "LogOptions": {"max-size": "1m"},
            "ContainerARN": f"{ARN}/main",
            "Networks": [{"NetworkMode": "bridge", "IPv4Addresses": ["172.17.0.2"]}],
        }
        status, whole = await ask(f"/v4/{MAIN}/task")
        assert whole.pop("Containers") == [container], "one that is not created yet is not there"
        assert whole == {
            "Cluster": "default",
            "TaskARN": ARN,
            "Family": "web",
            "Revision": "3",
            "DesiredStatus": "RUNNING",
            "KnownStatus": "RUNNING",
            "Limits": {"CPU": 0.5, "Memory": 512},
            "AvailabilityZone": "us-east-1a",
            "LaunchType": "EC2",
            "ServiceName": "web",
            "Group": "service:web",
        }


def test_a_pause_container_is_no_normal_one_and_restarts_and_pulls_are_told():
    state = task()
    kinds = []
    for spec in (*pauses_of(TaskSpec(arn=ARN, network_mode="awsvpc", pid_mode="task")), state.containers[0].spec):
        container = ContainerState(spec=spec, restarts=2)
        kinds.append(container_shape(V4, state, container, None)["Type"])
    assert kinds == ["CNI_PAUSE", "NAMESPACE_PAUSE", "NORMAL"]
    main = state.containers[0]
    assert "RestartCount" not in container_shape(V4, state, main, None)
    main.spec = ContainerSpec(name="main", image="i", restart=RestartPolicy())
    assert container_shape(V4, state, main, None)["RestartCount"] == 0
    assert "RestartCount" not in container_shape(V3, state, main, None)
    main.pull_started_at, main.pull_stopped_at = 1_800_000_000.0, 1_800_000_002.5
    shape = task_shape(V4, state, [], cluster="c", zone="")
    assert (shape["PullStartedAt"], shape["PullStoppedAt"]) == ("2027-01-15T08:00:00Z", "2027-01-15T08:00:02.500000Z")


async def test_version_3_has_neither_log_driver_nor_service():
    async with served(routes([task()], FakeLooks(inspected()))) as ask:
        container = (await ask(f"/v3/{MAIN}"))[1]
        assert {"LogDriver", "ContainerARN"} & container.keys() == set()
        assert container["Networks"]
        assert "ServiceName" not in (await ask(f"/v3/{MAIN}/task"))[1]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v4/bad", "V4 container metadata handler: unable to get container ID from request: "),
        ("/v3/bad", "V3 container metadata handler: unable to get container ID from request: "),
        ("/v4/bad/task", "V4 task metadata handler: unable to get task arn from request: "),
        ("/v4/bad/taskWithTags", "V4 task metadata handler: unable to get task arn from request: "),
        ("/v4/bad/stats", "V4 container stats handler: unable to get container ID from request: "),
        ("/v4/bad/task/stats", "V4 task stats handler: unable to get task arn from request: "),
    ],
)
async def test_a_wrong_id_is_404_in_amazons_words(path, words):
    async with served(routes([task()], FakeLooks(inspected()))) as ask:
        status, said = await ask(path)
        assert status == 404
        assert said.startswith(words)
        assert said.endswith("from v3 endpoint ID: bad")


async def test_another_container_with_the_right_id_gets_what_a_wrong_id_gets():
    looks = FakeLooks(inspected(), inspected(OTHER_ARN, "172.17.0.3"))
    all_books = books([task(), task(OTHER_ARN)], looks, own=["172.17.0.1"])
    assert await all_books.may_ask("172.17.0.2", task())
    assert not await all_books.may_ask("172.17.0.3", task())
    assert await all_books.may_ask("172.17.0.1", task()), "a process of the host: the network tells nothing"
    assert await all_books.may_ask("127.0.0.1", task())
    assert not await all_books.may_ask("172.17.0.2", task(OTHER_ARN))


async def test_a_container_in_anothers_network_asks_from_that_ones_address():
    holder = {**inspected(address="172.18.0.9"), "Id": "holder"}
    sharing = inspected(address="", mode="container:holder")
    assert await books([task()], FakeLooks(sharing, holder)).may_ask("172.18.0.9", task())


async def test_version_2_knows_who_asks_by_address():
    looks = FakeLooks(inspected(address="127.0.0.1"), inspected(OTHER_ARN))
    async with served(routes([task(OTHER_ARN), task()], looks)) as ask:
        assert (await ask("/v2/metadata"))[1]["TaskARN"] == ARN
        own = (await ask(f"/v2/metadata/{docker_id(ARN)}"))[1]
        assert own["Name"] == "main"
        assert "Networks" not in own
        status, said = await ask(f"/v2/metadata/{docker_id(OTHER_ARN)}")
        assert (status, said) == (400, f"Unable to get container metadata for: {docker_id(OTHER_ARN)}")
    async with served(routes([task()], FakeLooks(inspected()))) as ask:
        status, said = await ask("/v2/metadata")
        words = "Unable to get task arn from request: unable to associate '127.0.0.1' with task"
        assert (status, said) == (400, words)


async def test_tags_come_from_the_control_plane_and_their_absence_is_told():
    tags = Tags({ARN: [{"key": "team", "value": "x"}], "i": [{"key": "rack", "value": "7"}]})
    async with served(routes([task()], FakeLooks(inspected()), tags)) as ask:
        whole = (await ask(f"/v4/{MAIN}/taskWithTags"))[1]
        assert (whole["TaskTags"], whole["ContainerInstanceTags"]) == ({"team": "x"}, {"rack": "7"})
    broken = Tags(AwsError("no", code="ServerException", status=500))
    async with served(routes([task()], FakeLooks(inspected()), broken)) as ask:
        status, whole = await ask(f"/v4/{MAIN}/taskWithTags")
        assert status == 200
        assert [error["ErrorField"] for error in whole["Errors"]] == ["TaskTags", "ContainerInstanceTags"]
        assert whole["Errors"][0]["ErrorCode"] == "ServerException"


async def test_statistics_are_dockers_and_version_4_adds_rates():
    looks = FakeLooks(inspected())
    sample = {"read": "2026-11-21T10:00:00Z", "networks": {"eth0": {"rx_bytes": 100, "tx_bytes": 50}}}
    later = {"read": "2026-11-21T10:00:02.000000001Z", "networks": {"eth0": {"rx_bytes": 300, "tx_bytes": 50}}}
    async with served(routes([task()], looks)) as ask:
        assert (await ask(f"/v4/{MAIN}/task/stats"))[1] == {docker_id(ARN): None}
        assert (await ask(f"/v4/{MAIN}/stats"))[0] == 500
        looks.used[docker_id(ARN)] = sample
        assert (await ask(f"/v4/{MAIN}/stats"))[1] == sample
        looks.used[docker_id(ARN)] = later
        rates = (await ask(f"/v4/{MAIN}/stats"))[1]["network_rate_stats"]
        assert rates == {"rx_bytes_per_sec": pytest.approx(100), "tx_bytes_per_sec": 0}
        assert "network_rate_stats" not in (await ask(f"/v3/{MAIN}/stats"))[1]


def test_no_rate_without_two_moments():
    sample = {"read": "2026-11-21T10:00:00Z", "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 1}}}
    assert with_rates(sample, sample) == sample


def test_a_removed_container_is_still_told_from_the_agents_own_books():
    gone = task(known=Known.STOPPED)
    gone.containers[0].exit_code = 137
    gone.containers[0].finished_at = 1_800_000_000.5
    shape = container_shape(V4, gone, gone.containers[0], None)
    assert (shape["ExitCode"], shape["FinishedAt"]) == (137, "2027-01-15T08:00:00.500000Z")
    assert shape["DockerName"].startswith("ecs-web-3-main-")


def test_a_health_check_is_told():
    health = {"Status": "unhealthy", "Log": [{"End": "2026-11-21T10:00:00Z", "ExitCode": 1, "Output": "no"}]}
    said = {**inspected(), "State": {"Health": health}}
    shape = container_shape(V4, task(), task().containers[0], said)["Health"]
    assert shape == {"status": "UNHEALTHY", "statusSince": "2026-11-21T10:00:00Z", "output": "no", "exitCode": 1}
    assert "exitCode" not in container_shape(V2, task(), task().containers[0], said)["Health"]


def test_the_zone_can_be_hidden():
    assert "AvailabilityZone" not in task_shape(V4, task(), [], cluster="c", zone="")


def test_introspection_shows_statuses_as_they_are_reported():
    stopped = task(known=Known.STOPPED)
    shape = introspected_task(stopped, {})
    assert shape["KnownStatus"] == "STOPPED"
    assert "DesiredStatus" not in shape, "it says nothing about a task that has ended by itself"
    created = introspected_task(task(known=Known.CREATED), {docker_id(ARN): inspected()})
    assert (created["KnownStatus"], created["DesiredStatus"]) == ("PENDING", "RUNNING")
    assert [container["Name"] for container in created["Containers"]] == ["main"]
