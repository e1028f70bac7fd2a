"""Keys on their way to programs that a person starts: as AWS tools have them, temporary ones whole."""

import pytest

from berth.access import access_of, access_of_user
from berth.signing import Signer

TEMPORARY = {"AWS_ACCESS_KEY_ID": "ASIATEST", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}


@pytest.fixture(autouse=True)
def no_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in ("AWS_PROFILE", *TEMPORARY):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, f"{tmp_path}/none")


def test_temporary_keys_reach_the_hosts_of_groups_with_their_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TEMPORARY.items():
        monkeypatch.setenv(name, value)
    access = access_of_user()
    assert access.credentials() | TEMPORARY == access.credentials()
    (signer,) = access.client("http://127.0.0.1:1")._signing
    assert isinstance(signer, Signer)
    assert signer.credentials.get_frozen_credentials()[:3] == ("ASIATEST", "s", "t")


def test_lasting_keys_come_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert "AWS_SESSION_TOKEN" not in access_of_user().credentials()
    assert "AWS_SESSION_TOKEN" not in access_of(None, None, None, "off").credentials()
