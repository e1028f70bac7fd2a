"""The stop, on real containers: signals, grace, exit codes and times as Docker records them."""

import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from definitions import PATIENT
from docker_events import CLOCKS_SECONDS

pytestmark = pytest.mark.docker


def epoch(text):
    """Docker's timestamp."""
    return datetime.fromisoformat(text[:26].rstrip("Z") + "Z").timestamp()


def test_term_then_exit_0_within_the_grace(host):
    definition = host.define(environment={"QUIT_SECONDS": 1})
    task, docker_id = host.running(definition)
    asked = time.time()
    host.ecs.stop_task(task=task, reason="because")
    stopped = host.wait_task(task, "STOPPED")
    assert 1 <= host.events.at("die", docker_id, exitCode="0") - asked < 20, "a second of its own"
    assert host.events.signals(docker_id, 1) == ["15"], "no SIGKILL"
    assert stopped["containers"][0]["exitCode"] == host.state(docker_id)["ExitCode"] == 0
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "because")
    assert stopped["stoppedAt"].timestamp() >= epoch(host.state(docker_id)["FinishedAt"]) - CLOCKS_SECONDS


def test_term_ignored_then_137_at_the_grace_of_the_agent(host):
    task, docker_id = host.running(host.define(environment={"ON_TERM": "ignore"}))
    asked = time.time()
    host.ecs.stop_task(task=task)
    stopped = host.wait_task(task, "STOPPED")
    assert 3 <= host.events.at("die", docker_id, exitCode="137") - asked < 23, "not Docker's ten, nor ECS's thirty"
    assert stopped["containers"][0]["exitCode"] == 137


def test_stop_timeout_goes_before_the_agents_default(world):
    world.start_agent(ECS_CONTAINER_STOP_TIMEOUT="60s")
    world.hosts(1)
    task, docker_id = world.running(world.define(stopTimeout=1, environment={"ON_TERM": "ignore"}))
    asked = time.time()
    world.ecs.stop_task(task=task)
    world.wait_task(task, "STOPPED")
    assert 1 <= world.events.at("die", docker_id) - asked < 30


def test_the_images_own_stopsignal(host):
    task, docker_id = host.running(host.define(image="berth/stubborn:quit"))
    host.ecs.stop_task(task=task)
    host.wait_task(task, "STOPPED")
    assert host.events.signals(docker_id, 1) == ["3"]
    assert host.state(docker_id)["ExitCode"] == 0


@pytest.mark.parametrize(("on_term", "signals"), [("quit", ["15"]), ("ignore", ["15", "9"])])
def test_dockers_own_record_is_that_of_docker_stop(host, on_term, signals):
    """The same container stopped by `docker stop -t 2` and by us: same signals, same state."""
    task, ours = host.running(host.define(stopTimeout=2, environment={"ON_TERM": on_term}))
    labels = {"berth.run": host.run, "com.amazonaws.ecs.task-arn": "none"}
    made = host.docker.create_container("berth/stubborn:latest", environment={"ON_TERM": on_term}, labels=labels)
    theirs = made["Id"]
    host.docker.start(theirs)
    host.ready(theirs)
    host.ecs.stop_task(task=task)
    host.docker.stop(theirs, timeout=2)
    host.wait_task(task, "STOPPED")
    for docker_id in (ours, theirs):
        assert host.events.signals(docker_id, len(signals)) == signals
    changing = {"StartedAt", "FinishedAt", "Pid"}
    records = [{k: v for k, v in host.state(i).items() if k not in changing} for i in (ours, theirs)]
    assert records[0] == records[1]


def test_several_containers_stop_in_parallel_and_the_task_when_the_last_has_gone(world):
    """Status is truthful all the while: STOPPING as long as one of them works on."""

    def container(name, **more):
        return {"name": name, "image": "berth/stubborn:latest", "memory": 32, "essential": True, **more}

    world.start_agent(ECS_CONTAINER_STOP_TIMEOUT="120s")
    world.hosts(1)
    world.ecs.register_task_definition(
        family="pair", containerDefinitions=[container("quick"), container("slow", command=PATIENT)]
    )
    task = world.run_task("pair")
    ids = {c["name"]: c["runtimeId"] for c in world.wait_task(task, "RUNNING")["containers"]}
    for docker_id in ids.values():
        world.ready(docker_id)
    answered = world.ecs.stop_task(task=task)["task"]
    assert (answered["lastStatus"], answered["desiredStatus"]) == ("RUNNING", "STOPPED")
    for docker_id in ids.values():
        world.events.at("kill", docker_id, signal="15")
    world.events.at("die", ids["quick"], exitCode="0")
    stopping = world.wait_task(task, "STOPPING")
    assert world.state(ids["slow"])["Running"], "STOPPING means that one still runs"
    assert "exitCode" not in next(c for c in stopping["containers"] if c["name"] == "slow")
    assert task not in world.ecs.list_tasks()["taskArns"]
    assert task in world.ecs.list_tasks(desiredStatus="STOPPED")["taskArns"]
    world.finish(ids["slow"])
    stopped = world.wait_task(task, "STOPPED")
    assert stopped["stoppedAt"].timestamp() >= world.events.at("die", ids["slow"]) - CLOCKS_SECONDS
    assert not world.state(ids["slow"])["Running"]
    assert {c["name"]: c["exitCode"] for c in stopped["containers"]} == {"quick": 0, "slow": 0}


