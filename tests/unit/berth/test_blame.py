"""Why a task waits: who holds the room, until when, who is before it, in one sentence."""

from story_maker import StoryMaker, instance_arn, issue_4106, task_arn

from controlplane.core.blame import blame, blames
from controlplane.core.twoledgers import TwoLedgers


def test_the_waiting_task_of_4106_waits_for_the_long_job() -> None:
    ledgers = TwoLedgers(issue_4106("eager"))
    reason = blame(ledgers, task_arn("b4"), now=30, host="host-2")
    assert reason is not None
    assert (reason.instance, reason.waits_since, reason.lacks) == (instance_arn(2), 10, ("CPU", "MEMORY"))
    (holder,) = reason.holders
    assert (holder.task, holder.since, holder.told_to_stop_at, holder.ends_latest) == (task_arn("a4"), 2, 10, 70)
    assert holder.is_phantom
    assert reason.sentence == (
        "web:2 b4000000 waits on host-2 for 20 s: web:1 a4000000, asked to stop 20 s ago, still holds 1024 CPU and "
        "7372 MiB, for 40 s more at the latest; nothing is queued ahead of it."
    )


def test_who_runs_or_has_gone_waits_for_nothing() -> None:
    ledgers = TwoLedgers(issue_4106("eager"))
    assert blame(ledgers, task_arn("b1"), now=30) is None
    assert blame(ledgers, task_arn("a4"), now=60) is None
    assert blame(ledgers, "no such task", now=60) is None
    assert [reason.task for reason in blames(ledgers, 30)] == [task_arn("b4")]


def test_a_full_host_of_running_tasks_is_to_blame_as_a_whole() -> None:
    story = StoryMaker()
    story.instance(0, 1)
    for task in ("a", "b"):
        story.placed(1, task, 1)
        story.started(2, task, 1)
    for task in ("c", "d"):
        story.placed(3, task, 1)
        story.queued(3, task, 1)
    ledgers = TwoLedgers(story.lines)
    reason = blame(ledgers, task_arn("d"), now=10)
    assert reason is not None
    assert [holder.task for holder in reason.holders] == [task_arn("a"), task_arn("b")]
    assert reason.ahead == (task_arn("c"),)
    assert reason.sentence.endswith("one task is queued ahead of it.")


def test_an_end_that_nobody_knows_is_said_so() -> None:
    """Amazon's own agent tells no deadline."""
    story = StoryMaker("none")
    story.instance(0, 1)
    story.placed(1, "a", 1)
    story.status(2, "a", 1, "RUNNING")
    story.tell(5, "task.desired", task_arn("a"), desired="STOPPED", instance=instance_arn(1))
    story.unplaced(5, "a", 1, "STOP_REQUESTED")
    story.placed(5, "b", 1, 2)
    reason = blame(TwoLedgers(story.lines), task_arn("b"), now=8)
    assert reason is not None
    assert reason.holders[0].ends_latest is None
    assert "until nobody knows when" in reason.sentence
