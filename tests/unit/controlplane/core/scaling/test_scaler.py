"""One look after the other at a service of a toy cluster: deployments, cooldowns, activities, alarms."""

from functools import partial

import msgspec
import pytest
from toy_cluster import TASK, ToyCluster

from controlplane.core.model import Controller
from controlplane.core.rollouts import Alarm
from controlplane.core.scaling import scaler
from controlplane.core.scaling.metrics import Book, Statistic, metric, one
from controlplane.core.scaling.model import (
    Adjustment,
    Comparison,
    MetricAlarm,
    ScalableTarget,
    ScalingPolicy,
    Status,
    Step,
    Stepping,
    Tracking,
)
from controlplane.core.scaling.scaler import Minute
from controlplane.core.view import Draft
from controlplane.store.records import decode, encode

ORDERS = metric("Shop", "Orders", {})
RESOURCE = "service/default/web"


class Scaled:
    """A service with one tracking policy; minutes pass one by one."""

    def __init__(self, desired: int = 2, **members: object) -> None:
        self.toy = ToyCluster(hosts=6)
        self.service = self.toy.create_service(self.toy.define(TASK), desired=desired, **members)
        self.toy.run(60)
        self.book, self.minute = Book(), 0
        target = ScalableTarget(resource=RESOURCE, arn="t", service=self.service, minimum=1, maximum=10)
        tracking = Tracking(target=10, metric=ORDERS)
        policy = ScalingPolicy(
            resource=RESOURCE, name="p", arn="arn:p", tracking=tracking, alarms=("high", "low"), created_at=0
        )
        for record in (target, policy):
            self.toy.decide("set up", partial(Draft.put, record=record))

    def pass_minutes(self, value: float, count: int) -> None:
        """So many minutes have this value; each is looked at."""
        for _ in range(count):
            self.minute += 1
            self.toy.run(60)
            self.book.put(ORDERS, one(value), self.minute)
            self.toy.decide("look", self._look)

    def _look(self, draft: Draft) -> None:
        scaler.settle(draft)
        target = draft.record(ScalableTarget, RESOURCE)
        assert target is not None
        scaler.look(draft, target, self.book, Minute(self.minute, 1), self.toy.names)

    def looks(self) -> list[dict]:
        return [line.data for line in self.toy.story if line.kind == "service.scaling"]

    def desired(self) -> int:
        return self.toy.service(self.service).desired_count

    def statuses(self) -> list[Status]:
        return [activity.status for activity in scaler.activities_of(self.toy.state, RESOURCE)]


def test_a_day_of_a_service() -> None:
    it = Scaled()
    it.pass_minutes(20, 2)
    assert it.desired() == 2, "two of three datapoints"
    it.pass_minutes(20, 1)
    assert it.desired() == 4
    it.pass_minutes(15, 4)
    assert it.desired() == 4, "it cools down: 3 were enough for what was there before"
    it.pass_minutes(15, 1)
    assert it.desired() == 6, "300 s later it is counted from 4"
    assert it.statuses() == [Status.IN_PROGRESS, Status.SUCCESSFUL]
    it.pass_minutes(1, 14)
    assert it.desired() == 6
    it.pass_minutes(1, 1)
    assert it.desired() == 3, "half at most"
    it.pass_minutes(1, 4)
    assert it.desired() == 3
    it.pass_minutes(1, 1)
    assert it.desired() == 2
    it.toy.run(60)
    it.toy.decide("settle", scaler.settle)
    assert it.statuses() == [Status.SUCCESSFUL] * 4
    assert len(it.toy.live(it.service)) == 2
    assert all(look["why"] for look in it.looks())


@pytest.mark.parametrize(("controller", "expected"), [(Controller.ECS, 4), (Controller.EXTERNAL, 2)])
def test_nothing_is_taken_away_during_a_deployment(controller: Controller, expected: int) -> None:
    it = Scaled(desired=4)
    it.pass_minutes(1, 14)
    it.book.put(ORDERS, one(1), it.minute + 1)
    draft = Draft(it.toy.state, now=it.toy.now, cause="test")
    standing = it.toy.service(it.service)
    rolling = tuple(msgspec.structs.replace(each, rollout_state="IN_PROGRESS") for each in standing.deployments)
    draft.put(msgspec.structs.replace(standing, deployments=rolling, controller=controller))
    target = draft.record(ScalableTarget, RESOURCE)
    assert target is not None
    verdict = scaler.look(draft, target, it.book, Minute(it.minute + 1, 1), it.toy.names)
    assert verdict is not None
    assert verdict.desired == expected
    assert verdict.why.endswith("a deployment is in progress") is (controller is Controller.ECS)


ALARM = MetricAlarm(
    name="busy", arn="a", metric=ORDERS, periods=3, breaches=2, threshold=10, comparison=Comparison.ABOVE
)


@pytest.mark.parametrize(
    ("values", "was", "rings"),
    [
        ([11, 9, 11], False, True),
        ([11, 9, 9], True, False),
        ([11, 11], False, False),  # too few: it stays
        ([11, 11], True, True),
        ([], True, True),  # never measured: as somebody set it
    ],
)
def test_an_alarm_over_two_of_three_datapoints(values: list[float], *, was: bool, rings: bool) -> None:
    book, toy = Book(), ToyCluster()
    for minute, value in enumerate(values, start=1):
        book.put(ORDERS, one(value), minute)
    toy.decide("set", lambda draft: draft.put(Alarm(name="busy", is_ringing=was, updated_at=0)))
    toy.decide("ring", lambda draft: scaler.ring(draft, ALARM, book, Minute(max(len(values), 1), 1)))
    known = toy.state.record(Alarm, "busy")
    assert known is not None
    assert known.is_ringing is rings


def test_an_alarm_that_is_measured_no_more_is_silent() -> None:
    book, toy = Book(), ToyCluster()
    book.put(ORDERS, one(11), 1)
    toy.decide("set", lambda draft: draft.put(Alarm(name="busy", is_ringing=True, updated_at=0)))
    toy.decide("ring", lambda draft: scaler.ring(draft, ALARM, book, Minute(50, 1)))
    known = toy.state.record(Alarm, "busy")
    assert known is not None
    assert not known.is_ringing


def test_records_come_back_as_they_were() -> None:
    stepping = Stepping(adjustment=Adjustment.PERCENT, steps=(Step(lower=0, adjustment=10),), least_change=2)
    tracking = Tracking(target=10, metric=metric("Shop", "Orders", {"b": "1", "a": "2"}), statistic=Statistic.SUM)
    for record in (
        ScalingPolicy(resource=RESOURCE, name="p", arn="a", stepping=stepping),
        ScalingPolicy(resource=RESOURCE, name="p", arn="a", tracking=tracking),
        ALARM,
    ):
        assert decode(record.table, encode(record)) == record
