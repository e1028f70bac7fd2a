"""The log store: bounds, order, tokens; and what a filter pattern means."""

import pytest

from controlplane.logs import store as module
from controlplane.logs.pattern import matcher
from controlplane.logs.store import LogStore, Span

EVERYTHING = Span()


@pytest.fixture
async def store(tmp_path):
    built = LogStore(tmp_path / "logs.sqlite")
    await built.create_group("g", 1)
    await built.create_stream("g", "s", 1)
    yield built
    await built.close()


async def messages(store, span=EVERYTHING, **more):
    return [e.message for e in await store.read("g", ["s"], span, **{"limit": 100, **more})]


async def test_events_are_read_by_time_from_either_end(store):
    await store.put("g", "s", [(30, "c"), (40, "d")], 50, "")
    await store.put("g", "s", [(10, "a"), (20, "b")], 60, "")
    assert await messages(store) == ["a", "b", "c", "d"]
    assert await messages(store, limit=2) == ["a", "b"]
    assert await messages(store, limit=2, newest=True) == ["c", "d"]
    assert await messages(store, Span(20, 40)) == ["b", "c"]


async def test_a_batch_with_a_known_token_counts_once(store):
    assert await store.put("g", "s", [(1, "a")], 1, "2026-01-01T00:00:00.000000001Z")
    assert not await store.put("g", "s", [(1, "a")], 1, "2026-01-01T00:00:00.000000001Z")
    assert await store.put("g", "s", [(2, "b")], 1, "2026-01-01T00:00:00.000000002Z")
    assert await messages(store) == ["a", "b"]
    [stream] = await store.streams("g")
    assert (stream.token, stream.first_ms, stream.last_ms) == ("2026-01-01T00:00:00.000000002Z", 1, 2)


async def test_a_stream_keeps_its_newest_events(store, monkeypatch):
    monkeypatch.setattr(module, "EVENTS_PER_STREAM_MAX", 3)
    await store.put("g", "s", [(n, str(n)) for n in range(5)], 1, "")
    assert await messages(store) == ["2", "3", "4"]
    monkeypatch.setattr(module, "BYTES_PER_STREAM_MAX", 10)
    await store.put("g", "s", [(9, "x" * 8)], 1, "")
    assert await messages(store) == ["3", "4", "x" * 8]


async def test_the_stream_written_to_longest_ago_goes_first(store, monkeypatch):
    monkeypatch.setattr(module, "STREAMS_MAX", 2)
    await store.create_stream("g", "t", 2)
    await store.put("g", "s", [(1, "a")], 3, "")
    await store.create_stream("g", "u", 4)
    assert [stream.name for stream in await store.streams("g")] == ["s", "u"]


async def test_what_was_written_is_there_after_a_restart(tmp_path):
    first = LogStore(tmp_path / "l")
    await first.create_group("g", 1)
    await first.create_stream("g", "s", 1)
    await first.put("g", "s", [(1, "a")], 1, "t")
    await first.close()
    second = LogStore(tmp_path / "l")
    assert await messages(second) == ["a"]
    await second.delete_group("g")
    assert (await second.groups(), await messages(second)) == ([], [])
    assert not await second.put("g", "s", [(1, "a")], 1, "u")
    await second.close()


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        ("", "anything", True),
        ("ERROR", "an ERROR here", True),
        ("ERROR", "an error here", False),
        ("ERROR disk", "disk ERROR", True),
        ("ERROR disk", "ERROR", False),
        ('"disk full"', "the disk full", True),
        ('"disk full"', "full disk", False),
        ("?WARN ?ERROR", "a WARN", True),
        ("?WARN ?ERROR", "an info", False),
        ("ERROR -disk", "ERROR disk", False),
        ("-disk", "memory", True),
    ],
)
def test_filter_patterns(pattern, message, expected):
    assert matcher(pattern)(message) is expected


def test_patterns_that_are_not_served_say_so():
    with pytest.raises(ValueError, match="not served here"):
        matcher('{ $.level = "ERROR" }')
