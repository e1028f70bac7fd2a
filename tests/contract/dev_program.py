"""`berth dev --runtime scripted` as a process on a machine without an engine, and boto3 on it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import witness
from botocore.config import Config
from ports import free_port

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60.0


class Dev:
    """One that runs."""

    def __init__(self, process: subprocess.Popen[str], endpoint: str, said: list[str]) -> None:
        self.process = process
        self.endpoint = endpoint
        self.said = said

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=Config(retries={"max_attempts": 0}),
        )


@contextlib.contextmanager
def scripted(tmp: Path, *options: str) -> Iterator[Dev]:
    """Any import of Docker's library fails in it, and no engine answers."""
    (tmp / "docker.py").write_text("raise ImportError('there is no Docker library on this machine')")
    port = free_port()
    path = os.pathsep.join(filter(None, [str(tmp), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "TMPDIR": str(tmp), "PYTHONUNBUFFERED": "1", "PYTHONPATH": path}
    process = subprocess.Popen(
        [*(sys.executable, "-m", "berth", "dev", "--runtime", "scripted", "--port", str(port)), *options],
        cwd=ROOT,
        env={**environment, "DOCKER_HOST": "tcp://127.0.0.1:1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said: list[str] = []
    witness.call("berth dev", lambda: "".join(said))
    for line in process.stdout:
        said.append(line)
        if "✓ connected" in line:
            break
    else:
        raise AssertionError("".join(said))
    try:
        yield Dev(process, f"http://127.0.0.1:{port}", said)
    finally:
        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=WAIT_SECONDS)[0].splitlines(keepends=True)


def until(look: Callable[[], Any]) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


def definition(ecs: Any, family: str, *, grace_seconds: int = 2, **environment: str) -> None:
    """One small container that plays by these variables."""
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    main = {"name": "main", "image": "any", "memory": 64, "stopTimeout": grace_seconds, "environment": variables}
    ecs.register_task_definition(family=family, containerDefinitions=[main])


def run(ecs: Any, family: str, **members: Any) -> str:
    """A task; its ARN."""
    answer = ecs.run_task(taskDefinition=family, **members)
    assert answer["failures"] == []
    return str(answer["tasks"][0]["taskArn"])


def task_of(ecs: Any, arn: str) -> dict[str, Any]:
    (task,) = ecs.describe_tasks(tasks=[arn])["tasks"]
    return dict(task)


def wait(ecs: Any, waiter: str, **members: Any) -> None:
    ecs.get_waiter(waiter).wait(**members, WaiterConfig={"Delay": 1, "MaxAttempts": int(WAIT_SECONDS)})
