"""The record of an account's settings."""

from typing import ClassVar

from controlplane.core.record import Record


class AccountSetting(Record, frozen=True, kw_only=True, omit_defaults=True):
    """An account setting that a principal (ARN) was given. Key: principal + name."""

    table: ClassVar[str] = "account_settings"

    principal: str
    name: str
    value: str

    @property
    def key(self) -> str:
        return f"{self.principal} {self.name}"
