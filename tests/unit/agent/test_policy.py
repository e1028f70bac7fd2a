"""The control plane sets the agent's policy: it goes at once, without a restart, and is kept over one."""

import asyncio

import pytest
from scripted_host import Machine, host_test

from agent.backend.desk import encode
from agent.backend.responders import RESPONDERS
from agent.config import read
from agent.core.queueing import QueuePolicy
from agent.core.spec import ContainerSpec
from agent.core.state import Release, Settings
from agent.core.stopping import GiveUp
from agent.journal import Journal
from agent.policy import remembered, setter
from wire.acs_session_shapes import BerthPolicyMessage
from wire.envelope import decode_frame
from wire.story import Kind

ENVIRONMENT = {"ECS_BACKEND_HOST": "http://127.0.0.1:1", "ECS_RESOURCE_RELEASE": "eager"}


def container(memory_mib, **environment):
    return ContainerSpec(
        name="main",
        image="i",
        essential=True,
        memory_mib=memory_mib,
        environment={name: str(value) for name, value in environment.items()},
    )


@host_test
async def test_whoever_is_next_under_the_new_policy_is_admitted_at_once(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("full", container(12000))
    await host.run("large", container(12000))
    await host.run("small", container(1000))
    await backend.wait_for("full", "RUNNING")
    assert [waiting.task for waiting in host.engine._host.waiting] == ["large", "small"], "fifo: the head blocks"
    setter(host.journal, host.settings, host.engine.go_by)("eager", "greedy", "hold")
    await backend.wait_for("small", "RUNNING")
    told = [data for _, kind, _, data in backend.story if kind is Kind.AGENT_POLICY]
    assert told == [{"release": "eager", "task_queue": "greedy", "stop_give_up": "hold"}]
    await host.kill()


@host_test
async def test_a_release_is_told_once_whatever_is_switched_when(tmp_path):
    """Eager when its stop came, on-exit when it ended, and the other way round."""
    host = Machine(tmp_path)
    backend = await host.boot()
    go_by = setter(host.journal, host.settings, host.engine.go_by)
    for task, before, after in (
        ("one", "eager", "on-exit"),
        ("two", "on-exit", "eager"),
        ("three", "on-exit", "on-exit"),
    ):
        go_by(before, "fifo", "hold")
        await host.run(task, container(1000, QUIT_SECONDS=6))
        await backend.wait_for(task, "RUNNING")
        await host.stop(task)
        await asyncio.sleep(1)
        go_by(after, "fifo", "hold")
        await backend.wait_for(task, "STOPPED")
    await asyncio.sleep(1)
    released = [(task, word) for _, task, word in backend.reports if word.startswith("release")]
    assert released == [("one", "release STOP_REQUESTED"), ("three", "release EXIT_SEEN")], "STOPPED says it for two"
    await host.kill()


@host_test
async def test_it_is_kept_over_a_restart_and_goes_before_the_environment(tmp_path):
    host = Machine(tmp_path)
    await host.boot()
    config = read(ENVIRONMENT)
    assert remembered(config, host.journal) == config
    setter(host.journal, config.settings, host.engine.go_by)("on-exit", "greedy:30", "declare")
    await host.kill()
    await host.boot()
    kept = remembered(config, host.journal)
    assert (kept.queue, kept.settings.queue_limit_seconds) == (QueuePolicy.GREEDY, 30)
    assert (kept.settings.release, kept.settings.give_up) == (Release.ON_EXIT, GiveUp.DECLARE)
    await host.kill()


class Desk:
    """What the responder needs of one."""

    def __init__(self, set_policy):
        self.set_policy = set_policy


@pytest.mark.parametrize(("queue", "answers"), [("serial", ["AckRequest"]), ("lifo", [])])
async def test_what_is_unknown_is_not_acknowledged(tmp_path, queue, answers):
    journal, went = Journal(tmp_path), []
    desk = Desk(setter(journal, Settings(), lambda *policy: went.append(policy)))
    message = BerthPolicyMessage(
        message_id="m", cluster_arn="c", container_instance_arn="i",
        resource_release="on-exit", task_queue=queue, stop_give_up="hold",
    )  # fmt: skip
    frame = decode_frame(encode(message))
    told = await RESPONDERS[frame.type](frame, desk)
    assert [decode_frame(answer).type for answer in told] == answers
    assert len(went) == len(answers)
    assert (journal.fact("policy") is None) == (not answers)
    journal.close()
