"""Black-box rows about images, against a registry of the test's own (`docker-registry`, where it is installed)."""

import asyncio
import contextlib
import json
import shutil
import socketserver
import subprocess
import threading
import time
import urllib.error
import urllib.request

import docker.errors
import pytest

from agent.core.images import CleanUp
from agent.core.pulling import PullBehavior
from agent.journal import Journal
from agent.pulling import Puller, PullSettings
from agent.runtime.docker import DockerRuntime

pytestmark = [
    pytest.mark.soak,
    pytest.mark.docker,
    pytest.mark.skipif(shutil.which("docker-registry") is None, reason="there is no docker-registry here"),
]

STUBBORN = "berth/stubborn:latest"


USER, PASSWORD = "skipper", "pa55-of-the-registry"
HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuh2UEAnTSxys8kxnTyq3wV1ptbrt0/uK\n"
"""bcrypt of it, the one form that the registry reads."""
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:registry-AbCdEf"


@contextlib.contextmanager
def served(world, port, image, *, asks=200, login=None, auth=""):
    """A registry of our own with `<image>:1`, of which nothing is on the host; yields its address."""
    address, root = f"localhost:{port}", world.path / "registry"
    config, log = world.path / "registry.yml", (world.path / "registry.log").open("wb")
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n{auth}"
    )
    process = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
    try:
        world.until(lambda: _answers(address, asks), "the registry answers")
        world.docker.tag(STUBBORN, f"{address}/{image}", "1")
        assert "error" not in world.docker.push(f"{address}/{image}", "1", auth_config=login)
        world.docker.remove_image(f"{address}/{image}:1")
        yield address
    finally:
        process.terminate()
        process.wait(10)
        log.close()
        for found in world.docker.images(f"{address}/{image}"):
            for name in [*(found["RepoTags"] or ()), *(found["RepoDigests"] or ())]:
                if address in name:
                    _forget(world, name)


@pytest.fixture
def registry(world, free_port_2):
    """Address of a registry that has `job:1`."""
    with served(world, free_port_2, "job") as address:
        yield address


@pytest.fixture
def private_registry(world, free_port_2):
    """Name of an image `:1` in a registry that lets in who has the password."""
    users = world.path / "htpasswd"
    users.write_text(HTPASSWD)
    auth = f"auth: {{htpasswd: {{realm: test, path: {users}}}}}\n"
    login = {"username": USER, "password": PASSWORD}
    with served(world, free_port_2, "private", asks=401, login=login, auth=auth) as address:
        yield f"{address}/private"


def _forget(world, name):
    with contextlib.suppress(docker.errors.APIError):
        world.docker.remove_image(name, force=True)


def _answers(address, status=200):
    try:
        with urllib.request.urlopen(f"http://{address}/v2/", timeout=1) as answer:
            return answer.status == status
    except urllib.error.HTTPError as refused:
        return refused.code == status
    except OSError:
        return False


def host_with(world, behavior):
    world.start_agent(ECS_IMAGE_PULL_BEHAVIOR=behavior, ECS_CONTAINER_STOP_TIMEOUT="3s")
    world.hosts(1)
    return world


def requests(world):
    """Manifest requests that the registry has seen."""
    return (world.path / "registry.log").read_text().count("/v2/job/manifests/")


@pytest.mark.parametrize(
    ("behavior", "asks_again"), [("default", True), ("always", True), ("once", False), ("prefer-cached", False)]
)
def test_pull_behaviours(world, registry, behavior, asks_again):
    """TestStartStopUnpulledImage. Both: a first task pulls; a second asks the registry again or not, as configured."""
    host = host_with(world, behavior)
    definition = host.define(image=f"{registry}/job:1", cpu=16, memory=32)
    task, _ = host.running(definition)
    shown = host.task(task)
    assert shown["containers"][0]["imageDigest"].startswith("sha256:")
    assert shown["pullStartedAt"] <= shown["pullStoppedAt"]
    before = requests(host)
    again, _ = host.running(definition)
    assert (requests(host) > before) == asks_again
    assert ("pullStartedAt" in host.task(again)) == asks_again
    for each in (task, again):
        host.ecs.stop_task(task=each)
        host.wait_task(each, "STOPPED")


def test_a_replacement_runs_what_the_deployment_began_with(world, registry):
    """The tag has moved; `versionConsistency` holds to the digest until there is a new deployment."""
    host = host_with(world, "default")
    name = f"{registry}/job"
    definition = host.define(image=f"{name}:1", cpu=16, memory=32)
    host.ecs.create_service(serviceName="web", taskDefinition=definition, desiredCount=1)
    first, before = only_running(host)
    host.docker.tag("berth/stubborn:quit", name, "1")
    assert "error" not in host.docker.push(name, "1")
    host.ecs.stop_task(task=first)
    second, same = only_running(host, first)
    host.ecs.update_service(service="web", forceNewDeployment=True)
    _, moved = only_running(host, first, second)
    assert before["Image"] == same["Image"] != moved["Image"]
    assert same["Config"]["Image"].startswith(f"{name}@sha256:")
    assert moved["Config"]["Image"] == f"{name}:1"
    host.ecs.delete_service(service="web", force=True)
    host.until(lambda: not host.docker.containers(filters={"label": f"berth.run={host.run}"}), "all has stopped")


