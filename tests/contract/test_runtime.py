"""What every runtime does: the scripted one and Docker's pass the same suite."""

import asyncio
import gc
import itertools
import json
import subprocess
import threading
import time
import uuid

import msgspec
import pytest

from agent.core.health import HealthStatus
from agent.core.spec import ContainerSpec, Port, TaskSpec
from agent.runtime.connection import sweep
from agent.runtime.docker import DockerRuntime
from agent.runtime.inspected import OUT_OF_MEMORY
from agent.runtime.port import ContainerLife, NotRunningError, RuntimeCallError
from agent.runtime.scripted import ScriptedRuntime
from agent.runtime.shipping import _Reader
from agent.runtime.watch import EventStream

WAIT_SECONDS = 60


@pytest.fixture(params=["scripted", pytest.param("docker", marks=pytest.mark.docker)])
async def runtime(request):
    if request.param == "scripted":
        built = ScriptedRuntime(time.time)
        yield built
        await built.close()
        return
    run = uuid.uuid4().hex
    built = DockerRuntime({"berth.instance": run, "berth.run": run})
    yield built
    await built.close()
    sweep(run)


def spec(name="main", *, ports=(), network_mode="bridge", image="berth/stubborn:latest", **environment):
    container = ContainerSpec(name=name, image=image, essential=True, environment=environment, ports=ports)
    arn = f"arn:aws:ecs:us-east-1:123456789012:task/default/{uuid.uuid4().hex}"
    return TaskSpec(arn=arn, family="f", version="1", containers=(container,), network_mode=network_mode)


class Exits:
    """Collects what the runtime tells."""

    def __init__(self, runtime):
        self.seen = asyncio.Queue()
        self.gaps = asyncio.Event()
        self.changes = asyncio.Queue()
        runtime.watch(self._take, self.gaps.set)

    def _take(self, found):
        queue = self.seen if found.life is ContainerLife.EXITED else self.changes
        queue.put_nowait(found)

    async def next(self):
        return await asyncio.wait_for(self.seen.get(), WAIT_SECONDS)


async def running(runtime, task):
    created = await runtime.create(task, task.containers[0])
    return await runtime.start(created.docker_id)


async def ended(runtime, found):
    """The container when Docker knows of its end, too: containerd may have told it before."""
    while (inspected := await runtime.inspect(found.docker_id)).life is not ContainerLife.EXITED:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return inspected


async def ready(runtime, found):
    """The image sets its traps in its first milliseconds: wait for its own word."""
    if isinstance(runtime, ScriptedRuntime):
        return
    logs = ["docker", "logs", "--follow", found.docker_id]
    process = await asyncio.create_subprocess_exec(*logs, stdout=subprocess.PIPE)
    async with asyncio.timeout(WAIT_SECONDS):
        while b"ready" not in await process.stdout.readline():
            pass
    process.kill()
    await process.communicate()


async def test_create_start_inspect_list(runtime):
    task = spec()
    created = await runtime.create(task, task.containers[0])
    assert created.life is ContainerLife.CREATED
    assert (created.task, created.container) == (task.arn, "main")
    started = await runtime.start(created.docker_id)
    assert started.life is ContainerLife.RUNNING
    assert (await runtime.inspect(created.docker_id)).life is ContainerLife.RUNNING
    [row] = await runtime.containers()
    assert (row.docker_id, row.task, row.container, row.is_running) == (created.docker_id, task.arn, "main", True)


async def test_creating_and_starting_twice_is_one_container(runtime):
    task = spec()
    first = await running(runtime, task)
    again = await runtime.create(task, task.containers[0])
    assert again.docker_id == first.docker_id
    assert again.life is ContainerLife.RUNNING
    await runtime.start(first.docker_id)
    assert len(await runtime.containers()) == 1


