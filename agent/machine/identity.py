"""Who the host is: an instance identity document as EC2 gives one, made up once and kept in the data directory.

Source: EC2 User Guide, "Instance identity documents" (member names). On EC2 it comes signed from the metadata service.
"""

import json
import secrets

from agent.journal import Journal

_FACT = "instance-id"


def instance_id(journal: Journal, given: str = "") -> str:
    """`i-` and 17 hex digits, or the `given` one; the same for the life of the data directory."""
    known = journal.fact(_FACT)
    if known is None:
        known = given or f"i-{secrets.token_hex(9)[:17]}"
        journal.note(_FACT, known)
    return known


def document(journal: Journal, *, instance_type: str, zone: str, region: str) -> str:
    """The document, as JSON text."""
    fields = {
        "instanceId": instance_id(journal),
        "instanceType": instance_type,
        "availabilityZone": zone,
        "region": region,
        "version": "2017-09-30",
    }
    return json.dumps(fields)
