"""Images: the four behaviours, tries and their waits, stops in the middle, clean-up; on virtual time."""

import asyncio

import pytest
from scripted_host import Machine, host_test

from agent.core.images import CleanUp, PulledImage, removable
from agent.core.pulling import PullBehavior
from agent.core.spec import ContainerSpec
from agent.pulling import PullSettings


def container(name="main", **members):
    environment = {key: members.pop(key) for key in list(members) if key.isupper()}
    return ContainerSpec(name=name, image=members.pop("image", "i"), essential=True, environment=environment, **members)


def now():
    return asyncio.get_running_loop().time()


def pulled(host, name="i"):
    return [about for verb, about in host.calls("pull") if about == name]


@pytest.mark.parametrize(
    ("behavior", "is_local", "asks"),
    [
        (PullBehavior.DEFAULT, True, True),
        (PullBehavior.ALWAYS, True, True),
        (PullBehavior.ONCE, True, True),
        (PullBehavior.PREFER_CACHED, True, False),
        (PullBehavior.PREFER_CACHED, False, True),
    ],
)
def test_the_four_pull_behaviours(behavior, is_local, asks, tmp_path):
    @host_test
    async def story(path):
        host = Machine(path, pull=PullSettings(behavior=behavior))
        host.runtime.pull_seconds = 5
        host.runtime.missing = set() if is_local else {"i"}
        backend = await host.boot()
        await host.run("t", container())
        await backend.wait_for("t", "RUNNING")
        assert len(pulled(host)) == asks
        report = backend.full[-1][1]
        assert (report.pull_started_at is not None) == asks
        assert (report.containers[0].image_digest is not None) == asks
        await host.run("u", container())
        await backend.wait_for("u", "RUNNING")
        again = behavior in (PullBehavior.DEFAULT, PullBehavior.ALWAYS)
        assert len(pulled(host)) == asks + again
        await host.kill()

    story(tmp_path)


@pytest.mark.parametrize(
    ("behavior", "is_local", "runs"),
    [
        (PullBehavior.DEFAULT, True, True),
        (PullBehavior.DEFAULT, False, False),
        (PullBehavior.ALWAYS, True, False),
        (PullBehavior.ONCE, True, False),
        (PullBehavior.PREFER_CACHED, False, False),
    ],
)
def test_what_the_registry_refuses_for_good_is_not_asked_again(behavior, is_local, runs, tmp_path):
    @host_test
    async def story(path):
        host = Machine(path, pull=PullSettings(behavior=behavior))
        host.runtime.unknown = {"i"}
        host.runtime.missing = set() if is_local else {"i"}
        backend = await host.boot()
        await host.run("t", container())
        at = await backend.wait_for("t", "RUNNING" if runs else "STOPPED")
        assert at < 1
        if not runs:
            assert host.container("t").reason == "CannotPullImageManifestError: manifest unknown"
        await host.kill()

    story(tmp_path)


@host_test
async def test_a_registry_that_is_away_is_asked_nine_times_and_five_and_each_task_waits_its_own_time(tmp_path):
    host = Machine(tmp_path, pull=PullSettings(behavior=PullBehavior.ALWAYS))
    backend = await host.boot()
    for task in ("t", "u"):
        host.runtime.faults["manifest"] = 9
        began = now()
        await host.run(task, container())
        assert await backend.wait_for(task, "STOPPED") - began == pytest.approx(13.64, abs=0.01)
        assert host.container(task).reason.startswith("CannotPullImageManifestError")
    host.runtime.faults["pull"] = 4
    began = now()
    await host.run("v", container())
    assert await backend.wait_for("v", "RUNNING") - began == pytest.approx(1.1 + 2.2 + 4.4 + 5 + 0.6)
    await host.kill()


@host_test
async def test_a_pull_that_takes_too_long_is_a_docker_time_out(tmp_path):
    host = Machine(tmp_path, pull=PullSettings(behavior=PullBehavior.ALWAYS, limit_seconds=600))
    host.runtime.pull_seconds = 7200
    backend = await host.boot()
    await host.run("t", container())
    assert await backend.wait_for("t", "STOPPED") == 600
    assert host.container("t").reason == (
        "DockerTimeoutError: Could not transition to pulled; timed out after waiting 600s"
    )
    await host.kill()


