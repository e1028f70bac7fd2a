"""One call of the API, as a handler sees it: the checked request, the clock, the dice, the names of this account.

A handler is a plain function. A *reader* looks at the state; a *writer* works on a draft, which the dispatcher commits
before anybody sees the answer, and hands in anew where the world has moved.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from controlplane.core.capacity.pace import Pace
from controlplane.core.names import Names
from controlplane.core.policy import Policy
from controlplane.core.state import State
from controlplane.core.view import Draft, View
from wire.arn import ArnMaker


class Account(NamedTuple):
    """What all calls share: whose resources these are, the policy that a new cluster gets, the scaler's clock."""

    names: Names
    policy: Policy
    pace: Pace = Pace()

    @property
    def user_arn(self) -> str:
        """Who is said to have made things (`registeredBy`, `createdBy`)."""
        return f"arn:aws:iam::{self.names.arns.account}:root"


class Call(msgspec.Struct, frozen=True):
    """One request. `body` has passed the model, its unknown members included."""

    operation: str
    body: dict[str, Any]
    id: str
    """The request id: what `x-amzn-RequestId` says, and the `cause` of everything that this call leads to."""
    now: float
    """Epoch seconds."""
    account: Account
    url: str
    """Where the caller reached us, `http://host:port`."""

    @property
    def arns(self) -> ArnMaker:
        """Maker of this account's ARNs."""
        return self.account.names.arns

    @property
    def names(self) -> Names:
        """Maker of names for new things, and the dice."""
        return self.account.names

    def text(self, member: str, default: str = "") -> str:
        """A string member of the request."""
        value: str = self.body.get(member, default)
        return value


Answer = dict[str, Any]
Reader = Callable[[View, Call], Answer]
Writer = Callable[[Draft, Call], Answer]

__all__ = ["Account", "Answer", "Call", "Draft", "Reader", "State", "View", "Writer"]
