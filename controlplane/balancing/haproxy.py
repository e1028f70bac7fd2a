"""HAProxy as a child process, kept as a picture says over its runtime API. It decides nothing.

One process serves; another configuration is another process that takes the listening sockets over, while the former
finishes its connections. A process that has died is started again at the next picture, which holds everything.
"""

import asyncio
import contextlib
import ctypes
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from controlplane.balancing import haproxy_words as words
from controlplane.balancing.proxy import Place, ProxyError
from controlplane.core.balancing.picture import Picture, Seen

START_SECONDS = 30.0
ANSWER_SECONDS = 5.0
END_SECONDS = 2.0
POLL_SECONDS = 0.02
ANSWER_BYTES_MAX = 16 * 1024 * 1024
LINES_SHOWN = 3
PR_SET_PDEATHSIG = 1
"""Source: linux/prctl.h."""

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class HaProxy:
    """One HAProxy. Use it from one task at a time."""

    def __init__(self, program: str, host: str) -> None:
        self._program = program
        self._host = host
        self._folder: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._former: list[asyncio.subprocess.Process] = []
        self._shown: Picture | None = None
        self._leftover: set[Place] = set()
        self._generation = 0
        self._requests_before: Counter[str] = Counter()
        """Of the processes that were."""
        self._requests: Counter[str] = Counter()

    @property
    def pid(self) -> int | None:
        """Process id of the one that serves; None: none does."""
        return self._process.pid if self._is_alive() and self._process is not None else None

    @property
    def requests(self) -> Mapping[str, int]:
        return self._requests_before + self._requests

    async def show(self, picture: Picture) -> None:
        before = self._shown
        if before == picture and self._is_alive() and not self._leftover:
            return
        self._shown = None
        if before is None or not self._is_alive() or words.needs_reload(before, picture):
            await self._start(picture)
        else:
            for command in words.commands(before, picture, self._shares):
                await self._command(command)
            await self._clear_away()
        self._shown = picture

    async def look(self) -> Mapping[Place, Seen]:
        if not self._is_alive():
            return {}
        statistics = await self._ask(words.STATISTICS)
        self._requests = words.requests(statistics)
        return words.seen(statistics)

    async def close(self) -> None:
        self._close_count()
        processes = [*self._former, *([self._process] if self._process is not None else [])]
        for process in processes:
            await _end(process)
        self._process, self._shown = None, None
        self._former.clear()
        self._leftover.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # -- process -------------------------------------------------------------------------------------------------------

    def _is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def _home(self) -> Path:
        """A folder with a short name: the path of a socket has at most 107 bytes."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="berth-proxy-"))
        return self._folder

    @property
    def _socket(self) -> Path:
        return self._home / f"{self._generation}.sock"

    @property
    def _shares(self) -> Path:
        return self._home / f"{self._generation}.map"

    async def _start(self, picture: Picture) -> None:
        with contextlib.suppress(ProxyError):
            await self.look()
        self._close_count()
        former, former_socket = self._process, self._socket
        self._generation += 1
        self._leftover.clear()
        config = self._home / f"{self._generation}.cfg"
        self._shares.write_text(words.shares_map(picture))
        config.write_text(words.configuration(picture, host=self._host, socket=self._socket, shares=self._shares))
        takes_over = []
        if former is not None and former.returncode is None:
            takes_over = ["-x", str(former_socket), "-sf", str(former.pid)]
        log = self._home / f"{self._generation}.log"
        with log.open("wb") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(self._program, "-db", "-f", str(config), *takes_over),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=_tie,
                )
            except OSError as error:
                self._generation -= 1  # the former process serves on, at its own socket
                raise ProxyError(not_found(self._program, error.strerror or "")) from None
        try:
            await self._wait_ready(process, log)
        except BaseException:  # a cancelled start leaves no process behind either
            await _end(process)
            self._generation -= 1
            raise
        self._process = process
        self._former = [old for old in (*self._former, former) if old is not None and old.returncode is None]

    def _close_count(self) -> None:
        """The next process counts from 0."""
        self._requests_before += self._requests
        self._requests = Counter()

    async def _wait_ready(self, process: asyncio.subprocess.Process, log: Path) -> None:
        for _ in range(round(START_SECONDS / POLL_SECONDS)):
            if process.returncode is not None:
                raise ProxyError(f"HAProxy does not start: {_alerts(log) or 'it says nothing'}")
            with contextlib.suppress(OSError, ProxyError):
                await self._ask("show info")
                return
            await asyncio.sleep(POLL_SECONDS)
        raise ProxyError(f"HAProxy does not answer within {START_SECONDS:g} s.")

    # -- runtime API ---------------------------------------------------------------------------------------------------

    async def _command(self, command: str) -> None:
        answer = await self._ask(command)
        if not words.is_refusal(command, answer):
            return
        verb, _, place = command.partition(" server ")
        if verb != "del":
            raise ProxyError(f"HAProxy refuses {command!r}: {answer.strip()}")
        # Its last connections are still being closed.
        pool, _, server = place.partition("/")
        self._leftover.add((pool, server))

    async def _clear_away(self) -> None:
        for pool, server in list(self._leftover):
            self._leftover.discard((pool, server))
            for command in words.removal(pool, server)[1:]:
                await self._command(command)

    async def _ask(self, command: str) -> str:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=ANSWER_BYTES_MAX)
                try:
                    writer.write(command.encode() + b"\n")
                    return (await reader.read(-1)).decode(errors="replace")
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise ProxyError(f"HAProxy does not answer: {error or 'too slow'}.") from None


def not_found(program: str, why: str = "it is not on the PATH") -> str:
    """What is told where there is no HAProxy."""
    return (
        f"HAProxy ({program}) cannot be run: {why}. Load balancing needs it: install it (apt-get install haproxy), or "
        "say where it is with BERTH_HAPROXY."
    )


def _alerts(log: Path) -> str:
    said = [line for line in log.read_text(errors="replace").splitlines() if "ALERT" in line]
    return " ".join(said[:LINES_SHOWN])


def _tie() -> None:
    """The child does not outlive us, however we end."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
