"""Containerd's events about exits, from a containerd of our own on a real socket; shims are real processes."""

import asyncio
import contextlib
import os
import struct
import subprocess

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from agent.runtime import protobuf
from agent.runtime.containerd import ExitEvents, shim_of
from agent.runtime.exits import Exits
from agent.runtime.inspected import OUT_OF_MEMORY
from agent.runtime.port import ContainerLife

ID, OTHER = "a" * 64, "b" * 64
AT = 1_700_000_000


def varint(value):
    rows = []
    while value > 0x7F:
        rows.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*rows, value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def exit_event(code, at=AT, *, container=ID, process=ID):
    exited_at = field(1, int(at)) + field(2, round(at % 1 * 1e9))
    happened = field(1, container) + field(2, process) + field(3, 4711) + field(4, code) + field(5, exited_at)
    wrapped = field(1, "containerd.events.TaskExit") + field(2, happened)
    envelope = field(1, field(1, 1)) + field(2, "moby") + field(3, "/tasks/exit") + field(4, wrapped)
    return struct.pack(">BI", 0, len(envelope)) + envelope


class Containerd:
    """Its event service: keeps what was asked, sends what it is told to."""

    def __init__(self, path):
        self.path = path
        self.subscribed = asyncio.Queue()

    async def __aenter__(self):
        self.server = await asyncio.start_unix_server(self.serve, self.path)
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def serve(self, reader, writer):
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        with contextlib.closing(writer):
            await self.answer(connection, reader, writer)

    async def answer(self, connection, reader, writer):
        asked = b""
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                asked += getattr(event, "data", b"")
                if isinstance(event, StreamEnded):
                    connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                    self.subscribed.put_nowait((asked, connection, event.stream_id, writer))
            writer.write(connection.data_to_send())


class Listener:
    """A subscription, seen from containerd."""

    @classmethod
    async def of(cls, containerd):
        self = cls()
        self.asked, self.connection, self.stream, self.writer = await asyncio.wait_for(containerd.subscribed.get(), 60)
        return self

    def close(self):
        self.writer.close()

    def send(self, *rows):
        for row in rows:
            self.connection.send_data(self.stream, row)
        self.writer.write(self.connection.data_to_send())


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "containerd.sock")


@pytest.fixture
def shim(path):
    """A process whose parent has a shim's command line. Its pid."""
    words = ["-namespace", "moby", "-id", ID, "-address", path]
    parent = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait", *words], stdout=subprocess.PIPE)
    yield int(parent.stdout.readline())
    subprocess.run(["pkill", "-P", str(parent.pid)], check=True)
    parent.communicate()


@pytest.fixture
async def events():
    events = ExitEvents()
    yield events
    await events.close()


async def test_an_exit_with_its_code_and_its_time(path, shim, events):
    async with Containerd(path) as containerd:
        told = asyncio.get_running_loop().create_future()
        assert events.follow(ID, shim, lambda code, at: told.set_result((code, at)))
        listener = await Listener.of(containerd)
        assert listener.asked[7:] == b'topic=="/tasks/exit",namespace=="moby"'
        listener.send(exit_event(1, container=OTHER, process=OTHER), exit_event(2, process="an exec of it"))
        whole = exit_event(143, AT + 0.25)
        listener.send(whole[:3], whole[3:40], whole[40:])  # gRPC's messages and HTTP's frames are not the same
        assert await asyncio.wait_for(told, 60) == (143, AT + 0.25)


async def test_a_broken_stream_is_begun_again_by_whoever_is_next(path, shim, events):
    async with Containerd(path) as containerd:
        told = asyncio.Queue()
        for ending in (Listener.close, lambda it: it.send(b"\0\xff\xff\xff\xff"), Listener.close):
            assert events.follow(ID, shim, lambda *it: told.put_nowait(it))
            (stream,) = events._streams.values()
            listener = await Listener.of(containerd)
            listener.send(exit_event(7))
            assert await asyncio.wait_for(told.get(), 60) == (7, AT)
            ending(listener)
            await asyncio.wait_for(stream, 60)


