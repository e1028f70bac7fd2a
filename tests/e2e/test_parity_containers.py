"""Black-box rows after the integration tests of Amazon's agent, on real containers: order, health, restarts, ends.

Each test names the row (section 8.3 of the reference: the name of the test in amazon-ecs-agent) and says what Amazon's
agent does and what ours does. Evidence is Docker's own events.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from docker_events import CLOCKS_SECONDS

pytestmark = pytest.mark.docker

STUBBORN = "berth/stubborn:latest"


def container(name, *depends_on, environment=None, **members):
    """A container definition; `depends_on` are (container, condition)."""
    body = {"name": name, "image": STUBBORN, "cpu": 16, "memory": 32, "essential": True, **members}
    if depends_on:
        body["dependsOn"] = [{"containerName": other, "condition": condition} for other, condition in depends_on]
    if environment:
        body["environment"] = [{"name": key, "value": str(value)} for key, value in environment.items()]
    return body


def run(host, *containers, family="parity"):
    host.ecs.register_task_definition(family=family, containerDefinitions=list(containers))
    return host.run_task(family)


def ids(host, task):
    return {c["name"]: c.get("runtimeId") for c in host.task(task)["containers"]}


def exit_codes(task):
    return {c["name"]: c.get("exitCode") for c in task["containers"]}


def heard(host):
    """The agent has acted on all that Docker has told until now: it reads events in order, and tells a later end."""
    later = run(host, container("later", environment={"RUN_SECONDS": 0}, portMappings=[{"containerPort": 80}]))
    assert exit_codes(host.wait_task(later, "STOPPED")) == {"later": 0}


# ---- order


def test_shutdown_order(host):
    """TestShutdownOrder. Both: parent, A, B, C, one after the other. Ours at each exit; Amazon's the same."""
    task = run(
        host,
        container("parent", ("A", "START"), environment={"RUN_SECONDS": 2}),
        container("A", ("B", "START")),
        container("B", ("C", "START"), environment={"ON_TERM": "ignore"}, stopTimeout=2),
        container("C"),
    )
    stopped = host.wait_task(task, "STOPPED")
    of = ids(host, task)
    started = [host.events.at("start", of[name]) for name in ("C", "B", "A", "parent")]
    died = [host.events.at("die", of[name]) for name in ("parent", "A", "B", "C")]
    assert started == sorted(started)
    assert died == sorted(died)
    assert exit_codes(stopped)["B"] == 137
    signalled = host.events.at("kill", of["C"], signal="15")
    assert -CLOCKS_SECONDS < signalled - died[2] < 20, "decided at the event"


def test_granular_stop_timeout(host):
    """TestGranularStopTimeout. Both: each dependency has its own grace; one is killed, one ends by itself."""
    task = run(
        host,
        container("parent", ("short", "START"), ("long", "START"), environment={"RUN_SECONDS": 1}),
        container("short", environment={"QUIT_SECONDS": 30}, stopTimeout=2),
        container("long", environment={"QUIT_SECONDS": 3}, stopTimeout=50),
    )
    stopped = host.wait_task(task, "STOPPED")
    assert exit_codes(stopped) == {"parent": 0, "short": 137, "long": 0}


def test_dependency_health_check(host):
    """TestDependencyHealthCheck, TestContainerHealthCheck. Amazon's starts the parent up to 5 s after HEALTHY (poll);
    ours at the event."""
    check = {"command": ["CMD-SHELL", "test -f /tmp/fine"], "interval": 5, "timeout": 2, "retries": 10}
    becomes_fine = ["sh", "-c", "sleep 3; touch /tmp/fine; exec sleep 600"]
    task = run(
        host,
        container("dep", healthCheck=check, command=becomes_fine, stopTimeout=2),
        container("parent", ("dep", "HEALTHY"), environment={"RUN_SECONDS": 1}),
    )
    host.wait_task(task, "STOPPED")
    of = ids(host, task)
    healthy = host.events.at("health_status: healthy", of["dep"])
    assert -CLOCKS_SECONDS < host.events.at("create", of["parent"]) - healthy < 20
    assert exit_codes(host.task(task)) == {"dep": 137, "parent": 0}


