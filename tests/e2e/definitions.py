"""Task definitions written short, and what came of them on the engine."""

STUBBORN = "berth/stubborn:latest"
PATIENT = ["sh", "-c", "trap : TERM; trap 'exit 0' USR1; echo ready; while :; do sleep 60 & wait $!; done"]
"""A program that works on after TERM until `World.finish` ends its work: no test has to be quicker than a clock."""


_AT_JOB = "trap : TERM; trap 'exit 0' USR2; echo a job arrives"
WORKER = ["sh", "-c", f"trap 'exit 0' TERM; trap \"{_AT_JOB}\" USR1; echo ready; while :; do sleep 60 & wait $!; done"]
"""A program that ends at TERM, unless a job has arrived (USR1) that is not done (USR2)."""


def container(name="main", **more):
    return {"name": name, "image": STUBBORN, "memory": 32, "essential": True, **more}


def running(host, *containers, run=None, **body):
    """Run a task; (task ARN, inspect of each of its containers by name)."""
    host.ecs.register_task_definition(family="opt", containerDefinitions=list(containers), **body)
    task = host.run_task("opt", **(run or {}))
    shown = host.wait_task(task, "RUNNING")["containers"]
    return task, {c["name"]: host.docker.inspect_container(c["runtimeId"]) for c in shown}


def stopped(host, *containers, run=None, **body):
    host.ecs.register_task_definition(family="opt", containerDefinitions=list(containers), **body)
    return host.wait_task(host.run_task("opt", **(run or {})), "STOPPED")


def said(host, docker_id, *command):
    """What a command says inside a container."""
    made = host.docker.exec_create(docker_id, list(command))
    return host.docker.exec_start(made["Id"]).decode()


def of_task(host, task, **filters):
    label = f"com.amazonaws.ecs.task-arn={task}"
    return host.docker.containers(all=True, filters={"label": label, **filters})
