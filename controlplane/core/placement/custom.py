"""A scheduler of one's own: a Python object that chooses instances in the place of the engine.

    class MyScheduler:
        def place(self, requests, view, dice): ...   # -> Placements

It proposes and never commits. What it answers is held against the shape and against the same looks as the engine's own
choice; a placement that does not fit is refused with a sentence and takes no room. So it can choose badly, but neither
over-commit an instance nor pass a constraint over. This module calls it and trusts nothing of what comes back.
"""

from collections.abc import Sequence
from typing import Protocol

from controlplane.core.names import Dice
from controlplane.core.placement import explain
from controlplane.core.placement.explain import Refusal
from controlplane.core.placement.field import Field
from controlplane.core.placement.request import Caution, Chooser, Request
from controlplane.core.view import View

BUILT_IN = "berth"
"""Name of the engine itself."""
Placements = Sequence[Sequence[str]]
"""For each request the instance (ARN) of each copy, in order; fewer than `count` where fewer fit."""


class Scheduler(Protocol):
    """What is loaded by the entry point group `berth.schedulers`."""

    def place(self, requests: Sequence[Request], view: View, dice: Dice) -> Placements:
        """Choose. `view` is to be read within the call only; all chance comes from `dice`. Do not wait for anything."""
        ...


installed: dict[str, Scheduler] = {}
"""By name. Filled once, when the control plane starts."""


def chooser_of(view: View, request: Request) -> str | None:
    """The name of the scheduler that is asked; None: the engine, which alone knows what is empty."""
    cluster = view.cluster(request.cluster)
    if cluster is None or cluster.policy.scheduler == BUILT_IN:
        return None
    is_engines = request.chooser is Chooser.ENGINE or request.caution is Caution.ONLY_EMPTY
    return None if is_engines else cluster.policy.scheduler


def choose(name: str, view: View, request: Request, dice: Dice) -> tuple[list[str], list[Refusal]]:
    """The instances that the scheduler chose, as far as they fit, and why the rest were refused."""
    scheduler = installed.get(name)
    if scheduler is None:
        return [], [_fault(name, "is not installed where the control plane runs")]
    try:
        placements = scheduler.place((request,), view, dice)
    except Exception as error:  # noqa: BLE001 - somebody else's code: whatever it does, the control plane goes on
        return [], [_fault(name, f"broke: {type(error).__name__}: {error}")]
    shape = _misshapen(placements, request)
    if shape:
        return [], [_fault(name, shape)]
    return _checked(name, view, request, placements[0])


def _checked(name: str, view: View, request: Request, chosen: Sequence[str]) -> tuple[list[str], list[Refusal]]:
    field = Field(view, request)
    index_of = {instance.arn: index for index, instance in enumerate(field.instances)}
    placed: list[str] = []
    refusals: list[Refusal] = []
    for arn in chosen:
        index = index_of.get(arn)
        if index is None or not field.looked_at[index]:
            refusals.append(_fault(name, f"chose {arn}, which is no instance of the cluster"))
        elif field.fits[index]:
            field.take_one(index)
            placed.append(arn)
        else:
            refusal = field.refusal(index)
            assert refusal is not None
            refusals.append(Refusal(arn, refusal.reason, refusal.missing, f"{refusal.lacks} (chosen by {name})"))
    if len(placed) + len(refusals) < request.count:
        refusals.append(_fault(name, f"found a place for {len(chosen)} of {request.count}"))
    return placed, refusals


def _misshapen(placements: object, request: Request) -> str:
    if not isinstance(placements, Sequence) or isinstance(placements, str) or len(placements) != 1:
        return "did not answer with one list for each request"
    chosen = placements[0]
    if not isinstance(chosen, Sequence) or isinstance(chosen, str) or not all(isinstance(arn, str) for arn in chosen):
        return "did not answer with a list of instance ARNs"
    return f"chose {len(chosen)} instances for {request.count} copies" if len(chosen) > request.count else ""


def _fault(name: str, sentence: str) -> Refusal:
    return Refusal(name, explain.SCHEDULER, lacks=f"the scheduler {name} {sentence}")
