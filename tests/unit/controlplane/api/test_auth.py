"""Signatures: botocore signs, we verify; and what is not signed right is told so by AWS's name for it."""

import re
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict

from controlplane.api.auth import verify
from controlplane.api.http import Request, lower
from controlplane.api.keys import KeyRing, Keys
from wire.errors import AwsError

KEYS = Keys("AKIDTEST", "secret")
BODY = b'{"cluster":"default"}'


def signed(
    keys: Keys = KEYS,
    *,
    method: str = "POST",
    path: str = "/",
    body: bytes = BODY,
    service: str = "ecs",
    **afterwards: str,
) -> CIMultiDict[str]:
    request = AWSRequest(
        method=method,
        url=f"http://127.0.0.1:6333{path}",
        data=body,
        headers={"Host": "127.0.0.1:6333", "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListTasks"},
    )
    SigV4Auth(Credentials(*keys), service, "eu-central-1").add_auth(request)
    return CIMultiDict({**dict(request.headers.items()), **afterwards})


def check(
    headers: CIMultiDict[str], *, method: str = "POST", path: str = "/", body: bytes = BODY, late: float = 0
) -> None:
    now = datetime.now(UTC).timestamp() + late
    verify(KeyRing((KEYS,)), Request(method, path, lower(headers), body, "http"), now)


def refusal(headers: CIMultiDict[str], **changes: object) -> str:
    return refused(headers, **changes).code


def refused(headers: CIMultiDict[str], **changes: object) -> AwsError:
    with pytest.raises(AwsError) as refused:
        check(headers, **changes)  # type: ignore[arg-type]
    assert refused.value.status == 403
    return refused.value


def test_a_signature_of_botocore_passes():
    check(signed())


def test_what_is_signed_for_the_logs_on_this_port_passes_and_for_another_service_does_not():
    check(signed(service="logs"))
    assert refusal(signed(service="s3")) == "IncompleteSignatureException"


def test_a_signed_websocket_upgrade_passes():
    path = "/acs/ws?agentVersion=1.0&clusterArn=default&containerInstanceArn=arn%3Aaws%3Aecs"
    check(signed(method="GET", path=path, body=b""), method="GET", path=path, body=b"")


def test_a_query_is_signed_in_its_canonical_form() -> None:
    """A client may send `:` where it has signed `%3A`."""
    signature = signed(method="GET", path="/acs/ws?containerInstanceArn=arn%3Aaws%3Aecs&a=", body=b"")
    check(signature, method="GET", path="/acs/ws?a=&containerInstanceArn=arn:aws:ecs", body=b"")


def test_a_header_that_was_not_signed_may_be_added():
    check(signed(**{"User-Agent": "somebody", "Connection": "keep-alive"}))


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (CIMultiDict(), "MissingAuthenticationTokenException"),
        (CIMultiDict({"Authorization": "Basic c29tZWJvZHk="}), "IncompleteSignatureException"),
        (signed(Keys("AKIDOTHER", "secret")), "UnrecognizedClientException"),
        (signed(Keys("AKIDTEST", "guess")), "InvalidSignatureException"),
        (signed(**{"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.DeleteCluster"}), "InvalidSignatureException"),
        (signed(**{"X-Amz-Added": "1"}), "IncompleteSignatureException"),
        (signed(**{"X-Amz-Date": "today"}), "IncompleteSignatureException"),
    ],
)
def test_what_is_not_signed_right_is_refused_by_name(headers: CIMultiDict[str], code: str):
    assert refusal(headers) == code


def test_another_body_is_refused():
    assert refusal(signed(), body=b'{"cluster":"other"}') == "InvalidSignatureException"


def test_another_path_is_refused():
    assert refusal(signed(), path="/?x=1") == "InvalidSignatureException"


@pytest.mark.parametrize(
    ("late", "sentence"),
    [
        (301, r"Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)"),
        (-302, r"Signature not yet current: \d{8}T\d{6}Z is still later than \d{8}T\d{6}Z \(\d{8}T\d{6}Z \+ 5 min\.\)"),
    ],
)
def test_a_clock_that_is_off_is_told_in_aws_words(late: float, sentence: str):
    error = refused(signed(), late=late)
    assert error.code == "InvalidSignatureException"
    assert re.fullmatch(sentence, error.message)


def test_a_clock_that_is_a_little_off_passes():
    check(signed(), late=295)
    check(signed(), late=-295)


def test_the_day_of_the_key_is_the_day_of_the_request():
    headers = signed()
    headers["Authorization"] = re.sub(r"/\d{8}/", "/20200101/", headers["Authorization"])
    assert "Date in Credential scope does not match" in refused(headers).message


@pytest.mark.parametrize("announced", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"])
def test_payloads_that_are_not_signed_whole_are_refused_clearly(announced: str):
    headers = signed(**{"X-Amz-Content-SHA256": announced})
    headers["Authorization"] = headers["Authorization"].replace("host;", "host;x-amz-content-sha256;")
    assert "unsigned and chunked ones are for S3" in refused(headers).message


def test_what_is_not_covered_cannot_be_changed_on_the_way():
    headers = signed()
    headers["Authorization"] = headers["Authorization"].replace("host;", "")
    assert refusal(headers) == "IncompleteSignatureException"


def test_spaces_within_a_header_count_once():
    request = AWSRequest("POST", "http://127.0.0.1:6333/", {"Host": "127.0.0.1:6333", "X-Amz-Odd": "a   b"}, BODY)
    SigV4Auth(Credentials(*KEYS), "ecs", "eu-central-1").add_auth(request)
    check(CIMultiDict(request.headers.items()))


def test_without_keys_everything_passes():
    verify(None, Request("POST", "/", {}, b"", "http"), 0)