@host_test
async def test_a_stop_during_a_pull_ends_at_once_and_the_pull_with_it(tmp_path):
    """TestStopWithPendingStops: the image of a stopped task is never pulled to its end."""
    host = Machine(tmp_path)
    host.runtime.pull_seconds = 600
    backend = await host.boot()
    await host.run("t", container())
    await asyncio.sleep(10)
    await host.stop("t")
    assert await backend.wait_for("t", "STOPPED") == 10
    assert backend.full[-1][1].containers[0].exit_code is None
    await asyncio.sleep(1000)
    assert host.runtime.pulled == []
    assert host.calls("create") == []
    await host.kill()


@host_test
async def test_a_stop_during_a_create_ends_at_once_and_what_appears_later_is_removed(tmp_path):
    for cleanup_seconds in (0.01, 3600):
        host = Machine(tmp_path / str(cleanup_seconds), cleanup_seconds=cleanup_seconds)
        backend = await host.boot()
        began = now()
        await host.run("t", container())
        await asyncio.sleep(0.1)
        await host.stop("t")
        assert await backend.wait_for("t", "STOPPED") == pytest.approx(began + 0.1)
        await asyncio.sleep(1)
        assert host.calls("start") == []
        assert await host.runtime.containers() == [], "even where the task is forgotten already"
        await host.kill()


@host_test
async def test_what_was_created_while_the_agent_died_for_a_task_that_was_stopped_is_removed(tmp_path):
    host = Machine(tmp_path)
    await host.boot()
    await host.run("t", container())
    await asyncio.sleep(0.1)
    await host.stop("t")
    await host.kill()
    await host.runtime.create(host.engine.task("t").spec, container())
    await host.boot()
    await asyncio.sleep(1)
    assert await host.runtime.containers() == []
    await host.kill()


# ---- images


def image(name, pulled_at=0, used_at=0, *, is_ours=True):
    return PulledImage(name=name, pulled_at=pulled_at, used_at=used_at, is_ours=is_ours)


def test_only_images_that_we_brought_that_are_old_and_unused_are_removed_the_longest_unused_first():
    rule = CleanUp(age_seconds_min=100)
    images = [
        image("newer", used_at=30),
        image("oldest", used_at=10),
        image("young", pulled_at=950),
        image("needed"),
        image("theirs", is_ours=False),
        image("older", used_at=20),
    ]
    assert removable(images, {"needed"}, rule, 1000) == ["oldest", "older", "newer"]


@host_test
async def test_so_many_a_cycle_and_one_that_somebody_has_stands_in_nobodys_way(tmp_path):
    names = ["a", "b", "c"]
    clean_up = CleanUp(interval_seconds=100, age_seconds_min=0, images_per_cycle=1)
    host = Machine(tmp_path, cleanup_seconds=1, pull=PullSettings(clean_up=clean_up))
    host.runtime.missing = set(names)
    backend = await host.boot()
    for name in names:
        await host.run(f"task-{name}", container(image=name, RUN_SECONDS="1"))
        await backend.wait_for(f"task-{name}", "STOPPED")
    host.runtime.faults["remove_image"] = 1
    for _ in range(3):
        await asyncio.sleep(100)
        host.runtime.calls.append(("cycle", ""))
    assert [name or verb for verb, name in host.calls("remove_image", "cycle")] == [
        "a",
        "b",
        "cycle",
        "a",
        "cycle",
        "c",
        "cycle",
    ]
    await host.kill()


@host_test
async def test_an_image_is_removed_after_its_last_task_is_forgotten_also_by_the_next_agent(tmp_path):
    host = Machine(tmp_path, cleanup_seconds=100)
    host.runtime.missing = {"ours"}
    backend = await host.boot()
    await host.run("t", container(image="ours", RUN_SECONDS="1"), container("side", image="theirs"))
    await backend.wait_for("t", "STOPPED")
    await host.kill()
    await host.boot()
    await asyncio.sleep(1800 * 3 + 1)
    assert [name for _, name in host.calls("remove_image")] == ["ours"]
    assert host.journal.images() == [i for i in host.journal.images() if i.name == "theirs"]
    await host.kill()


@pytest.mark.parametrize(
    "pull", [PullSettings(clean_up=None), PullSettings(behavior=PullBehavior.PREFER_CACHED)], ids=["off", "cached"]
)
def test_image_clean_up_can_be_off(pull, tmp_path):
    @host_test
    async def story(path):
        host = Machine(path, cleanup_seconds=1, pull=pull)
        host.runtime.missing = {"ours"}
        backend = await host.boot()
        await host.run("t", container(image="ours", RUN_SECONDS="1"))
        await backend.wait_for("t", "STOPPED")
        await asyncio.sleep(24 * 3600)
        assert host.calls("remove_image") == []
        await host.kill()

    story(tmp_path)