def test_an_exit_by_itself_is_told_with_its_code(host):
    task = host.run_task(host.define(environment={"RUN_SECONDS": "0.5", "EXIT_CODE": 3}))
    stopped = host.wait_task(task, "STOPPED")
    docker_id = stopped["containers"][0]["runtimeId"]
    assert stopped["stopCode"] == "EssentialContainerExited"
    died = host.events.at("die", docker_id)  # waits for it: Docker learns of an end after containerd
    assert stopped["containers"][0]["exitCode"] == host.state(docker_id)["ExitCode"] == 3
    assert -CLOCKS_SECONDS <= stopped["stoppedAt"].timestamp() - died < 20


class KnowsNothing(BaseHTTPRequestHandler):
    """A registry that has no image."""

    def do_GET(self):
        body = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
        self.send_response(200 if self.path == "/v2/" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - names of the standard library

    def log_message(self, *_):
        pass


@pytest.fixture
def empty_registry():
    """Its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), KnowsNothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_docker_cannot_start_or_find_says_why(host, empty_registry):
    bad = host.run_task(host.define("bad", command=["/no/such/program"]))
    stopped = host.wait_task(bad, "STOPPED")
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert stopped["containers"][0]["reason"].startswith("CannotStartContainerError: ")
    assert "exitCode" not in stopped["containers"][0]
    missing = host.run_task(host.define("missing", image=f"{empty_registry}/no/such:image"))
    reason = host.wait_task(missing, "STOPPED")["containers"][0]["reason"]
    assert reason.startswith("CannotPullImageManifestError: Error response from daemon: manifest unknown")


def test_labels_limits_environment_and_ports_are_in_the_container(host):
    definition = host.define(
        cpu=256,
        memory=64,
        environment={"COLOUR": "green"},
        portMappings=[{"containerPort": 8080, "hostPort": 0}],
        dockerLabels={"team": "harbour"},
    )
    task, docker_id = host.running(definition)
    inspected = host.docker.inspect_container(docker_id)
    labels = inspected["Config"]["Labels"]
    assert labels["com.amazonaws.ecs.task-arn"] == task
    assert labels["com.amazonaws.ecs.cluster"] == "default"
    assert labels["com.amazonaws.ecs.container-name"] == "main"
    assert labels["com.amazonaws.ecs.task-definition-family"] == "job"
    assert labels["com.amazonaws.ecs.task-definition-version"] == "1"
    assert labels["team"] == "harbour"
    assert "COLOUR=green" in inspected["Config"]["Env"]
    assert inspected["HostConfig"]["Memory"] == 64 << 20
    assert inspected["HostConfig"]["CpuShares"] == 256
    [binding] = host.task(task)["containers"][0]["networkBindings"]
    bound = inspected["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
    assert (binding["containerPort"], binding["hostPort"]) == (8080, int(bound))


def test_host_network(host):
    host.ecs.register_task_definition(
        family="on-host",
        networkMode="host",
        containerDefinitions=[{"name": "main", "image": "berth/stubborn:latest", "memory": 32, "essential": True}],
    )
    _, docker_id = host.running("on-host")
    assert host.docker.inspect_container(docker_id)["HostConfig"]["NetworkMode"] == "host"


def test_a_fixed_host_port_asked_for_again_waits_for_the_old_holder(host, free_port_2):
    definition = host.define(
        cpu=10,
        memory=32,
        stopTimeout=120,
        command=PATIENT,
        portMappings=[{"containerPort": 80, "hostPort": free_port_2}],
    )
    old, old_id = host.running(definition)
    host.ecs.stop_task(task=old)
    host.until(lambda: host.room(host.task(old)["containerInstanceArn"])[0] == 2048, "the port is booked free")
    new = host.run_task(definition)
    assert host.state(old_id)["Running"]
    host.finish(old_id)
    new_id = host.wait_task(new, "RUNNING")["containers"][0]["runtimeId"]
    assert host.events.at("start", new_id) > host.events.at("die", old_id)
    assert host.task(new)["containers"][0]["networkBindings"][0]["hostPort"] == free_port_2


def test_overrides_reach_the_container(host):
    definition = host.define(environment={"EXIT_CODE": 1})
    overrides = {
        "containerOverrides": [
            {"name": "main", "command": ["sh", "-c", 'echo "$A"; exit 5'], "environment": [{"name": "A", "value": "b"}]}
        ]
    }
    task = host.run_task(definition, overrides=overrides)
    stopped = host.wait_task(task, "STOPPED")
    assert stopped["containers"][0]["exitCode"] == 5
    host.until(lambda: host.docker.logs(stopped["containers"][0]["runtimeId"]) == b"b\n", "Docker has its line")
    assert stopped["overrides"]["containerOverrides"][0]["command"] == ["sh", "-c", 'echo "$A"; exit 5']
