"""One suite for every proxy: HAProxy, and the one that is played. Targets are small servers in this process."""

import asyncio
import contextlib
import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from haproxy_here import PROGRAM, WHY_NOT, needs_haproxy
from ports import free_port
from scripted_proxy import ScriptedProxy

from controlplane.balancing import haproxy_words as words
from controlplane.balancing.haproxy import HaProxy
from controlplane.balancing.proxy import ProxyError
from controlplane.core.balancing.picture import Front, Picture, Pool, Server
from controlplane.core.balancing.records import Check, Protocol

CHECK = Check(path="/health", interval_seconds=1, timeout_seconds=20, healthy_threshold=1, unhealthy_threshold=1)
SETTLE_SECONDS = 60
REQUESTS = 60


class RealProxy(HaProxy):
    """HAProxy, with what the suite needs besides."""

    def __init__(self) -> None:
        super().__init__(PROGRAM, "127.0.0.1")

    async def ask(self, port: int) -> tuple[int, str]:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientConnectorError:
            return 0, ""

    async def crash(self) -> None:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGKILL)
        await eventually(lambda: _is_none(self))


async def _is_none(proxy: HaProxy) -> bool:
    return proxy.pid is None


@pytest.fixture(params=["haproxy", "scripted"])
async def proxy(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "haproxy" and WHY_NOT:
        pytest.skip(WHY_NOT)
    made = RealProxy() if request.param == "haproxy" else ScriptedProxy()
    yield made
    await made.close()


class App:
    """A target that says its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.health = 200
        self.status = 200
        self.port = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.asked = asyncio.Event()

    async def start(self) -> "App":
        app = web.Application()
        app.router.add_get("/", self._answer)
        app.router.add_get("/health", self._check)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]
        return self

    async def _answer(self, _: web.Request) -> web.Response:
        self.asked.set()
        await self.hold.wait()
        return web.Response(status=self.status, text=self.name)

    async def _check(self, _: web.Request) -> web.Response:
        return web.Response(status=self.health)

    def server(self, weight: int = 100) -> Server:
        return Server(self.name, "127.0.0.1", self.port, weight)


@pytest.fixture
async def apps() -> AsyncIterator[list[App]]:
    made = [await App(name).start() for name in ("a", "b")]
    yield made
    for app in made:
        app.hold.set()
        await app.runner.cleanup()


@contextlib.contextmanager
def full_socket() -> Iterator[int]:
    """The port of a listener that takes no connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def one_pool(port: int, *servers: Server) -> Picture:
    return Picture((Front(port, Protocol.HTTP, (("web", 1000),)),), (Pool("web", Protocol.HTTP, CHECK, servers),))


def two_pools(port: int, blue: App, green: App, percent: int) -> Picture:
    parts = (("blue", 1000 - 10 * percent), ("green", 10 * percent))
    pools = (
        Pool("blue", Protocol.HTTP, CHECK, (blue.server(),)),
        Pool("green", Protocol.HTTP, CHECK, (green.server(),)),
    )
    return Picture((Front(port, Protocol.HTTP, parts),), pools)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SETTLE_SECONDS):
        while not await holds():  # noqa: ASYNC110 - asks the proxy
            await asyncio.sleep(0.02)


async def answers(proxy: Any, port: int, count: int = REQUESTS) -> Counter[tuple[int, str]]:
    return Counter([await proxy.ask(port) for _ in range(count)])


async def test_every_server_with_a_weight_serves_and_none_without(proxy: Any, apps: list[App]) -> None:
    a, b = apps
    port = free_port()
    await proxy.show(one_pool(port, a.server(), b.server()))
    assert set(await answers(proxy, port)) == {(200, "a"), (200, "b")}
    await proxy.show(one_pool(port, a.server(), b.server(weight=0)))
    assert set(await answers(proxy, port)) == {(200, "a")}


async def test_servers_come_and_go_and_no_request_fails(proxy: Any, apps: list[App]) -> None:
    a, b = apps
    port = free_port()
    await proxy.show(one_pool(port, a.server()))
    seen: Counter[tuple[int, str]] = Counter()
    for picture in (
        one_pool(port, a.server(), b.server(weight=0)),
        one_pool(port, a.server(), b.server()),
        one_pool(port, a.server(weight=0), b.server()),
        one_pool(port, b.server()),
        one_pool(port, a.server(), b.server()),
    ):
        await proxy.show(picture)
        seen += await answers(proxy, port, 20)
    assert {status for status, _ in seen} == {200}
    assert min(seen[200, "a"], seen[200, "b"]) > 30


