"""Two hosts apart from their control plane: a real link between network namespaces, cut off and joined again.

Three namespaces and two cables (veth pairs) inside this machine: the control plane at 10.213.N.1 listens beyond the
loopback and verifies keys; each agent has an address of its own. Docker is reached through its socket, as ever. All
traffic stays among the namespaces.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError
from conftest import World

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(
        os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("nsenter")),
        reason="needs root, iproute2 and util-linux",
    ),
]

KEYS = ("apart", "only-for-tests")
PORT = 6333
SILENCE_SECONDS = 180
"""Either side finds out by itself that the other has fallen silent: nobody sends a packet over a link that is cut."""
CLONE_NEWNET = 0x40000000


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


class Cables:
    """Namespaces `center` and one per host, joined by veth pairs; gone when closed."""

    def __init__(self, hosts):
        self.mark = uuid.uuid4().hex[:6]
        self.center = f"bt-{self.mark}"
        self.hosts = {name: f"bt-{self.mark}-{number}" for number, name in enumerate(hosts, 1)}
        self.made = []
        try:
            self._lay()
        except BaseException:
            self.close()
            raise

    def _lay(self):
        for namespace in (self.center, *self.hosts.values()):
            ip("netns", "add", namespace)
            self.made.append(namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
        for number, namespace in enumerate(self.hosts.values(), 1):
            near, far = self.ends(number)
            ip("link", "add", near, "netns", self.center, "type", "veth", "peer", "name", far, "netns", namespace)
            for where, end, last in ((self.center, near, 1), (namespace, far, 2)):
                ip("-n", where, "address", "add", f"10.213.{number}.{last}/24", "dev", end)
                ip("-n", where, "link", "set", end, "up")

    def ends(self, number):
        return f"n{number}{self.mark}", f"f{number}{self.mark}"

    def address(self, name):
        """The control plane's address, as a host sees it."""
        return f"10.213.{list(self.hosts).index(name) + 1}.1"

    def cut(self, name, state="down"):
        near, _ = self.ends(list(self.hosts).index(name) + 1)
        ip("-n", self.center, "link", "set", near, state)

    def join(self, name):
        self.cut(name, "up")

    def close(self):
        for namespace in self.made:
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", namespace)


@contextlib.contextmanager
def inside(namespace):
    """This thread, its children and the sockets that it opens, in a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(file):
        assert libc.setns(file.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    with Path("/proc/thread-self/ns/net").open() as own, Path(f"/run/netns/{namespace}").open() as other:
        enter(other)
        try:
            yield
        finally:
            enter(own)


class ApartWorld(World):
    """A world whose agents live in namespaces of their own; the test itself lives in the control plane's."""

    keys = KEYS

    def __init__(self, path, cables):
        self.cables = cables
        super().__init__(path, PORT)

    def start_control_plane(self, **environment):
        key, secret = KEYS
        keys = {"BERTH_ACCESS_KEY_ID": key, "BERTH_SECRET_ACCESS_KEY": secret}
        super().start_control_plane(BERTH_HOST="0.0.0.0", **keys, **environment)

    def start_agent(self, name="host-1", arguments=(), **environment):
        key, secret = KEYS
        keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        endpoint = f"http://{self.cables.address(name)}:{PORT}"
        super().start_agent(name, arguments, ECS_BACKEND_HOST=endpoint, **keys, **environment)

    def _command(self, name, module, arguments):
        command = super()._command(name, module, arguments)
        if name not in self.cables.hosts:
            return command
        return ["nsenter", f"--net=/run/netns/{self.cables.hosts[name]}", *command]


@pytest.fixture
def apart(tmp_path):
    """A control plane with keys, and cables to two hosts that have no agent yet."""
    with contextlib.closing(Cables(["host-1", "host-2"])) as cables, inside(cables.center):
        world = ApartWorld(tmp_path, cables)
        try:
            world.start_control_plane()
            yield world
        finally:
            world.close()


def instance_of(world, task):
    arn = world.task(task)["containerInstanceArn"]
    return world.ecs.describe_container_instances(containerInstances=[arn])["containerInstances"][0]


@pytest.mark.soak
def test_a_host_that_is_cut_off_works_on_and_hears_of_the_stop_when_it_is_back(apart):
    apart.start_agent("host-1", ECS_CONTAINER_STOP_TIMEOUT="3s")
    (first,) = apart.hosts(1)
    apart.start_agent("host-2", ECS_CONTAINER_STOP_TIMEOUT="3s")
    second = next(row for row in apart.hosts(2) if row["containerInstanceArn"] != first["containerInstanceArn"])
    definition = apart.define(cpu=100, memory=64)
    tasks = []
    for row in (first, second):
        started = apart.ecs.start_task(taskDefinition=definition, containerInstances=[row["containerInstanceArn"]])
        tasks.append(started["tasks"][0]["taskArn"])
    docker_ids = [apart.wait_task(task, "RUNNING")["containers"][0]["runtimeId"] for task in tasks]
    for docker_id in docker_ids:
        apart.ready(docker_id)

    apart.cables.cut("host-2")
    apart.ecs.stop_task(task=tasks[1])
    apart.until(lambda: not instance_of(apart, tasks[1])["agentConnected"], "it is seen as cut off", SILENCE_SECONDS)
    assert instance_of(apart, tasks[0])["agentConnected"], "the other one is not"
    assert apart.task(tasks[1])["connectivity"] == "DISCONNECTED"
    assert apart.task(tasks[1])["desiredStatus"] == "STOPPED"
    assert apart.state(docker_ids[1])["Running"], "nobody has told it to stop"
    assert apart.ecs.start_task(taskDefinition=definition, containerInstances=[second["containerInstanceArn"]])[
        "failures"
    ], "nothing is placed on a host that is away"

    apart.cables.join("host-2")
    joined_at = time.time()
    stopped = apart.wait_task(tasks[1], "STOPPED", SILENCE_SECONDS)
    assert stopped["containers"][0]["exitCode"] == 0
    assert apart.events.at("die", docker_ids[1]) > joined_at
    assert instance_of(apart, tasks[1])["agentConnected"]
    assert [row["containerInstanceArn"] for row in apart.hosts(2)].count(second["containerInstanceArn"]) == 1
    assert apart.state(docker_ids[0])["Running"], "the other host's task has seen nothing of all this"
    assert apart.events.starts_of(tasks[0]) == apart.events.starts_of(tasks[1]) == 1


def test_beyond_the_loopback_nobody_gets_in_without_the_keys(apart):
    stranger = boto3.client(
        "ecs",
        endpoint_url=f"http://{apart.cables.address('host-1')}:{PORT}",
        region_name="us-east-1",
        aws_access_key_id="stranger",
        aws_secret_access_key="unknown",
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )
    with pytest.raises(ClientError) as refused:
        stranger.list_clusters()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    stranger.close()