def only_running(host, *but):
    """The one task that runs, but for these, and Docker's own record of its container."""

    def found():
        arns = [arn for arn in host.ecs.list_tasks(serviceName="web")["taskArns"] if arn not in but]
        return next((arn for arn in arns if host.task(arn)["lastStatus"] == "RUNNING"), None)

    task = host.until(found, "a task of the service runs")
    return task, host.docker.inspect_container(host.task(task)["containers"][0]["runtimeId"])


@pytest.mark.parametrize("behavior", ["always", "default"])
def test_an_unknown_image(world, registry, behavior):
    """TestInvalidImageInteg, TestTaskStopWhenPullImageFail. Amazon's asks nine times (15 s, later 42 s and more) and
    then, unless `always` or `once`, pulls five times; ours takes the registry's definite answer."""
    host = host_with(world, behavior)
    task = host.run_task(host.define(image=f"{registry}/job:2", cpu=16, memory=32))
    stopped = host.wait_task(task, "STOPPED", 10)
    reason = stopped["containers"][0]["reason"]
    assert reason.startswith("CannotPullImageManifestError: Error response from daemon: manifest unknown")
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert "runtimeId" not in stopped["containers"][0]


def test_a_local_image_that_the_registry_does_not_know_runs_by_default(world, registry):
    """Amazon's runs it after 30 s of failing pulls; ours at once."""
    host = host_with(world, "default")
    name = f"{registry}/job"
    host.docker.tag(STUBBORN, name, "local")
    host.running(host.define(image=f"{name}:local", cpu=16, memory=32))


def test_an_image_by_its_digest(world, registry):
    """TestImageWithDigestInteg. Both: the manifest step is left out, the digest is reported."""
    digest = world.docker.inspect_distribution(f"{registry}/job:1")["Descriptor"]["digest"]
    host = host_with(world, "always")
    task, _ = host.running(host.define(image=f"{registry}/job@{digest}", cpu=16, memory=32))
    assert host.task(task)["containers"][0]["imageDigest"] == digest


def test_a_registry_that_is_away(world):
    """Amazon's: 45 s and more for `always`, 66 s for `default`; ours 14 s, each task its own."""
    host = host_with(world, "always")
    task = host.run_task(host.define(image="localhost:1/no/such:image", cpu=16, memory=32))
    reason = host.wait_task(task, "STOPPED", 40)["containers"][0]["reason"]
    assert reason.startswith("CannotPullImageManifestError: Error response from daemon: Get ")


def test_a_stop_during_the_tries_ends_at_once(world):
    """TestStopWithPendingStops. Both: STOPPED at once; ours also gives up the pull."""
    host = host_with(world, "always")
    task = host.run_task(host.define(image="localhost:1/no/such:image", cpu=16, memory=32))
    host.until(lambda: host.ecs.list_tasks()["taskArns"], "it is placed")
    host.ecs.stop_task(task=task)
    stopped = host.wait_task(task, "STOPPED", 5)
    assert "exitCode" not in stopped["containers"][0]


def test_an_image_of_a_private_registry_comes_with_the_credentials_of_its_container_alone(
    world, private_registry, tmp_path
):
    secrets = tmp_path / "secrets.json"
    values = {"registry": {"username": USER, "password": PASSWORD}, "wrong": {"username": USER, "password": "x"}}
    secrets.write_text(json.dumps({"secretsmanager": values}))
    world.start_agent(ECS_IMAGE_PULL_BEHAVIOR="always", BERTH_SECRETS=str(secrets))
    world.hosts(1)

    def task(**more):
        return world.define(image=f"{private_registry}:1", cpu=64, memory=64, **more)

    for more, words in (
        ({}, "CannotPullImageManifestError"),
        ({"repositoryCredentials": {"credentialsParameter": "wrong"}}, "CannotPullImageManifestError"),
        (
            {"repositoryCredentials": {"credentialsParameter": "none"}},
            "CannotPullContainerAuthError: secretsmanager none is not there",
        ),
    ):
        ended = world.wait_task(world.run_task(task(**more)), "STOPPED")
        assert words in ended["containers"][0]["reason"] + ended.get("stoppedReason", "")
    world.running(task(repositoryCredentials={"credentialsParameter": SECRET}))
    for file in [p for p in tmp_path.rglob("*") if p.is_file() and p != secrets]:
        assert PASSWORD.encode() not in file.read_bytes(), f"the password is in {file}"


class SilentRegistry(socketserver.ThreadingTCPServer):
    """Takes connections and says nothing; `gone` counts those that the other side has closed."""

    allow_reuse_address = daemon_threads = True

    def __init__(self):
        self.asked, self.gone = threading.Semaphore(0), threading.Semaphore(0)
        super().__init__(("127.0.0.1", 0), None)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, _address):
        self.asked.release()
        while request.recv(4096):
            pass
        self.gone.release()


