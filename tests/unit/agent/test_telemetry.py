"""Telemetry: readings of the kernel's files, samples, rounds, the doctor, the limits of a connection."""

import asyncio
from types import SimpleNamespace

import aiohttp
import pytest
from virtual_time import run_virtual

from agent.backend import websocket
from agent.backend.credentials import CREDENTIALS_MAX, CredentialStore
from agent.backend.ecsclient import BackendUnreachableError
from agent.backend.endpoints import KEPT_SECONDS, Endpoints
from agent.backend.metering import Meter
from agent.backend.telemetry import Telemetry
from agent.core.ladder import Known
from agent.core.spec import ContainerSpec, RestartPolicy, TaskSpec
from agent.core.state import ContainerState, TaskState
from agent.machine.doctor import Doctor
from agent.machine.stats import Cgroups, Network, Reading, cpu_percent
from wire.acs_shapes import IAMRoleCredentials
from wire.tcs_shapes import RestartStatsSet

DOCKER_ID = "d" * 64
DEV = """Inter-|   Receive                         |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:  500       5    0    0    0     0          0         0   500       5    0    0    0     0       0          0
  eth0:  876      10    1    2    0     0          0         0   100       3    4    5    0     0       0          0
  eth1:  124       1    0    0    0     0          0         0     0       0    0    0    0     0       0          0
"""
NETWORK = Network(
    rx_bytes=1000, rx_packets=11, rx_errors=1, rx_dropped=2, tx_bytes=100, tx_packets=3, tx_errors=4, tx_dropped=5
)