def test_while_one_waits_the_other_is_told_and_a_stop_ends_the_waiting(host):
    """Amazon's tells PENDING with the first container RUNNING within 10 to 30 s, and takes up to 2 s more to stop;
    ours tells at once and stops at once."""
    check = {"command": ["CMD-SHELL", "false"], "interval": 5, "retries": 10}
    task = run(host, container("dep", healthCheck=check), container("parent", ("dep", "HEALTHY")))
    host.until(lambda: host.task(task)["containers"][0]["lastStatus"] == "RUNNING", "dep is told")
    assert host.task(task)["lastStatus"] == "PENDING"
    docker_id = ids(host, task)["dep"]
    host.ready(docker_id)
    host.ecs.stop_task(task=task)
    stopped = host.wait_task(task, "STOPPED")
    assert exit_codes(stopped) == {"dep": 0, "parent": None}
    assert ids(host, task)["parent"] is None


def test_dependency_complete_and_success(host):
    """TestDependencyComplete, TestDependencySuccess. Amazon's starts the parent at its next poll; ours at the exit."""
    task = run(
        host,
        container("complete", essential=False, command=["sh", "-c", "sleep 2; exit 1"]),
        container("success", essential=False, command=["true"]),
        container("parent", ("complete", "COMPLETE"), ("success", "SUCCESS"), environment={"RUN_SECONDS": 1}),
    )
    stopped = host.wait_task(task, "STOPPED")
    of = ids(host, task)
    assert -CLOCKS_SECONDS < host.events.at("create", of["parent"]) - host.events.at("die", of["complete"]) < 20
    assert exit_codes(stopped) == {"complete": 1, "success": 0, "parent": 0}


def test_dependency_success_errored_and_multiple_container_dependency(host):
    """TestDependencySuccessErrored, TestMultipleContainerDependency. Both: only the first runs; the others are STOPPED
    with exit code 143 and the same words."""
    task = run(
        host,
        container("exits", essential=False, command=["sh", "-c", "exit 1"]),
        container("A", ("exits", "SUCCESS")),
        container("B", ("A", "START"), ("exits", "SUCCESS")),
    )
    stopped = host.wait_task(task, "STOPPED")
    assert exit_codes(stopped) == {"exits": 1, "A": 143, "B": 143}
    reason = {c["name"]: c.get("reason", "") for c in stopped["containers"]}["A"]
    assert reason.startswith("CannotStartContainerError: dependency graph: failed to resolve container ordering depend")
    assert reason.endswith("as dependency did not exit successfully.")
    assert host.events.starts_of(task) == 1


def test_dependency_success_timeout(host):
    """TestDependencySuccessTimeout, HealthyTimeout. Amazon's notices at its next poll; ours when the time is over."""
    task = run(
        host,
        container("dep", essential=False, startTimeout=3),
        container("parent", ("dep", "SUCCESS")),
    )
    stopped = host.wait_task(task, "STOPPED")
    of = ids(host, task)
    taken = host.events.at("kill", of["dep"]) - host.events.at("start", of["dep"])
    assert 3 - CLOCKS_SECONDS <= taken < 25
    assert exit_codes(stopped)["parent"] == 143
    assert {c["name"]: c.get("reason", "") for c in stopped["containers"]}["parent"].endswith("has timed out.")


def test_what_depends_in_a_circle_is_refused(host):
    """Both: STOPPED at once with Amazon's words, no Docker call."""
    task = run(host, container("a", ("b", "START")), container("b", ("a", "START")))
    stopped = host.wait_task(task, "STOPPED")
    assert stopped["stoppedReason"].startswith("TaskDependencyError: Task dependencies cannot be resolved, taskArn: ")
    assert host.events.starts_of(task) == 0


