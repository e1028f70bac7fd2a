"""Managed termination protection: a machine with tasks is protected from scale-in, an empty one is not.

Source: ECS Developer Guide, "Managed termination protection".
"""

import msgspec

from controlplane.core.capacity.attachment import instance_of, machines, terms
from controlplane.core.capacity.model import MachineState
from controlplane.core.capacity.occupancy import occupants
from controlplane.core.view import Draft
from wire.story import Kind


def look(draft: Draft, provider: str) -> float | None:
    """Set and clear the protection of the machines of `provider` (name). A no-op where it does not protect."""
    each = terms(draft, provider)
    if each is None or not each.protects:
        return None
    for machine in machines(draft, each.group):
        if machine.state is not MachineState.IN_SERVICE:
            continue
        instance = instance_of(draft, machine, each.cluster)
        is_protected = instance is not None and bool(occupants(draft, instance))
        if is_protected != machine.is_protected:
            draft.put(msgspec.structs.replace(machine, is_protected=is_protected))
            draft.tell(Kind.MACHINE_PROTECTED, machine.id, group=each.group, protected=is_protected)
    return None
