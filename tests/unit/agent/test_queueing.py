"""Admission: order, room, and that nobody who may run is left waiting (aws/amazon-ecs-agent#5138)."""

from hypothesis import given, settings
from hypothesis import strategies as st
from search import tries

from agent.core.queueing import Host, QueuePolicy
from wire.holds import Proof
from wire.resources import Amounts

HALF = Amounts(1024, 7372)


def host(policy=QueuePolicy.FIFO):
    return Host(Amounts(2048, 15731, frozenset({22})), policy)


def names(entries):
    return [entry.task for entry in entries]


def test_issue_4106_the_fourth_waits_for_the_old_task_and_is_admitted_at_its_release():
    h = host()
    assert names(h.ask("old-1", HALF, 0)) == ["old-1"]
    assert names(h.ask("old-2", HALF, 0)) == ["old-2"]
    assert h.ask("new-1", HALF, 1) == []
    assert h.ask("new-2", HALF, 1) == []
    _, admitted = h.release("old-1", Proof.EXIT_SEEN, 2)
    assert names(admitted) == ["new-1"]
    assert h.lacks("new-2") == ("CPU", "MEMORY")
    assert (h.ledger.free.cpu, h.ledger.free.memory_mib) == (0, 987)
    _, admitted = h.release("old-2", Proof.EXIT_SEEN, 40)
    assert names(admitted) == ["new-2"]


def test_fifo_is_strict_a_small_task_waits_behind_a_large_head_and_greedy_lets_it_by():
    for policy, expected in ((QueuePolicy.FIFO, []), (QueuePolicy.GREEDY, ["small"])):
        h = host(policy)
        h.ask("running", HALF, 0)
        h.ask("large", Amounts(2048, 100), 1)
        assert names(h.ask("small", Amounts(10, 10), 2)) == expected


def test_serial_waits_for_every_task_that_was_stopping_at_its_arrival_even_with_room():
    h = host(QueuePolicy.SERIAL)
    h.ask("old", HALF, 0)
    h.note_stopping("old")
    assert h.ask("new", HALF, 1) == []
    assert h.lacks("new") == ()
    _, admitted = h.release("old", Proof.EXIT_SEEN, 9)
    assert names(admitted) == ["new"]


def test_a_withdrawn_head_makes_way():
    h = host()
    h.ask("running", HALF, 0)
    h.ask("large", Amounts(2048, 100), 1)
    h.ask("small", Amounts(10, 10), 2)
    assert names(h.withdraw("large", 3)) == ["small"]


def test_a_taken_host_port_makes_the_next_holder_wait():
    h = host()
    web = Amounts(10, 10, frozenset({8080}))
    h.ask("old", web, 0)
    assert h.ask("new", web, 1) == []
    assert h.lacks("new") == ("PORTS",)
    assert names(h.release("old", Proof.EXIT_SEEN, 2)[1]) == ["new"]


def test_asking_and_releasing_twice_changes_nothing():
    h = host()
    h.ask("a", HALF, 0)
    assert h.ask("a", HALF, 1) == []
    h.release("a", Proof.EXIT_SEEN, 2)
    assert h.release("a", Proof.EXIT_SEEN, 3) == (None, [])
    assert h.ledger.free.cpu == 2048


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "release", "withdraw"]),
        st.integers(0, 7),
        st.integers(1, 2500),
        st.sampled_from([0, 80, 81]),
    ),
    max_size=60,
)


@settings(max_examples=tries(300))
@given(steps, st.sampled_from(list(QueuePolicy)))
def test_never_over_committed_and_whoever_is_next_and_fits_does_not_wait(history, policy):
    h = host(policy)
    for now, (verb, task, cpu, port) in enumerate(history):
        if verb == "ask":
            h.ask(str(task), Amounts(cpu, 10, frozenset({port} if port else ())), now)
        elif verb == "release":
            h.release(str(task), Proof.EXIT_SEEN, now)
        else:
            h.withdraw(str(task), now)
        h.ledger.check()
        assert h.ledger.free.cpu >= 0
        held = [p for hold in h.ledger for p in hold.amounts.ports]
        assert len(held) == len(set(held)), "one port, one holder"
        waiting = list(h.waiting)
        if policy is QueuePolicy.GREEDY:
            assert all(h.ledger.lacks(entry.amounts) for entry in waiting)
        elif waiting:
            assert h.ledger.lacks(waiting[0].amounts)
