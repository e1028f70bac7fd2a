"""A proxy that is played: it looks at its picture at every request and every check, and carries nothing by itself."""

from collections import Counter

import aiohttp

from controlplane.balancing.proxy import ProxyError
from controlplane.core.balancing.picture import Picture, Pool, Seen, Server

CHECK_SECONDS = 1


class ScriptedProxy:
    """A `Proxy`. `ask` is a request at one of its fronts; `trouble`, where set, is what it fails with."""

    def __init__(self) -> None:
        self.picture = Picture()
        self.shown = 0
        self.trouble = ""
        self.requests: Counter[str] = Counter()
        self._turns: Counter[str] = Counter()

    async def show(self, picture: Picture) -> None:
        if self.trouble:
            raise ProxyError(self.trouble)
        self.picture = picture
        self.shown += 1

    async def look(self) -> dict[tuple[str, str], Seen]:
        return {
            (pool.name, server.name): await _check(pool, server)
            for pool in self.picture.pools
            for server in pool.servers
        }

    async def close(self) -> None:
        self.picture = Picture()

    async def crash(self) -> None:
        """It dies, and loses all it had."""
        self.picture = Picture()

    async def ask(self, port: int) -> tuple[int, str]:
        """Status and body; 0 where nobody listens, 503 where nobody serves."""
        front = next((front for front in self.picture.fronts if front.port == port), None)
        if front is None:
            return 0, ""
        turn = self._turns["front"]
        self._turns["front"] = (turn + 1) % 10
        part = 0
        for name, share in front.shares:
            part += share
            if turn * 100 < part:
                return await self._serve(next(pool for pool in self.picture.pools if pool.name == name))
        return 503, ""

    async def _serve(self, pool: Pool) -> tuple[int, str]:
        carrying = [server for server in pool.servers if server.weight]
        if not carrying:
            return 503, ""
        self.requests[pool.name] += 1
        self._turns[pool.name] += 1
        try:
            return await _get(carrying[self._turns[pool.name] % len(carrying)], "/")
        except aiohttp.ClientError:
            return 502, ""


async def _check(pool: Pool, server: Server) -> Seen:
    try:
        status, _ = await _get(server, pool.check.path)
    except (aiohttp.ClientError, TimeoutError):
        return Seen(is_up=False, reason="Health checks failed")
    if str(status) != pool.check.matcher:
        return Seen(is_up=False, reason=f"Health checks failed with these codes: [{status}]")
    return Seen(is_up=True)


async def _get(server: Server, path: str) -> tuple[int, str]:
    timeout = aiohttp.ClientTimeout(total=CHECK_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"http://{server.address}:{server.port}{path}") as answer,
    ):
        return answer.status, await answer.text()