def tree(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def processes(root, *, shared):
    proc = tree(root / "proc", {"77/net/dev": DEV})
    for process, namespace in (("77", "net:[1]" if shared else "net:[2]"), ("self", "net:[1]")):
        (proc / process / "ns").mkdir(parents=True, exist_ok=True)
        (proc / process / "ns" / "net").symlink_to(namespace)
    return proc


def v1(root, path):
    return tree(
        root / "cgroup",
        {
            f"cpuacct/{path}/cpuacct.usage": "5000000000\n",
            f"memory/{path}/memory.usage_in_bytes": "3145728\n",
            f"memory/{path}/memory.stat": "cache 10\nrss 5\ntotal_cache 1048576\n",
            f"memory/{path}/memory.limit_in_bytes": "9223372036854771712\n",
            f"memory/{path}/cgroup.procs": "77\n78\n",
            f"blkio/{path}/blkio.throttle.io_service_bytes": "8:0 Read 4096\n8:0 Write 1\n8:16 Read 4\nTotal 4101\n",
        },
    )


def v2(root, path):
    return tree(
        root / "cgroup",
        {
            "cgroup.controllers": "cpu memory io\n",
            f"{path}/cpu.stat": "usage_usec 5000000\nuser_usec 1\n",
            f"{path}/memory.current": "3145728\n",
            f"{path}/memory.stat": "anon 5\nfile 1048576\n",
            f"{path}/memory.max": "max\n",
            f"{path}/cgroup.procs": "77\n",
            f"{path}/io.stat": "8:0 rbytes=4096 wbytes=1 rios=1\n8:16 rbytes=4 wbytes=0\n",
        },
    )


@pytest.mark.parametrize(
    ("version", "path"),
    [
        (v1, f"docker/{DOCKER_ID}"),
        (v1, f"ecs/t1/{DOCKER_ID}"),
        (v1, f"system.slice/docker-{DOCKER_ID}.scope"),
        (v2, f"docker/{DOCKER_ID}"),
        (v2, f"system.slice/docker-{DOCKER_ID}.scope"),
        (v2, f"ecstasks.slice/ecstasks-t1.slice/docker-{DOCKER_ID}.scope"),
    ],
)
def test_one_reading_whatever_the_cgroups(tmp_path, version, path):
    cgroups = Cgroups(version(tmp_path, path), processes(tmp_path, shared=False))
    reading = cgroups.read(DOCKER_ID, "t1")
    assert (reading.cpu_nanoseconds, reading.memory_bytes, reading.cache_bytes) == (5_000_000_000, 3 << 20, 1 << 20)
    assert (reading.read_bytes, reading.written_bytes, reading.memory_limit_bytes) == (4100, 1, None)
    assert reading.network == NETWORK
    assert cgroups.read("e" * 64, "t1") is None


def test_the_hosts_own_network_is_not_the_containers(tmp_path):
    cgroups = Cgroups(v1(tmp_path, f"docker/{DOCKER_ID}"), processes(tmp_path, shared=True))
    assert cgroups.read(DOCKER_ID).network is None


def reading(at, cpu_nanoseconds, **rest):
    return Reading(at=at, cpu_nanoseconds=cpu_nanoseconds, memory_bytes=3 << 20, cache_bytes=1 << 20, **rest)


def test_cpu_is_percent_of_the_whole_machine():
    assert cpu_percent(reading(10, 0), reading(12, 1_000_000_000), cores=2) == 25
    assert cpu_percent(reading(10, 0), reading(10, 5), cores=2) is None
    assert cpu_percent(reading(10, 5), reading(12, 0), cores=2) is None, "another container by now"


def test_samples_are_summed_up_between_two_messages():
    meter = Meter(cores=2)
    meter.add(reading(10, 0, network=Network(rx_bytes=100)))
    assert meter.take("c") is None, "one sample is none"
    meter.add(reading(12, 1_000_000_000, network=Network(rx_bytes=300)))
    meter.add(reading(14, 1_500_000_000, network=Network(rx_bytes=300)))
    metric = meter.take("c")
    cpu, memory = metric.cpu_stats_set, metric.memory_stats_set
    assert (cpu.min, cpu.max, cpu.sample_count, cpu.sum) == (12.5, 25, 2, 37.5)
    assert (memory.min, memory.max, memory.sample_count, memory.sum) == (2, 2, 3, 6), "without the page cache"
    network = metric.network_stats_set
    assert (network.rx_bytes.min, network.rx_bytes.max, network.rx_bytes.sum) == (100, 300, 700)
    assert (network.rx_bytes_per_second.max, network.rx_bytes_per_second.sum) == (100, 100)
    meter.add(reading(16, 1_500_000_000))
    assert meter.take("c") is None
    meter.add(reading(18, 1_500_000_000))
    assert meter.take("c").network_stats_set is None, "it has none"


class Readings:
    def __init__(self):
        self.number = 0

    def read(self, _docker_id, _task_id):
        self.number += 1
        return reading(self.number, self.number)


def tasks(number):
    return [
        TaskState(
            spec=TaskSpec(arn=f"arn:t/{n}", family="web", version="1"),
            containers=[
                ContainerState(spec=ContainerSpec(name="c", image="i"), known=Known.RUNNING, docker_id=f"d{n}")
            ],
        )
        for n in range(number)
    ]


def outcomes(states):
    outcome = SimpleNamespace(status="UNHEALTHY", since=None, output="no")
    return [SimpleNamespace(task=s.spec.arn, container="c", health=outcome) for s in states]


def telemetry(states, ping=None, **members):
    async def pong():
        return None

    return Telemetry(
        cluster="c",
        instance="i",
        tasks=lambda: states,
        health=lambda: [*outcomes(states), SimpleNamespace(task="gone", container="c", health=None)],
        doctor=Doctor(ping or pong, lambda: 1.0),
        cgroups=Readings(),
        clock=lambda: 1.0,
        **members,
    )


async def test_cpu_is_told_in_per_cent_of_what_the_host_has_registered():
    told = []
    for cpu_units in (512, 2048):
        source = telemetry(tasks(1), cpu_units=cpu_units)
        for _ in range(2):
            await source.sample()
        [message] = source.metrics()
        told.append(message.task_metrics[0].container_metrics[0].cpu_stats_set.sum)
    assert told[0] == pytest.approx(4 * told[1])
    assert told[1] > 0


async def test_ten_tasks_a_message_and_the_last_is_the_end_of_the_round():
    source = telemetry(tasks(23))
    assert source.metrics() == [], "they run, and nothing is known of them yet"
    for _ in range(2):
        await source.sample()
    metrics, health = source.metrics(), source.health()
    assert [len(message.task_metrics) for message in metrics] == [10, 10, 3]
    assert [len(message.tasks) for message in health] == [10, 10, 3]
    for messages in (metrics, health):
        assert [message.metadata.fin for message in messages] == [False, False, True]
        assert len({message.metadata.message_id for message in messages}) == 1
    assert not metrics[0].metadata.idle
    assert health[0].tasks[0].containers[0].health_status == "UNHEALTHY"
    assert len({metric.task_arn for message in metrics for metric in message.task_metrics}) == 23


async def test_restarts_are_told_of_a_container_with_a_restart_policy_alone():
    plain, restarted = states = tasks(2)
    restarted.containers[0].spec = ContainerSpec(name="c", image="i", restart=RestartPolicy())
    restarted.containers[0].restarts = 3
    source = telemetry(states)
    for _ in range(2):
        await source.sample()
    [message] = source.metrics()
    told = {m.task_arn: m.container_metrics[0].restart_stats_set for m in message.task_metrics}
    assert told == {plain.spec.arn: None, restarted.spec.arn: RestartStatsSet(restart_count=3)}


async def test_who_has_ended_is_forgotten():
    states = tasks(2)
    source = telemetry(states)
    await source.sample()
    states.pop()
    await source.sample()
    assert list(source._meters) == ["d0"]
    states.clear()
    await source.sample()
    [idle] = source.metrics()
    assert (idle.metadata.idle, idle.metadata.fin, idle.task_metrics) == (True, True, [])


def test_the_doctor_says_once_what_it_found_and_since_when():
    async def main():
        answers = iter([None, None, RuntimeError("no"), "hang"])

        async def ping():
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            if answer == "hang":
                await asyncio.sleep(60)

        loop = asyncio.get_running_loop()
        doctor = Doctor(ping, loop.time)
        assert doctor.news() == []
        found = []
        for _ in range(4):
            doctor.examine()
            doctor.examine()
            await asyncio.sleep(5)
            found += doctor.news()
            assert doctor.news() == []
        await doctor.close()
        return found

    found = run_virtual(main())
    assert [row.status for row in found] == ["OK", "OK", "IMPAIRED", "IMPAIRED"]
    assert [row.last_status_change for row in found] == [0, 0, 10, 10]
    assert [row.last_updated for row in found] == [0, 5, 10, 17]
    assert [row.status_reason for row in found] == ["", "", "no", "no answer within 2 s"]


class Socket:
    """A websocket that says one thing every `every` seconds."""

    def __init__(self, every):
        self._every = every
        self.closed_with = None

    async def receive(self, timeout):  # noqa: ASYNC109 - the library's own name
        async with asyncio.timeout(timeout):
            await asyncio.sleep(self._every)
        return SimpleNamespace(type=aiohttp.WSMsgType.TEXT, data="x")

    async def close(self, **how):
        self.closed_with = how


async def heard(socket, *, known):
    async def take(_text):
        return known

    began = asyncio.get_running_loop().time()
    try:
        await websocket.listen(socket, take)
    except TimeoutError:
        return "silent", asyncio.get_running_loop().time() - began
    return "closed", asyncio.get_running_loop().time() - began


def test_a_connection_is_given_up_when_silent_and_unknown_words_are_silence():
    for known, every in ((True, 1000), (False, 10)):
        how, seconds = run_virtual(heard(Socket(every), known=known))
        assert how == "silent"
        assert 60 <= seconds <= 120


def test_a_connection_is_renewed_after_half_an_hour_or_a_little_more():
    socket = Socket(20)
    how, seconds = run_virtual(heard(socket, known=True))
    assert how == "closed"
    assert 1800 <= seconds <= 2100
    assert socket.closed_with == {"code": 1000, "message": b"ConnectionExpired: Reconnect to continue"}


class Discovery:
    def __init__(self, *answers):
        self._answers = list(answers)
        self.calls = 0

    async def call(self, _operation, _request):
        self.calls += 1
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_one_answer_serves_both_and_an_old_one_is_better_than_none(monkeypatch):
    both = {"endpoint": "http://h/acs/", "telemetryEndpoint": "http://h/tcs"}
    client = Discovery(both, BackendUnreachableError("away"), {"endpoint": "http://new/acs"})
    endpoints = Endpoints(client, cluster="c", instance="i")
    assert await asyncio.gather(endpoints.of("endpoint"), endpoints.of("telemetryEndpoint")) == [
        "http://h/acs",
        "http://h/tcs",
    ]
    assert client.calls == 1
    endpoints.doubt()
    assert await endpoints.of("endpoint") == "http://h/acs"
    assert await endpoints.of("endpoint") == "http://new/acs"
    with pytest.raises(BackendUnreachableError, match="no telemetryEndpoint"):
        await endpoints.of("telemetryEndpoint")
    assert client.calls == 3
    later = asyncio.get_running_loop().time() + KEPT_SECONDS + 1
    monkeypatch.setattr("agent.backend.endpoints.time.monotonic", lambda: later * 2)
    with pytest.raises(IndexError):
        await endpoints.of("endpoint")


def test_credentials_are_renewed_by_id_and_bounded():
    store = CredentialStore()
    sent = IAMRoleCredentials(credentials_id="id", access_key_id="A", expiration="soon")
    assert store.put(sent, task="t", role_type="TaskApplication", tasks={"t"})
    assert store.put(
        IAMRoleCredentials(credentials_id="id", access_key_id="B"), task="t", role_type="TaskApplication", tasks={"t"}
    )
    assert store.get("id").access_key_id == "B"
    assert store.of_task("t").credentials_id == "id"
    assert store.of_task("t", "TaskExecution") is None
    assert not store.put(sent, task="t", role_type="TaskRuler", tasks={"t"})
    for number in range(CREDENTIALS_MAX - 1):
        store.put(IAMRoleCredentials(credentials_id=str(number)), task="gone", role_type="TaskExecution", tasks={"t"})
    assert store.put(IAMRoleCredentials(credentials_id="new"), task="t", role_type="TaskExecution", tasks={"t"})
    assert store.get("0") is None, "of a task that is gone"
    assert store.get("id") is not None