def test_links_and_volumes_from(host):
    """TestLinking, TestVolumesFromRO. Both: the alias resolves; the volume is there, and read-only."""
    reader = ["sh", "-c", "grep -q database /etc/hosts && grep -q hello /shared/file && ! touch /shared/x && exit 42"]
    writer = container("writer", command=["sh", "-c", "echo hello > /shared/file; exec sleep 600"], stopTimeout=2)
    host.ecs.register_task_definition(
        family="linked",
        containerDefinitions=[
            container("db"),
            {**writer, "essential": True},
            container(
                "app",
                ("writer", "START"),
                links=["db:database"],
                volumesFrom=[{"sourceContainer": "writer", "readOnly": True}],
                command=reader,
            ),
        ],
    )
    image = volume_image(host)
    try:
        definition = host.ecs.describe_task_definition(taskDefinition="linked")["taskDefinition"]
        containers = [{**c, "image": image} if c["name"] == "writer" else c for c in definition["containerDefinitions"]]
        host.ecs.register_task_definition(family="linked", containerDefinitions=containers)
        stopped = host.wait_task(host.run_task("linked"), "STOPPED")
        assert exit_codes(stopped)["app"] == 42
    finally:
        host.docker.remove_image(image, force=True)


def volume_image(host):
    """An image with a volume at /shared: committed from a container, no network needed."""
    created = host.docker.create_container(STUBBORN, labels={"berth.run": host.run})
    host.docker.commit(created["Id"], "berth/parity-volume", host.run, changes=["VOLUME /shared"])
    host.docker.remove_container(created["Id"])
    return f"berth/parity-volume:{host.run}"


# ---- restarts


def test_restart_policy(host):
    """`restartPolicy`. Both: the same container again, no report, the count aside; an ignored code ends it. AWS allows
    periods from 60 s on; the agents take any."""
    counts = ["sh", "-c", "echo x >> /n; sleep 2; [ $(wc -l < /n) -lt 3 ] && exit 7; exit 0"]
    policy = {"enabled": True, "restartAttemptPeriod": 1, "ignoredExitCodes": [0]}
    task = run(host, container("main", command=counts, restartPolicy=policy))
    stopped = host.wait_task(task, "STOPPED")
    docker_id = ids(host, task)["main"]
    assert exit_codes(stopped) == {"main": 0}

    def ends():
        return [attributes["exitCode"] for _, attributes, _ in host.events.of(docker_id, "die")]

    host.until(lambda: ends() == ["7", "7", "0"], "Docker has told every end")
    assert host.events.starts_of(task) == 3


def test_a_stop_wins_over_a_restart_policy(host):
    """Both: a container that is stopped is not started again."""
    policy = {"enabled": True, "restartAttemptPeriod": 1}
    old_enough = {"START_SECONDS": 1.2, "EXIT_CODE": 3}
    task = run(host, container("main", environment=old_enough, restartPolicy=policy))
    docker_id = host.wait_task(task, "RUNNING")["containers"][0]["runtimeId"]
    host.ready(docker_id)
    host.ecs.stop_task(task=task)
    assert exit_codes(host.wait_task(task, "STOPPED")) == {"main": 3}
    assert host.events.starts_of(task) == 1


# ---- ends


def test_signal_event(host):
    """TestSignalEvent. Both: a signal from outside is no state change; the stop's exit code is the program's."""
    program = "trap 'exit 42' TERM; trap 'echo poked' USR1; echo ready; while :; do sleep .1; done"
    task = run(host, container("main", command=["sh", "-c", program]))
    docker_id = host.wait_task(task, "RUNNING")["containers"][0]["runtimeId"]
    host.ready(docker_id)
    version = host.task(task)["version"]
    host.docker.kill(docker_id, "SIGUSR1")
    host.until(lambda: b"poked" in host.docker.logs(docker_id), "the signal has arrived")
    heard(host)
    assert host.state(docker_id)["Running"]
    assert host.task(task)["version"] == version
    host.ecs.stop_task(task=task)
    assert exit_codes(host.wait_task(task, "STOPPED")) == {"main": 42}


