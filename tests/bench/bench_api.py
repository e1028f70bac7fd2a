"""Our API beside a public mock of ECS, in one run: `make bench-api`. Prints medians, both raw figures, their ratio.

Both get the same load from the same client, in turns. Ours checks every signature and has every RunTask on disk, by
fsync, before it answers; `moto_server` does neither. Nothing here fails on a slow machine: it prints.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import boto3
from load import REGION, rate, signed
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
MOTO = ROOT / ".build/bench/bin/moto_server"
KEYS = ("AKIDBENCH", "secret")
TASKS = 1000
HOSTS = 20
DEFINITION = {
    "family": "bench",
    "containerDefinitions": [{"name": "main", "image": "busybox:latest", "cpu": 1, "memory": 6, "essential": True}],
}
RUN = json.dumps({"cluster": "default", "taskDefinition": "bench"}).encode()
ROOMY = [
    {"name": "CPU", "type": "INTEGER", "integerValue": 1 << 24},
    {"name": "MEMORY", "type": "INTEGER", "integerValue": 1 << 24},
    {"name": "PORTS", "type": "STRINGSET", "stringSetValue": []},
    {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
]


def client_of(endpoint: str, service: str = "ecs"):
    keys = {"aws_access_key_id": KEYS[0], "aws_secret_access_key": KEYS[1]}
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, **keys)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def program(*command: str | Path, port: int, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server on `port`, once it answers; its endpoint and its process."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log, cwd=ROOT)
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                process.poll() is None or sys.exit(f"{command} ended")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()
            process.wait()


async def acknowledge(session: aiohttp.ClientSession, endpoint: str, instance: str) -> None:
    """Be the agent of an instance: acknowledge what comes, run nothing."""
    url = f"{endpoint.replace('http', 'ws', 1)}/acs/ws"
    headers = signed_upgrade(url, instance)
    async with session.ws_connect(f"{url}?containerInstanceArn={instance}", headers=headers) as ws:
        async for message in ws:
            frame = json.loads(message.data)
            ack = {"cluster": "default", "containerInstance": instance, "messageId": frame["message"]["messageId"]}
            kind = "HeartbeatAckRequest" if frame["type"] == "HeartbeatMessage" else "AckRequest"
            await ws.send_str(json.dumps({"type": kind, "message": ack}))


def signed_upgrade(url: str, instance: str) -> dict[str, str]:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest("GET", url.replace("ws", "http", 1), params={"containerInstanceArn": instance})
    SigV4Auth(Credentials(*KEYS), "ecs", REGION).add_auth(request)
    return dict(request.headers.items())


def are_connected(ecs, instances: list[str]) -> bool:
    rows = ecs.describe_container_instances(containerInstances=instances)["containerInstances"]
    return all(row["agentConnected"] for row in rows)


@contextlib.asynccontextmanager
async def ours(
    data_dir: str, runs: tuple[str | Path, ...] = ("-m", "controlplane")
) -> AsyncIterator[tuple[str, subprocess.Popen[bytes]]]:
    """Our control plane, as Python `runs` it, with hosts whose agents acknowledge; its endpoint and its process."""
    port = free_port()
    keys = {"BERTH_ACCESS_KEY_ID": KEYS[0], "BERTH_SECRET_ACCESS_KEY": KEYS[1]}
    command = (sys.executable, *runs, "--port", str(port), "--data-dir", data_dir)
    with program(*command, port=port, **keys) as (endpoint, process):
        ecs = client_of(endpoint)
        instances = [
            ecs.register_container_instance(totalResources=ROOMY)["containerInstance"]["containerInstanceArn"]
            for _ in range(HOSTS)
        ]
        async with aiohttp.ClientSession() as session:
            agents = [asyncio.create_task(acknowledge(session, endpoint, i)) for i in instances]
            while not await asyncio.to_thread(are_connected, ecs, instances):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.1)
            yield endpoint, process
            for agent in agents:
                agent.cancel()
            await asyncio.gather(*agents, return_exceptions=True)


@contextlib.asynccontextmanager
async def theirs() -> AsyncIterator[str]:
    """moto_server with as many instances."""
    port = free_port()
    with program(MOTO, "-p", str(port), port=port) as (endpoint, _):
        ecs, ec2 = client_of(endpoint), client_of(endpoint, "ec2")
        ecs.create_cluster(clusterName="default")
        image = ec2.describe_images()["Images"][0]["ImageId"]
        for row in ec2.run_instances(ImageId=image, MinCount=HOSTS, MaxCount=HOSTS)["Instances"]:
            document = json.dumps({"instanceId": row["InstanceId"]})
            ecs.register_container_instance(cluster="default", instanceIdentityDocument=document)
        yield endpoint


def fill(endpoint: str) -> str:
    """A task definition and TASKS tasks; the ARN of one of them."""
    ecs = client_of(endpoint)
    ecs.register_task_definition(**DEFINITION)
    for _ in range(TASKS // 10):
        answer = ecs.run_task(cluster="default", taskDefinition="bench", count=10)
        assert len(answer["tasks"]) == 10, answer["failures"][:1]
    return str(answer["tasks"][0]["taskArn"])


def always(request: bytes) -> Callable[[], bytes]:
    return lambda: request


async def compare(name: str, loads: dict[str, tuple[str, bytes]], *, connections: int, options: argparse.Namespace):
    """Rounds in turn; a row of the table."""
    figures: dict[str, list[float]] = {side: [] for side in loads}
    for _, (side, (endpoint, request)) in itertools.product(range(options.rounds), loads.items()):
        figures[side].append(await rate(endpoint, connections, options.seconds, always(request)))
    a, b = (statistics.median(figures[side]) for side in loads)
    spread = " ".join(f"{figure:.0f}" for figure in figures["ours"])
    return (name, str(connections), f"{a:,.0f}", f"{b:,.0f}", f"{a / b:.0f} x", spread)


async def main(options: argparse.Namespace) -> None:
    table = Table("requests a second", "connections", "ours", "moto_server", "ratio", "our rounds")
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as folder:
        async with ours(folder) as (a, _), theirs() as b:
            tasks = {
                "ours": (a, await asyncio.to_thread(fill, a)),
                "moto_server": (b, await asyncio.to_thread(fill, b)),
            }
            looks = {
                side: (endpoint, signed(endpoint, "DescribeTasks", look(task), KEYS))
                for side, (endpoint, task) in tasks.items()
            }
            table.add_row(*await compare("DescribeTasks", looks, connections=16, options=options))
            runs = {side: (at, signed(at, "RunTask", RUN, KEYS)) for side, (at, _) in tasks.items()}
            table.add_row(*await compare("RunTask", runs, connections=32, options=options))
    Console(width=120).print(table)


def look(task: str) -> bytes:
    return json.dumps({"cluster": "default", "tasks": [task]}).encode()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    asyncio.run(main(parser.parse_args()))