async def test_the_exit_is_told_with_its_code_and_its_time(runtime):
    exits = Exits(runtime)
    await asyncio.wait_for(exits.gaps.wait(), WAIT_SECONDS)
    before = time.time()
    found = await running(runtime, spec(RUN_SECONDS="0.2", EXIT_CODE="7"))
    told = await exits.next()
    assert told.docker_id == found.docker_id
    assert told.life is ContainerLife.EXITED
    assert told.exit_code == 7
    inspected = await ended(runtime, found)
    assert before < inspected.finished_at
    assert -0.5 < told.finished_at - inspected.finished_at < 20, "each by its own clock"
    assert exits.seen.empty(), "told once"


async def test_the_stop_signal_ends_and_sigkill_ends_what_ignores_it(runtime):
    exits = Exits(runtime)
    quits = await running(runtime, spec("quits"))
    ignores = await running(runtime, spec("ignores", ON_TERM="ignore"))
    await ready(runtime, quits)
    await ready(runtime, ignores)
    await runtime.signal(quits.docker_id, "SIGTERM")
    assert (await exits.next()).exit_code == 0
    await runtime.signal(ignores.docker_id, "SIGTERM")
    assert (await runtime.inspect(ignores.docker_id)).life is ContainerLife.RUNNING
    await runtime.signal(ignores.docker_id, "SIGKILL")
    assert (await exits.next()).exit_code == 137


async def test_a_signal_that_finds_nobody_says_so(runtime):
    exits = Exits(runtime)
    found = await running(runtime, spec(RUN_SECONDS="0.1"))
    await exits.next()
    await ended(runtime, found)
    with pytest.raises(NotRunningError):
        await runtime.signal(found.docker_id, "SIGTERM")
    await runtime.remove(found.docker_id)
    await runtime.remove(found.docker_id)
    assert await runtime.inspect(found.docker_id) is None
    with pytest.raises(NotRunningError):
        await runtime.signal(found.docker_id, "SIGTERM")


async def test_ports_fixed_and_dynamic(runtime, free_port):
    found = await running(runtime, spec(ports=(Port(80, 0, "tcp"), Port(81, free_port, "tcp"))))
    bound = {port.container_port: port.host_port for port in found.ports}
    assert bound[81] == free_port
    assert bound[80] > 0


async def test_health_is_told_and_seen(runtime):
    exits = Exits(runtime)
    await asyncio.wait_for(exits.gaps.wait(), WAIT_SECONDS)
    check = {"Test": ["CMD-SHELL", "echo fine"], "Interval": 2_000_000_000, "Timeout": 5_000_000_000, "Retries": 3}
    task = spec(HEALTHY_SECONDS="2")
    container = msgspec.structs.replace(
        task.containers[0], has_health_check=True, docker_config=json.dumps({"Healthcheck": check})
    )
    created = await runtime.create(task, container)
    started = await runtime.start(created.docker_id)
    assert started.health.status is HealthStatus.UNKNOWN
    async with asyncio.timeout(WAIT_SECONDS):
        while (told := await exits.changes.get()).health.status is HealthStatus.UNKNOWN:
            pass
    assert (told.docker_id, told.health.status) == (created.docker_id, HealthStatus.HEALTHY)
    inspected = await runtime.inspect(created.docker_id)
    assert inspected.health.status is HealthStatus.HEALTHY
    assert inspected.health.since >= started.started_at


async def test_a_start_by_hand_is_told(runtime):
    exits = Exits(runtime)
    await asyncio.wait_for(exits.gaps.wait(), WAIT_SECONDS)
    found = await running(runtime, spec(RUN_SECONDS="0.5"))
    exited = await exits.next()
    await ended(runtime, found)  # containerd told it; a start would do nothing before Docker knows
    while not exits.changes.empty():
        exits.changes.get_nowait()
    if isinstance(runtime, ScriptedRuntime):
        runtime.start_by_hand(found.docker_id)
    else:
        await asyncio.to_thread(subprocess.run, ["docker", "start", found.docker_id], check=True, capture_output=True)
    async with asyncio.timeout(WAIT_SECONDS):
        while (again := await exits.changes.get()).started_at <= exited.finished_at:
            pass  # told of its first life
    assert (again.docker_id, again.life) == (found.docker_id, ContainerLife.RUNNING)


