"""Who ends a hold on the placement ledger, and when: the policy's switch `hold_ends`, read in one place.

In every case the reported STOPPED ends it at the latest.
"""

from controlplane.core.model import Instance, Release
from controlplane.core.policy import HoldEnds, Policy


def ends_at_stop(policy: Policy, instance: Instance | None) -> bool:
    """Whether the stop request itself frees the room. An instance that has gone has nothing to report any more."""
    if policy.hold_ends is HoldEnds.STOP_REQUEST:
        return True
    return policy.hold_ends is HoldEnds.AGENT_REPORT and (instance is None or instance.release is Release.NONE)


def ends_at_report(policy: Policy) -> bool:
    """Whether the agent's report of the release frees the room."""
    return policy.hold_ends is HoldEnds.AGENT_REPORT


def ends_at_deadline(policy: Policy) -> bool:
    """Whether the room is free once signal and stopTimeout have gone by."""
    return policy.hold_ends is HoldEnds.DEADLINE