async def test_checks_come_to_a_result_and_change_it(proxy: Any, apps: list[App]) -> None:
    a, b = apps
    b.health = 503
    port = free_port()
    await proxy.show(one_pool(port, a.server(weight=0), b.server(weight=0)))

    async def found() -> bool:
        seen = await proxy.look()
        up = {name: seen[place].is_up for place in seen for name in place[1:]}
        return up == {"a": a.health == 200, "b": b.health == 200}

    await eventually(found)
    assert (await proxy.look())["web", "b"].reason == "Health checks failed with these codes: [503]"
    a.health, b.health = 503, 200
    await eventually(found)


async def test_a_weight_carries_whatever_checks_say_and_each_request_counts(proxy: Any, apps: list[App]) -> None:
    a, b = apps
    a.health = b.health = 503
    port = free_port()
    await proxy.show(one_pool(port, a.server(), b.server(weight=0)))

    async def are_down() -> bool:
        return [seen.is_up for seen in (await proxy.look()).values()] == [False, False]

    await eventually(are_down)
    assert await answers(proxy, port, 10) == {(200, "a"): 10}
    await proxy.look()
    assert proxy.requests["web"] == 10
    front = Front(free_port(), Protocol.HTTP, (("web", 1000),))
    shown = one_pool(port, a.server(weight=0), b.server(weight=0))
    await proxy.show(msgspec.structs.replace(shown, fronts=(*shown.fronts, front)))
    assert {status for status, _ in await answers(proxy, port, 3)} == {503}
    await proxy.show(one_pool(port, b.server()))
    await proxy.crash()
    await proxy.show(one_pool(port, b.server()))
    assert await answers(proxy, port, 5) == {(200, "b"): 5}
    await proxy.look()
    assert proxy.requests["web"] == 15, "over all its lives, and only those that a server was chosen for"


async def test_shares_of_pools_are_shifted(proxy: Any, apps: list[App]) -> None:
    blue, green = apps
    port = free_port()
    for percent, expected in ((0, {(200, "a")}), (100, {(200, "b")}), (50, {(200, "a"), (200, "b")})):
        await proxy.show(two_pools(port, blue, green, percent))
        assert set(await answers(proxy, port)) == expected


async def test_traffic_is_taken_in_before_it_is_taken_away(proxy: Any, apps: list[App]) -> None:
    """The shares move to another pool in the same picture in which the servers of the first get nothing any more."""
    blue, green = apps
    port = free_port()
    pictures = []
    for percent in (0, 100):
        drawn = two_pools(port, blue, green, percent)
        weights = {"blue": 100 - percent, "green": percent}
        pools = [
            msgspec.structs.replace(
                pool, servers=tuple(msgspec.structs.replace(each, weight=weights[pool.name]) for each in pool.servers)
            )
            for pool in drawn.pools
        ]
        pictures.append(msgspec.structs.replace(drawn, pools=tuple(pools)))
    await proxy.show(pictures[0])
    seen: Counter[int] = Counter()

    async def load() -> None:
        while True:
            seen[(await proxy.ask(port))[0]] += 1

    loads = [asyncio.create_task(load()) for _ in range(8)]
    for turn in range(1, 41):
        await proxy.show(pictures[turn % 2])
        await asyncio.sleep(0.01)
    for task in loads:
        task.cancel()
    assert seen.keys() == {200}, seen


async def test_one_that_has_died_has_everything_again(proxy: Any, apps: list[App]) -> None:
    a, b = apps
    port = free_port()
    picture = two_pools(port, a, b, 100)
    await proxy.show(picture)
    await proxy.crash()
    assert (await proxy.ask(port))[0] == 0
    await proxy.show(picture)
    assert set(await answers(proxy, port, 10)) == {(200, "b")}


async def test_another_front_leaves_the_first_alone(proxy: Any, apps: list[App]) -> None:
    a, _ = apps
    port, other = free_port(), free_port()
    picture = one_pool(port, a.server())
    await proxy.show(picture)
    front = Front(other, Protocol.HTTP, (("web", 1000),))
    await proxy.show(msgspec.structs.replace(picture, fronts=(*picture.fronts, front)))
    assert set(await answers(proxy, port, 10)) == set(await answers(proxy, other, 10)) == {(200, "a")}


async def test_after_its_end_a_picture_starts_it_again(proxy: Any, apps: list[App]) -> None:
    a, _ = apps
    port = free_port()
    await proxy.show(one_pool(port, a.server()))
    await proxy.close()
    assert (await proxy.ask(port))[0] == 0
    await proxy.show(one_pool(port, a.server()))
    assert await proxy.ask(port) == (200, "a")