async def test_a_paused_container_obeys_its_stop_signal(runtime):
    exits = Exits(runtime)
    found = await running(runtime, spec())
    await ready(runtime, found)
    if isinstance(runtime, ScriptedRuntime):
        runtime.pause_by_hand(found.docker_id)
    else:
        await asyncio.to_thread(subprocess.run, ["docker", "pause", found.docker_id], check=True, capture_output=True)
    assert (await runtime.inspect(found.docker_id)).life is ContainerLife.RUNNING
    await runtime.signal(found.docker_id, "SIGTERM")
    assert (await exits.next()).exit_code == 0


async def test_a_running_container_is_removed_by_force_alone(runtime):
    found = await running(runtime, spec())
    with pytest.raises(RuntimeCallError, match="CannotRemoveContainerError"):
        await runtime.remove(found.docker_id)
    await runtime.remove(found.docker_id, force=True)
    assert await runtime.inspect(found.docker_id) is None


async def test_an_image_is_here_or_not(runtime):
    if isinstance(runtime, ScriptedRuntime):
        runtime.missing = {"localhost:1/no/such:image"}
    assert (await runtime.image("berth/stubborn:latest")).image_id
    assert await runtime.image("localhost:1/no/such:image") is None


@pytest.mark.docker
async def test_docker_a_port_is_free_again_when_the_exit_is_told(free_port):
    """The next holder of a fixed host port must never meet a taken one."""
    run = uuid.uuid4().hex
    runtime = DockerRuntime({"berth.run": run})
    exits = Exits(runtime)
    port = (Port(80, free_port, "tcp"),)
    try:
        for name in ("one", "two", "three"):
            found = await running(runtime, spec(name, ports=port))
            await runtime.signal(found.docker_id, "SIGKILL")
            await exits.next()
    finally:
        await runtime.close()
        sweep(run)


@pytest.mark.docker
async def test_docker_out_of_memory_is_said_though_docker_tells_it_after_the_end(monkeypatch):
    read = EventStream._read

    def late(stream, event):
        if event["Action"] == "oom":
            threading.Timer(0.3, read, (stream, event)).start()
        else:
            read(stream, event)

    monkeypatch.setattr(EventStream, "_read", late)
    run = uuid.uuid4().hex
    runtime = DockerRuntime({"berth.run": run})
    exits = Exits(runtime)
    try:
        await asyncio.wait_for(exits.gaps.wait(), WAIT_SECONDS)
        task = spec()
        grows = msgspec.structs.replace(task.containers[0], command=("sh", "-c", "exec tail /dev/zero"), memory_mib=10)
        await running(runtime, msgspec.structs.replace(task, containers=(grows,)))
        told = await exits.next()
        assert (told.exit_code, told.error) == (137, OUT_OF_MEMORY)
    finally:
        await runtime.close()
        sweep(run)


@pytest.mark.docker
async def test_docker_refusals_carry_amazons_error_names():
    run = uuid.uuid4().hex
    runtime = DockerRuntime({"berth.run": run})
    try:
        task = spec(image="berth/stubborn:latest")
        wrong = ContainerSpec(name="main", image="berth/stubborn:latest", command=("/no/such/program",))
        created = await runtime.create(task, wrong)
        with pytest.raises(RuntimeCallError, match=r"^CannotStartContainerError: .*no such file"):
            await runtime.start(created.docker_id)
        with pytest.raises(RuntimeCallError, match=r"^CannotPullContainerError: Error response from daemon: "):
            await runtime.pull("localhost:1/no/such:image", None, 30)
        with pytest.raises(RuntimeCallError, match=r"^CannotPullImageManifestError: Error response from daemon: "):
            await runtime.manifest("localhost:1/no/such:image", None)
        tiny = ContainerSpec(name="tiny", image="berth/stubborn:latest", memory_mib=1)
        with pytest.raises(RuntimeCallError, match=r"^CannotCreateContainerError: .*memory"):
            await runtime.create(task, tiny)
        bad_json = ContainerSpec(name="bad", image="berth/stubborn:latest", host_config="[]")
        with pytest.raises(RuntimeCallError, match=r"^CannotCreateContainerError: "):
            await runtime.create(task, bad_json)
    finally:
        await runtime.close()
        sweep(run)