@pytest.fixture
def silent():
    server = SilentRegistry()
    yield server
    server.shutdown()
    server.server_close()


def test_a_registry_that_says_nothing(world, silent):
    """`ECS_IMAGE_PULL_INACTIVITY_TIMEOUT`, `ECS_MANIFEST_PULL_TIMEOUT`. Both: five tries, each given up when nothing
    has come for so long; all tries for the manifest together within its limit; a stop ends it at once."""
    world.start_agent(
        ECS_IMAGE_PULL_BEHAVIOR="always", ECS_IMAGE_PULL_INACTIVITY_TIMEOUT="1s", ECS_MANIFEST_PULL_TIMEOUT="30s"
    )
    world.hosts(1)
    name = f"127.0.0.1:{silent.server_address[1]}/x"
    stops = world.run_task(world.define("stops", image=f"{name}/stops:1", cpu=16, memory=32))
    assert silent.asked.acquire(timeout=20)
    world.ecs.stop_task(task=stops)
    world.wait_task(stops, "STOPPED", 5)
    pulls = world.run_task(world.define("pulls", image=f"{name}@sha256:{'0' * 64}", cpu=16, memory=32))
    asks = world.run_task(world.define("asks", image=f"{name}:1", cpu=16, memory=32))
    began = time.monotonic()
    reason = world.wait_task(pulls, "STOPPED")["containers"][0]["reason"]
    assert reason == "CannotPullContainerError: inactivity time exceeded timeout while pulling image: 1s"
    assert 5 + 1.1 + 2.2 + 4.4 + 5 < time.monotonic() - began < 28
    assert all(silent.gone.acquire(timeout=5) for _ in range(5)), "Docker has given each of them up"
    reason = world.wait_task(asks, "STOPPED")["containers"][0]["reason"]
    assert reason == "DockerTimeoutError: Could not transition to manifest_pulled; timed out after waiting 30s"


# ---- clean-up


def another_image(world, name):
    """A new image of that name: committed from a container, like no other."""
    created = world.docker.create_container(STUBBORN, labels={"berth.run": world.run})
    repository, _, tag = name.rpartition(":")
    world.docker.commit(created["Id"], repository, tag, changes=[f"LABEL made={time.time()}"])
    world.docker.remove_container(created["Id"])
    return world.docker.inspect_image(name)["Id"]


async def test_image_clean_up(world, registry, tmp_path):
    """TestIntegImageCleanupHappyCase, TestIntegImageCleanupThreshold, TestImageWithSameNameAndDifferentID,
    TestImageWithSameIDAndDifferentNames. Both: names go, the longest unused first, and so many a cycle; an image that
    has lost its name goes too; what a container has stays. Amazon's takes every image that a task used; ours those
    that it brought."""
    one, two, held, theirs = (f"{registry}/job:{tag}" for tag in ("one", "two", "held", "theirs"))
    for name in (one, held, theirs):
        another_image(world, name)
        world.docker.push(*name.rsplit(":", 1))
    world.docker.tag(one, f"{registry}/job", "two")
    world.docker.push(f"{registry}/job", "two")
    for name in (one, two, held):
        world.docker.remove_image(name)
    journal = Journal(tmp_path / "journal")
    runtime = DockerRuntime({"berth.run": world.run})
    rule = CleanUp(interval_seconds=0.3, age_seconds_min=0, images_per_cycle=1)
    settings = PullSettings(behavior=PullBehavior.ALWAYS, clean_up=rule)
    puller = Puller(runtime, journal, clock=time.time, settings=settings)
    for name in (one, two, held, theirs):
        await puller.see_to(name, None)
    was = world.docker.inspect_image(one)["Id"]
    assert was == world.docker.inspect_image(two)["Id"]
    world.docker.create_container(held, labels={"berth.run": world.run})
    other = another_image(world, one)
    world.docker.push(*one.rsplit(":", 1))
    world.docker.tag(was, f"{registry}/job", "one")
    await puller.see_to(one, None)
    assert world.docker.inspect_image(one)["Id"] == other
    in_use = {two}
    cleaning = asyncio.create_task(puller.clean_up_for_ever(lambda: in_use))
    await gone(world, one)
    assert exists(world, two), "a task needs it"
    assert exists(world, was), "it has a name"
    in_use.clear()
    await gone(world, two)
    await gone(world, was)
    cleaning.cancel()
    assert exists(world, held), "a container has it"
    assert exists(world, theirs), "it was here before"
    await runtime.close()
    journal.close()


def exists(world, name):
    try:
        return bool(world.docker.inspect_image(name))
    except docker.errors.ImageNotFound:
        return False


async def gone(world, name):
    async with asyncio.timeout(20):
        while exists(world, name):  # noqa: ASYNC110 - Docker tells it to nobody
            await asyncio.sleep(0.05)
