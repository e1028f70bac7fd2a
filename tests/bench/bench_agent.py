"""The agent beside plain Docker, in one run: `make bench-agent`. Prints medians, both raw figures and their ratio.

A stub control plane in this process takes the times; Docker's own events and inspects are the other clock. Rounds
alternate, so that both sides see the same noise. Nothing here fails on a slow machine: it prints.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import docker
from aiohttp import web
from rich.console import Console
from rich.table import Table

from agent.runtime.connection import sweep

ROOT = Path(__file__).parents[2]
IMAGE = "berth/stubborn:latest"
INSTANCE = "arn:aws:ecs:us-east-1:123456789012:container-instance/default/" + "0" * 32
TASK_LABEL = "com.amazonaws.ecs.task-arn"


class Stub:
    """As much of a control plane as an agent needs, with a clock."""

    def __init__(self):
        self.socket = asyncio.get_running_loop().create_future()
        self.seen = {}
        self.news = asyncio.Condition()

    async def serve(self):
        app = web.Application()
        app.router.add_post("/", self.api)
        app.router.add_get("/acs/ws", self.acs)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def api(self, request):
        at = time.time()
        body = await request.json()
        match request.headers["X-Amz-Target"].rpartition(".")[2]:
            case "RegisterContainerInstance":
                shape = {"containerInstanceArn": INSTANCE, "attributes": body["attributes"]}
                return web.json_response({"containerInstance": shape})
            case "DiscoverPollEndpoint":
                return web.json_response({"endpoint": f"http://127.0.0.1:{self.port}/acs/"})
            case "SubmitTaskStateChange":
                async with self.news:
                    self.seen.setdefault((body["task"], body["status"]), (at, body))
                    self.news.notify_all()
        return web.json_response({})

    async def acs(self, request):
        socket = web.WebSocketResponse(heartbeat=20)
        await socket.prepare(request)
        self.socket.set_result(socket)
        async for _ in socket:
            pass
        return socket

    async def tell(self, tasks):
        """Send a payload; returns when it went out."""
        message = {
            "messageId": uuid.uuid4().hex,
            "clusterArn": "default",
            "containerInstanceArn": INSTANCE,
            "seqNum": 1,
            "tasks": tasks,
        }
        at = time.time()
        await (await self.socket).send_str(json.dumps({"type": "PayloadMessage", "message": message}))
        return at

    async def when(self, task, status):
        async with asyncio.timeout(60), self.news:
            await self.news.wait_for(lambda: (task, status) in self.seen)
        return self.seen[task, status]


def task_of(desired="RUNNING", arn=None, **environment):
    arn = arn or f"arn:aws:ecs:us-east-1:123456789012:task/default/{uuid.uuid4().hex}"
    container = {"name": "main", "image": IMAGE, "cpu": 2, "memory": 16, "essential": True}
    container["environment"] = {k: str(v) for k, v in environment.items()}
    containers = [container] if desired == "RUNNING" else []
    return {"arn": arn, "desiredStatus": desired, "family": "bench", "version": "1", "containers": containers}


class Bench:
    """One run: an agent, a stub, and plain Docker."""

    def __init__(self, rounds):
        self.rounds = rounds
        self.run = f"bench-{uuid.uuid4().hex[:8]}"
        self.path = Path(tempfile.mkdtemp(prefix="berth-bench-"))
        self.client = docker.APIClient(version="auto", timeout=120, num_pools=32)
        self.events = {}

    async def open(self):
        self.stub = Stub()
        await self.stub.serve()
        self.watch = docker.APIClient(version="auto", timeout=None)
        stream = self.watch.events(decode=True, filters={"type": "container", "label": f"berth.run={self.run}"})
        threading.Thread(target=self.read, args=(stream,), daemon=True).start()
        environment = {
            **os.environ,
            "ECS_BACKEND_HOST": f"http://127.0.0.1:{self.stub.port}",
            "ECS_DATADIR": str(self.path),
            "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
            "ECS_LOGLEVEL": "warning",
            "BERTH_INSTANCE_TYPE": "r5.4xlarge",
            "BERTH_RUN": self.run,
        }
        # An installed agent has its bytecode; what compiling leaves in memory is not the agent's.
        compiling = [sys.executable, "-m", "compileall", "-q", "agent", "wire"]
        await asyncio.to_thread(subprocess.run, compiling, cwd=ROOT, check=True)
        command = [sys.executable, "-m", "agent"]
        self.agent = await asyncio.to_thread(subprocess.Popen, command, cwd=ROOT, env=environment)
        await asyncio.wait_for(asyncio.shield(self.stub.socket), 20)

    def read(self, stream):
        with contextlib.suppress(Exception):
            for event in stream:
                task = event["Actor"]["Attributes"].get(TASK_LABEL, event["Actor"]["ID"])
                self.events.setdefault((task, event["Action"]), event["timeNano"] * 1e-9)

    async def close(self):
        self.agent.terminate()
        self.agent.wait(20)
        await self.stub.runner.cleanup()
        self.watch.close()
        sweep(self.run)
        self.client.close()
        shutil.rmtree(self.path)

    def memory(self):
        """What is resident, and how much of it belongs to no file."""
        status = Path(f"/proc/{self.agent.pid}/status").read_text()
        rss, anonymous = (int(status.split(name)[1].split()[0]) / 1024 for name in ("VmRSS:", "RssAnon:"))
        return f"{rss:.1f} MiB ({anonymous:.1f} anonymous)"

    def plain_start(self):
        """Create and start, as plainly as the SDK can. Returns (create, create + start) in seconds."""
        began = time.perf_counter()
        host = {"Memory": 16 << 20, "CpuShares": 2, "NetworkMode": "bridge"}
        config = {"Image": IMAGE, "Labels": {"berth.run": self.run}, "HostConfig": host}
        docker_id = self.client.create_container_from_config(config, f"bench-{uuid.uuid4().hex}")["Id"]
        created = time.perf_counter()
        self.client.start(docker_id)
        return created - began, time.perf_counter() - began, docker_id

    async def starts(self):
        plain, ours, before_create, plain_create = [], [], [], []
        for _ in range(self.rounds):
            create, both, docker_id = await asyncio.to_thread(self.plain_start)
            plain.append(both)
            plain_create.append(create)
            await asyncio.to_thread(self.client.remove_container, docker_id, force=True)
            task = task_of()
            sent = await self.stub.tell([task])
            at, _ = await self.stub.when(task["arn"], "RUNNING")
            ours.append(at - sent)
            before_create.append(self.events[task["arn"], "create"] - sent)
            await self.stub.tell([task_of("STOPPED", task["arn"])])
            await self.stub.when(task["arn"], "STOPPED")
        row("payload to RUNNING / create + start", ours, plain)
        row("payload to Docker's create event / create call", before_create, plain_create)

    async def twenty(self):
        loop = asyncio.get_running_loop()
        plain, ours, plain_last, last = [], [], [], []
        for _ in range(max(self.rounds // 4, 3)):
            with contextlib.ExitStack() as stack:
                pool = stack.enter_context(ThreadPoolExecutor(20))
                done = await asyncio.gather(*(loop.run_in_executor(pool, self.plain_start) for _ in range(20)))
                plain += [both for _, both, _ in done]
                plain_last.append(max(both for _, both, _ in done))
                stopping = (
                    loop.run_in_executor(pool, lambda i=i: self.client.remove_container(i, force=True))
                    for _, _, i in done
                )
                await asyncio.gather(*stopping)
            tasks = [task_of() for _ in range(20)]
            sent = await self.stub.tell(tasks)
            times = [(await self.stub.when(task["arn"], "RUNNING"))[0] - sent for task in tasks]
            ours += times
            last.append(max(times))
            self.memory_with_20 = self.memory()
            await self.stub.tell([task_of("STOPPED", task["arn"]) for task in tasks])
            for task in tasks:
                await self.stub.when(task["arn"], "STOPPED")
        row("20 at once, to RUNNING / 20 create + start at once", ours, plain)
        row("the last of the 20", last, plain_last)

    def ended(self, docker_id):
        """Docker's own State of a container that has ended; Docker learns of it a little after containerd."""
        while True:
            state = self.client.inspect_container(docker_id)["State"]
            if state["Status"] == "exited":
                return state

    async def exits(self):
        after_die, after_finish, early = [], [], 0
        for _ in range(self.rounds):
            task = task_of(RUN_SECONDS="0.3")
            await self.stub.tell([task])
            at, report = await self.stub.when(task["arn"], "STOPPED")
            docker_id = report["containers"][0]["runtimeId"]
            state = await asyncio.to_thread(self.ended, docker_id)
            finished = datetime.fromisoformat(state["FinishedAt"][:26] + "Z").timestamp()
            after_die.append(at - self.events[task["arn"], "die"])
            after_finish.append(at - finished)
            early += at < finished
            assert report["containers"][0]["exitCode"] == state["ExitCode"]
        row("exit to STOPPED: after Docker's die event", after_die)
        row("exit to STOPPED: after Docker's FinishedAt", after_finish)
        TABLE.add_row("STOPPED before FinishedAt", f"{early} of {self.rounds}", "", "")


TABLE = Table("", "berth", "plain Docker", "ratio", title="The agent beside plain Docker (medians)")


def row(name, ours, plain=None):
    a = statistics.median(ours)
    if plain is None:
        TABLE.add_row(name, f"{a * 1000:.1f} ms", "", "")
        return
    b = statistics.median(plain)
    TABLE.add_row(name, f"{a * 1000:.1f} ms", f"{b * 1000:.1f} ms", f"{a / b:.2f}")


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    bench = Bench(parser.parse_args().rounds)
    try:
        await bench.open()
        idle = bench.memory()
        await bench.starts()
        await bench.exits()
        await bench.twenty()
        TABLE.add_row("resident memory, idle", idle, "", "")
        TABLE.add_row("resident memory, 20 tasks", bench.memory_with_20, "", "")
    finally:
        await bench.close()
    Console().print(TABLE)


if __name__ == "__main__":
    asyncio.run(main())