async def test_who_is_nobodys_container_is_not_followed(shim, events):
    assert shim_of(OTHER, shim) is None, "another one's"
    assert shim_of(ID, os.getpid()) is None, "its parent is no shim"
    assert not events.follow(ID, 2**22 + 1, lambda *_: None), "no such process"
    assert not events._streams


def inspected(pid, started="2023-11-14T22:13:00Z"):
    return {
        "Id": ID,
        "State": {"Running": True, "StartedAt": started, "Pid": pid},
        "HostConfig": {"PortBindings": {}},
        "Config": {"Labels": {}},
    }


async def test_what_is_believed(path, shim):
    """Nothing of a life before this one, and no SIGKILL that nobody here sent where no cgroup says what it was."""
    async with Containerd(path) as containerd:
        told, read = [], asyncio.Queue()
        exits = Exits(told.append)
        exits.follow(inspected(shim))
        exits._events._followed[OTHER] = lambda *it: read.put_nowait(it)
        listener = await Listener.of(containerd)

        async def happen(*rows):
            listener.send(*rows, exit_event(0, container=OTHER, process=OTHER))
            await asyncio.wait_for(read.get(), 60)

        await happen(exit_event(0, AT - 3600), exit_event(3))  # the first of them before it started
        (found,) = told
        assert (found.life, found.exit_code, found.finished_at) == (ContainerLife.EXITED, 3, AT)
        assert exits.is_old(ID, AT), "Docker's event of the same"

        exits.follow(inspected(shim, "2023-11-14T22:13:10Z"))
        await happen(exit_event(137))
        exits.follow(inspected(shim, "2023-11-14T22:13:11Z"))
        exits.killed(ID)
        await happen(exit_event(137))
        assert [found.exit_code for found in told] == [3, 137], "theirs is Docker's to tell"
        await exits.close()


@pytest.fixture
def counter(tmp_path, monkeypatch):
    counter = tmp_path / "memory.oom_control"
    monkeypatch.setattr("agent.runtime.exits.kill_counter", lambda *_: counter)
    return counter


@pytest.mark.parametrize(("count", "error"), [(0, ""), (1, OUT_OF_MEMORY)])
@pytest.mark.parametrize("ports", [{}, {"80/tcp": [{"HostPort": ""}]}])
async def test_a_strange_kill_is_told_at_once_where_its_cgroup_says_what_it_was(counter, shim, count, error, ports):
    counter.write_text(f"oom_kill_disable 0\nunder_oom 0\noom_kill {count}\n")
    path = str(counter.parent / "containerd.sock")
    async with Containerd(path) as containerd:
        told, read = [], asyncio.Queue()
        exits = Exits(told.append)
        exits.follow({**inspected(shim), "HostConfig": {"PortBindings": ports}})
        exits._events._followed[OTHER] = lambda *it: read.put_nowait(it)
        listener = await Listener.of(containerd)
        listener.send(exit_event(137), exit_event(0, container=OTHER, process=OTHER))
        await asyncio.wait_for(read.get(), 60)
        assert [found.error for found in told] == ([] if ports else [error]), "ports are free when Docker says so"
        assert not exits.is_strange(ID, 137)
        assert exits.ran_out(ID) == bool(count)
        exits.follow(inspected(shim, "2023-11-14T22:13:10Z"))
        assert exits.is_strange(ID, 137), "another life"
        await exits.close()


@pytest.mark.parametrize("broken", [b"\x0a\x05abc", b"\x08\x80", b"\x0d\x01", b"\x0b"])
def test_no_message(broken):
    with pytest.raises(ValueError, match=r"without an end|wire type"):
        protobuf.fields(broken)


def test_fields_of_every_kind():
    assert protobuf.fields(b"\x08\x96\x01" + b"\x12\x02hi" + b"\x1d\1\0\0\0" + b"\x21" + bytes(8)) == {
        1: 150,
        2: b"hi",
        3: b"\1\0\0\0",
        4: bytes(8),
    }
    assert protobuf.fields(protobuf.text(1, "hello")) == {1: b"hello"}