@needs_haproxy
async def test_the_share_of_a_target_in_its_slow_start_grows_with_its_weight(apps: list[App]) -> None:
    """Weights as `picture` draws them over a slow start: at its begin, a quarter, half, and the whole of it."""
    a, b = apps
    proxy, port = RealProxy(), free_port()
    shares = []
    try:
        for weight in (1, 25, 50, 100):
            await proxy.show(one_pool(port, a.server(), b.server(weight)))
            seen = await answers(proxy, port, 200)
            shares.append(seen[200, "b"])
    finally:
        await proxy.close()
    assert [abs(share - whole) <= 4 for share, whole in zip(shares, (2, 40, 67, 100), strict=True)] == [True] * 4, (
        shares
    )


@needs_haproxy
async def test_it_answers_as_an_application_load_balancer_where_a_target_does_not(
    apps: list[App], monkeypatch: pytest.MonkeyPatch
) -> None:
    """502: refused, or cut; 504: no connection in time; 503: nobody to ask, or the target's own."""
    a, b = apps
    monkeypatch.setattr(words, "CONNECT_SECONDS", 0.3)
    proxy, port = RealProxy(), free_port()
    try:
        with full_socket() as deaf:
            servers = {
                502: Server("refuses", "127.0.0.1", free_port(), 100),
                504: Server("deaf", "127.0.0.1", deaf, 100),
                503: b.server(weight=0),
                200: a.server(),
            }
            for status, server in servers.items():
                await proxy.show(one_pool(port, server))
                assert (await proxy.ask(port))[0] == status
            a.status = 503
            assert await proxy.ask(port) == (503, "a")
    finally:
        await proxy.close()


@needs_haproxy
async def test_a_request_in_flight_ends_well_at_weight_0_and_is_cut_at_the_removal(apps: list[App]) -> None:
    a, b = apps
    proxy, port = RealProxy(), free_port()
    try:
        for weight_0_only, expected in ((True, (200, "a")), (False, (502, ""))):
            await proxy.show(one_pool(port, a.server()))
            a.hold.clear()
            a.asked.clear()
            request = asyncio.create_task(proxy.ask(port))
            await asyncio.wait_for(a.asked.wait(), SETTLE_SECONDS)
            await proxy.show(one_pool(port, a.server(weight=0), b.server()))
            assert await proxy.ask(port) == (200, "b")
            assert not request.done()
            if not weight_0_only:
                await proxy.show(one_pool(port, b.server()))
                status, _ = await asyncio.wait_for(request, SETTLE_SECONDS)
                assert status == expected[0]
                continue
            a.hold.set()
            assert await request == expected
    finally:
        await proxy.close()


async def test_what_cannot_run_is_one_sentence(apps: list[App]) -> None:
    a, _ = apps
    missing = HaProxy("/nowhere/haproxy", "127.0.0.1")
    with pytest.raises(ProxyError, match=r"HAProxy \(/nowhere/haproxy\) cannot be run: No such file"):
        await missing.show(one_pool(free_port(), a.server()))
    await missing.close()


@needs_haproxy
async def test_a_port_that_is_taken_is_named(apps: list[App]) -> None:
    a, b = apps
    proxy = RealProxy()
    with pytest.raises(ProxyError, match=f"127.0.0.1:{b.port}"):
        await proxy.show(one_pool(b.port, a.server()))
    await proxy.close()


@needs_haproxy
@pytest.mark.parametrize("is_gone", [True, False])
async def test_a_restart_that_fails_leaves_the_former_one_serving(apps: list[App], *, is_gone: bool) -> None:
    """The program has gone meanwhile, or another front's port is taken: what serves is still looked at and told."""
    a, b = apps
    port = free_port()
    proxy = RealProxy()
    picture = one_pool(port, a.server())
    await proxy.show(picture)
    if is_gone:
        proxy._program = "/nowhere/haproxy"
    taken = Front(b.port, Protocol.HTTP, (("web", 1000),))
    with pytest.raises(ProxyError):
        await proxy.show(msgspec.structs.replace(picture, fronts=(*picture.fronts, taken)))

    async def serves() -> bool:
        return await proxy.ask(port) == (200, "a")

    await eventually(serves)  # a takeover pauses it, and its failure lets it go on
    assert set(await proxy.look()) == {("web", "a")}
    proxy._program = PROGRAM
    await proxy.show(one_pool(port, a.server(), b.server()))
    assert set(await answers(proxy, port)) == {(200, "a"), (200, "b")}
    await proxy.close()
