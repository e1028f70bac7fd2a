"""Black-box rows after the integration tests of Amazon's agent: tasks wait for memory and ports, in order."""

import pytest
from definitions import PATIENT

pytestmark = pytest.mark.docker


def test_who_waits_starts_in_order_at_the_exit_and_a_stop_ends_the_waiting(host, free_port_2):
    """TestHostResourceManager{TrickleQueue, ResourceUtilization, StopTaskNotBlockWaitingTasks}, in one story.

    Both: a task starts beside a stopping one where it fits, else when that has stopped; a queued task that is stopped
    is STOPPED at once. Amazon's looks at the queue again after the report; ours within the exit itself.
    """
    large = {"cpu": 10, "memory": 11000}
    port = {"cpu": 10, "memory": 32, "portMappings": [{"containerPort": 80, "hostPort": free_port_2}]}
    patient = {"command": PATIENT, "stopTimeout": 120}
    holder, holder_id = host.running(host.define("holder", **large, **patient))
    served, served_id = host.running(host.define("served", **port, **patient))
    host.ecs.stop_task(task=holder)
    host.ecs.stop_task(task=served)
    host.until(lambda: host.room(host.task(holder)["containerInstanceArn"])[1] > 15000, "both are booked free")
    beside, beside_id = host.running(host.define("beside", cpu=10, memory=2000))
    waits = host.run_task(host.define("next", **large))
    host.ecs.stop_task(task=waits)
    assert "runtimeId" not in host.wait_task(waits, "STOPPED")["containers"][0]
    assert host.state(holder_id)["Running"], "it did not wait for the holder"
    first, second = host.run_task(host.define("first", **large)), host.run_task(host.define("second", **port))
    host.finish(served_id)
    host.events.at("die", served_id, exitCode="0")
    assert [host.task(task)["lastStatus"] for task in (first, second)] == ["PENDING", "PENDING"]
    host.finish(holder_id)
    started = [host.wait_task(task, "RUNNING")["containers"][0]["runtimeId"] for task in (first, second)]
    ended = host.events.at("die", holder_id, exitCode="0")
    assert host.events.at("start", beside_id) < ended, "what fits beside it did not wait"
    assert 0 < host.events.at("start", started[0]) - ended < 20
    assert ended < host.events.at("start", started[1]), "its port was free before"
    assert host.task(beside)["lastStatus"] == "RUNNING"