@pytest.mark.docker
async def test_docker_the_images_stop_signal_is_known_at_creation():
    run = uuid.uuid4().hex
    runtime = DockerRuntime({"berth.run": run})
    try:
        task = spec(image="berth/stubborn:quit")
        assert (await runtime.create(task, task.containers[0])).stop_signal == "SIGQUIT"
    finally:
        await runtime.close()
        sweep(run)


@pytest.mark.docker
async def test_docker_a_signal_waits_behind_no_removal(monkeypatch):
    run, let_go = uuid.uuid4().hex, threading.Event()
    built = DockerRuntime({"berth.instance": run, "berth.run": run})
    try:
        found = await running(built, spec(ON_TERM="ignore"))
        monkeypatch.setattr(built._slow, "remove_container", lambda *_, **__: let_go.wait(2 * WAIT_SECONDS))
        removals = [asyncio.create_task(built.remove(f"slow-{number}")) for number in range(8)]
        await asyncio.sleep(0)
        async with asyncio.timeout(WAIT_SECONDS):
            await built.signal(found.docker_id, "SIGKILL")
            assert (await ended(built, found)).exit_code == 137
        assert not any(removal.done() for removal in removals)
        let_go.set()
        await asyncio.gather(*removals)
    finally:
        let_go.set()
        await built.close()
        sweep(run)


class Shore:
    """A log store: the lines of all streams, in order."""

    def __init__(self):
        self.lines = []
        self.came = asyncio.Condition()

    async def newest(self, _group, _stream):
        return self.lines[-1].stamp if self.lines else ""

    async def put(self, _group, _stream, lines):
        async with self.came:
            self.lines += lines
            self.came.notify_all()

    async def more_than(self, number):
        async with asyncio.timeout(WAIT_SECONDS), self.came:
            await self.came.wait_for(lambda: len(self.lines) > number)


@pytest.mark.docker
@pytest.mark.filterwarnings("ignore")  # a connection that is cut off is nobody's to close
async def test_docker_lines_are_shipped_on_after_the_engine_was_away(monkeypatch):
    """A reader ends with the engine's connection; its container, under live-restore, runs on and writes on."""
    run, shore, read, cuts = uuid.uuid4().hex, Shore(), _Reader._read, [3]

    def cut_off(reader):
        yield from itertools.islice(read(reader), cuts.pop() if cuts else None)

    monkeypatch.setattr(_Reader, "_read", cut_off)
    built = DockerRuntime({"berth.instance": run, "berth.run": run}, logs=shore)
    try:
        exits = Exits(built)
        await asyncio.wait_for(exits.gaps.wait(), WAIT_SECONDS)
        log = {"Type": "awslogs", "Config": {"awslogs-group": "g", "awslogs-stream-prefix": "p"}}
        counting = "i=0; while :; do i=$((i + 1)); echo $i; sleep 0.1; done"
        task = spec()
        container = msgspec.structs.replace(
            task.containers[0],
            command=("sh", "-c", counting),
            host_config=json.dumps({"LogConfig": log}),
        )
        await running(built, msgspec.structs.replace(task, containers=(container,)))
        await shore.more_than(2)
        await asyncio.gather(*built._shipper._shipping.values())
        built._stream._hand_over(built._stream._on_gap)
        await shore.more_than(len(shore.lines) + 5)
        assert [line.message for line in shore.lines] == [str(n + 1) for n in range(len(shore.lines))]
    finally:
        await built.close()
        sweep(run)
        for reader in [thread for thread in threading.enumerate() if thread.name.startswith("logs-")]:
            reader.join(WAIT_SECONDS)
        gc.collect()
