"""On which ports the agent answers: Amazon's fixed ones where they are free, others that it keeps where not."""

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.journal import Journal
from agent.local import listen


@pytest.fixture
def fixed_ports(monkeypatch):
    """Two ports that are free now, in the place of Amazon's; other agents of this machine have those."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        numbers = one.getsockname()[1], two.getsockname()[1]
    monkeypatch.setattr(listen, "INTROSPECTION_PORT", numbers[0])
    monkeypatch.setattr(listen, "METADATA_PORT", numbers[1])
    return frozenset(numbers)


@pytest.fixture
def journals(tmp_path):
    """Those of two agents."""
    made = Journal(tmp_path / "1"), Journal(tmp_path / "2")
    yield made
    for journal in made:
        journal.close()


NOWHERE = "192.0.2.77"
"""An address that is no machine's (RFC 5737)."""


def test_the_first_agent_has_the_fixed_ports_the_next_has_others_and_keeps_them(journals, fixed_ports):
    one, two = journals
    first = listen.take(one, "127.0.0.2", link_local=NOWHERE)
    assert first.taken == fixed_ports
    second = listen.take(two, "127.0.0.2", link_local=NOWHERE)
    taken = second.taken
    assert not taken & fixed_ports
    assert second.base == f"http://127.0.0.2:{second.metadata[0].getsockname()[1]}"
    second.close()
    first.close()
    again = listen.take(two, "127.0.0.2", link_local=NOWHERE)
    assert again.taken == taken, "containers carry the address"
    again.close()


def test_of_two_agents_that_begin_at_once_one_has_a_fixed_port_and_the_other_another(
    tmp_path, fixed_ports, monkeypatch
):
    """Both have bound it before either listens, which Linux allows; then it is one's."""
    both_bound = threading.Barrier(2, timeout=30)

    class Bound(socket.socket):
        def listen(self, backlog):
            if self.getsockname() == ("127.0.0.1", listen.INTROSPECTION_PORT):
                both_bound.wait()
            super().listen(backlog)

    def begin(name):
        with contextlib.closing(Journal(tmp_path / name)) as journal:
            return listen.take(journal, "127.0.0.2", link_local=NOWHERE)

    monkeypatch.setattr(listen.socket, "socket", Bound)
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(begin, ("1", "2"))
    assert not one.taken & two.taken
    assert fixed_ports <= one.taken | two.taken
    one.close()
    two.close()


def test_where_containers_cannot_reach_us_they_are_given_no_address(journals, fixed_ports, caplog):
    del fixed_ports
    ports = listen.take(journals[0], NOWHERE, link_local=NOWHERE)
    assert ports.base == ""
    assert {s.getsockname()[0] for s in ports.metadata} == {"127.0.0.1"}
    assert "no address of this machine" in caplog.text
    ports.close()


def test_amazons_own_address_is_used_where_the_host_has_it(journals, fixed_ports, monkeypatch, free_port):
    del fixed_ports
    monkeypatch.setattr(listen, "LINK_LOCAL_PORT", free_port)
    one, two = journals
    first = listen.take(one, "127.0.0.2", link_local="127.0.0.3")
    second = listen.take(two, "127.0.0.2", link_local="127.0.0.3")
    assert first.base == "http://127.0.0.3"
    assert second.base.startswith("http://127.0.0.2:"), "another agent has taken it"
    assert "127.0.0.3" in first.addresses
    first.close()
    second.close()