def test_out_of_memory(host):
    """TestInitOOMEvent. Both: exit code 137 and `OutOfMemoryError: Container killed due to memory usage`."""
    task = run(host, container("main", memory=10, command=["sh", "-c", "exec tail /dev/zero"]))
    stopped = host.wait_task(task, "STOPPED")
    assert exit_codes(stopped) == {"main": 137}
    assert stopped["containers"][0]["reason"] == "OutOfMemoryError: Container killed due to memory usage"


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        (["docker", "kill"], 137),
        (["docker", "stop", "-t", "5"], 0),
        (["docker", "rm", "--force"], 137),
        (["docker", "restart", "-t", "5"], 0),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_a_container_that_somebody_ends(host, deed, code):
    """Both: STOPPED with the exit code. `docker restart`: Amazon's agent may see the exit or only the new start; ours
    takes the exit for the end, or, where the container runs again when it is looked at, for none."""
    task, docker_id = host.running(host.define())
    subprocess.run([*deed, docker_id], check=True, capture_output=True)
    if deed[1] == "restart":
        heard(host)
        is_over = host.task(task)["lastStatus"] == "STOPPED"
        host.until(lambda: host.state(docker_id)["Running"] != is_over, "books and Docker agree")
        return
    assert exit_codes(host.wait_task(task, "STOPPED")) == {"main": code}


def test_an_exited_container_started_by_hand_is_stopped_again_once(host):
    """TestHandleStoppedToSteadyStateTransition. Both: stopped again once per task; later starts are left alone."""
    task = run(host, container("main", environment={"RUN_SECONDS": 60, "ON_TERM": "ignore"}))
    docker_id = host.wait_task(task, "RUNNING")["containers"][0]["runtimeId"]
    host.ready(docker_id)
    host.docker.kill(docker_id)
    stopped = host.wait_task(task, "STOPPED")
    host.docker.start(docker_id)
    host.until(lambda: not host.state(docker_id)["Running"], "it is stopped again")
    assert host.events.signals(docker_id, 3)[-2:] == ["15", "9"], "its grace, then the kill"
    assert host.task(task)["stoppedAt"] == stopped["stoppedAt"]
    host.docker.start(docker_id)
    heard(host)
    assert host.state(docker_id)["Running"]
    assert len(host.events.of(docker_id, "kill")) == 3, "by hand, its grace, the kill: nothing since"


def test_a_paused_container_is_stopped(host):
    """Both: Docker lets the process run again when it is to end."""
    task, docker_id = host.running(host.define())
    host.docker.pause(docker_id)
    host.ecs.stop_task(task=task)
    assert exit_codes(host.wait_task(task, "STOPPED")) == {"main": 0}


def test_children_that_outlive_the_first_process_end_with_it(host):
    """Both: the container ends when its first process does; nothing of it is left."""
    task = run(
        host, container("main", command=["sh", "-c", "sleep 1000 & sleep 1000 & exec sleep 1001"], stopTimeout=2)
    )
    docker_id = host.wait_task(task, "RUNNING")["containers"][0]["runtimeId"]
    host.until(lambda: len(host.docker.top(docker_id)["Processes"]) == 3, "the children run")
    pids = [row[1] for row in host.docker.top(docker_id)["Processes"]]
    host.ecs.stop_task(task=task)
    assert exit_codes(host.wait_task(task, "STOPPED")) == {"main": 137}
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_force(host):
    """Amazon's agent has no such thing. `berth stop TASK --force` cuts the rest of the grace."""
    task = run(host, container("main", environment={"ON_TERM": "ignore"}, stopTimeout=100))
    docker_id = host.wait_task(task, "RUNNING")["containers"][0]["runtimeId"]
    host.ready(docker_id)
    host.ecs.stop_task(task=task, reason="because")
    signalled = host.events.at("kill", docker_id, signal="15")
    command = [sys.executable, "-m", "berth", "stop", task, "--force", "--endpoint", host.endpoint]
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ)).stdout
    assert told == f"{task} {host.task(task)['lastStatus']}, desired STOPPED\n" or task in told
    stopped = host.wait_task(task, "STOPPED")
    assert exit_codes(stopped) == {"main": 137}
    assert stopped["stoppedReason"] == "because", "the first reason stands"
    assert host.events.at("die", docker_id) - signalled < 80


def test_a_stop_right_after_the_start_leaves_nothing_running(host):
    """Both: before the start call at once, else as soon as it has returned."""
    definition = host.define(cpu=16, memory=32)
    tasks = [host.run_task(definition) for _ in range(6)]
    for task in tasks:
        host.ecs.stop_task(task=task)
    for task in tasks:
        host.wait_task(task, "STOPPED")
    # Docker's list lags behind its own `die`.
    label = {"label": f"berth.run={host.run}"}
    host.until(lambda: not host.docker.containers(filters=label), "nothing runs")
