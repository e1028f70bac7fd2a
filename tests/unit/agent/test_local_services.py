"""Credentials, task protection, limits, furnishing: what stands beside the metadata."""

import asyncio
import json
from types import SimpleNamespace

import msgspec
import pytest
from local_world import ARN, IDS, OTHER_ARN, ROLE_ID, FakeLooks, books, inspected, served, task

from agent.backend.ecsclient import BackendUnreachableError
from agent.config import read
from agent.core.ladder import Known
from agent.core.spec import ContainerSpec, TaskSpec
from agent.local import credentials
from agent.local.furnish import FILE, Furnisher, MetadataFile, Roles
from agent.local.limit import Bucket, limited
from agent.local.protection import Protection
from agent.runtime.looking import DockerLooks
from wire.errors import AwsError

MAIN = IDS.endpoint(ARN, "main")
STATE = f"/api/{MAIN}/task-protection/v1/state"
ROLE = SimpleNamespace(
    role_arn="arn:role",
    access_key_id="AK",
    secret_access_key="SK",
    session_token="T",
    expiration="2027-01-01T00:00:00Z",
)


class Store:
    """Credentials by id."""

    def __init__(self, **known):
        self.known = {name.replace("_", "-"): value for name, value in known.items()}

    def get(self, credentials_id):
        return self.known.get(credentials_id)


WITH_ROLE = Store(role_credentials_id=ROLE)

# ---- credentials ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [f"/v2/credentials/{ROLE_ID}", f"/v1/credentials?id={ROLE_ID}"])
async def test_credentials_of_the_role(path):
    routes = credentials.routes(books([task(credentials_id=ROLE_ID)], FakeLooks(inspected())), WITH_ROLE)
    async with served(routes) as ask:
        assert await ask(path) == (
            200,
            {
                "RoleArn": "arn:role",
                "AccessKeyId": "AK",
                "SecretAccessKey": "SK",
                "Token": "T",
                "Expiration": "2027-01-01T00:00:00Z",
            },
        )


@pytest.mark.parametrize(
    ("path", "store", "status", "code"),
    [
        ("/v2/credentials/", WITH_ROLE, 400, "NoIdInRequest"),
        ("/v1/credentials", WITH_ROLE, 400, "NoIdInRequest"),
        ("/v2/credentials/other", WITH_ROLE, 400, "InvalidIdInRequest"),
        (f"/v2/credentials/{ROLE_ID}", Store(), 503, "CredentialsUninitialized"),
    ],
)
async def test_credentials_that_cannot_be_had(path, store, status, code):
    routes = credentials.routes(books([task(credentials_id=ROLE_ID)], FakeLooks(inspected())), store)
    async with served(routes) as ask:
        got, said = await ask(path)
        assert (got, said["code"], said["HTTPErrorCode"]) == (status, code, status)


async def test_a_task_that_has_stopped_has_no_credentials():
    over = task(known=Known.STOPPED, credentials_id=ROLE_ID)
    async with served(credentials.routes(books([over], FakeLooks(inspected())), WITH_ROLE)) as ask:
        assert (await ask(f"/v2/credentials/{ROLE_ID}"))[1]["code"] == "InvalidIdInRequest"


async def test_credentials_of_another_task_are_not_found():
    looks = FakeLooks(inspected(address="172.17.0.2"), inspected(OTHER_ARN, "127.0.0.1"))
    all_books = books([task(credentials_id=ROLE_ID), task(OTHER_ARN)], looks, own=())
    assert await all_books.may_ask("172.17.0.2", task())
    assert not await all_books.may_ask("172.17.0.9", task())


# ---- protection ----------------------------------------------------------------------------------------------------


class Plane:
    """A control plane that answers protection calls as told."""

    def __init__(self, said):
        self.said, self.asked, self.signed_by = said, [], None

    def of(self, role):
        self.signed_by = role
        return self

    async def call(self, operation, body):
        self.asked.append((operation, body))
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def protection(plane, store=WITH_ROLE, credentials_id=ROLE_ID):
    tasks = [task(credentials_id=credentials_id)]
    return Protection(books(tasks, FakeLooks(inspected())), store, plane.of, "default").routes()


PROTECTED = {"protectedTasks": [{"taskArn": ARN, "protectionEnabled": True, "expirationDate": 1_800_000_000}]}


async def test_protection_is_put_with_the_roles_credentials():
    plane = Plane(PROTECTED)
    async with served(protection(plane)) as ask:
        put = await ask(STATE, "PUT", json={"ProtectionEnabled": True, "ExpiresInMinutes": 60})
        shape = {"ExpirationDate": "2027-01-15T08:00:00Z", "ProtectionEnabled": True, "TaskArn": ARN}
        assert put == (200, {"protection": shape})
        assert plane.signed_by is ROLE
        body = {"cluster": "default", "tasks": [ARN], "protectionEnabled": True, "expiresInMinutes": 60}
        assert plane.asked == [("UpdateTaskProtection", body)]
        assert (await ask(STATE))[1] == {"protection": shape}
        assert plane.asked[-1] == ("GetTaskProtection", {"cluster": "default", "tasks": [ARN]})


async def test_a_failure_of_the_task_is_an_answer():
    plane = Plane({"failures": [{"arn": ARN, "reason": "TASK_NOT_VALID", "detail": "why"}], "protectedTasks": []})
    async with served(protection(plane)) as ask:
        failure = {"failure": {"Arn": ARN, "Reason": "TASK_NOT_VALID", "Detail": "why"}}
        assert await ask(STATE) == (200, failure)


def _refused(code, status=400, request_id=""):
    error = AwsError("no", code=code, status=status)
    error.request_id = request_id
    return error


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (_refused("ClusterNotFoundException"), 400, "ClusterNotFoundException"),
        (_refused("ServerException", 500), 500, "ServerException"),
        (BackendUnreachableError("gone"), 500, "ServerException"),
        (TimeoutError(), 504, "RequestCanceled"),
    ],
)
async def test_what_goes_wrong_behind_is_passed_on(said, status, code):
    async with served(protection(Plane(said))) as ask:
        got, body = await ask(STATE)
        assert (got, body["error"]["Code"], body["error"]["Arn"]) == (status, code, ARN)
        assert "requestID" not in body
    async with served(protection(Plane(_refused("X", request_id="r-1")))) as ask:
        assert (await ask(STATE))[1]["requestID"] == "r-1"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "UpdateTaskProtection: failed to decode request"),
        (b'{"ProtectionEnabled":true,"Extra":1}', "UpdateTaskProtection: failed to decode request"),
        (b'{"ProtectionEnabled":"yes"}', "UpdateTaskProtection: failed to decode request"),
        (b"{}", "Invalid request: does not contain 'ProtectionEnabled' field"),
    ],
)
async def test_a_wrong_request_is_400_in_amazons_words(body, message):
    async with served(protection(Plane(PROTECTED))) as ask:
        status, said = await ask(STATE, "PUT", data=body)
        assert (status, said["error"]["Code"]) == (400, "InvalidParameterException")
        assert said["error"]["Message"] == message


async def test_without_a_role_and_without_a_task():
    async with served(protection(Plane(PROTECTED), credentials_id="")) as ask:
        status, said = await ask(STATE)
        assert (status, said["error"]["Code"]) == (403, "AccessDeniedException")
        assert said["error"]["Message"] == "Invalid Request: no task IAM role credentials available for task"
    async with served(protection(Plane(PROTECTED))) as ask:
        status, said = await ask("/api/guess/task-protection/v1/state")
        assert (status, said["error"]["Code"]) == (404, "ResourceNotFoundException")


# ---- the limit -----------------------------------------------------------------------------------------------------


def test_the_bucket_lets_a_burst_in_and_then_the_rate():
    bucket = Bucket(40, 60, now=0)
    assert [bucket.take(0) for _ in range(61)] == [True] * 60 + [False]
    assert bucket.take(0.025)
    assert not bucket.take(0.026)
    assert sum(bucket.take(100) for _ in range(100)) == 60, "it does not save up more than a burst"


async def test_beyond_the_limit_is_429():
    routes = credentials.routes(books([], FakeLooks()), Store())
    async with served(routes, [limited(Bucket(1, 2, 0), lambda: 0.0)]) as ask:
        assert [(await ask("/v2/credentials/x"))[0] for _ in range(3)] == [400, 400, 429]


@pytest.mark.parametrize(("text", "value"), [("10,20", (10, 20)), ("", (40, 60)), ("9", (40, 60)), ("20,10", (40, 60))])
def test_the_limit_is_configured(text, value):
    config = read({"ECS_BACKEND_HOST": "http://h", "ECS_TASK_METADATA_RPS_LIMIT": text})
    assert (config.local.rate_per_second, config.local.burst) == value
    assert len(config.warnings) == (1 if text and value == (40, 60) else 0)


# ---- what containers are given -------------------------------------------------------------------------------------

SPEC = TaskSpec(arn=ARN, family="web", version="3", containers=(ContainerSpec(name="main", image="i"),))


def environment(base="http://172.17.0.1:51679", spec=SPEC, image=(), **own):
    container = ContainerSpec(name="main", image="i", environment=own)
    furnisher = Furnisher(IDS, base=base, region="us-east-1", file=None)
    return furnisher.furnish(spec, container, image).environment


def test_the_variables_of_a_container():
    assert environment(A="b") == {
        "A": "b",
        "ECS_CONTAINER_METADATA_URI": f"http://172.17.0.1:51679/v3/{MAIN}",
        "ECS_CONTAINER_METADATA_URI_V4": f"http://172.17.0.1:51679/v4/{MAIN}",
        "ECS_AGENT_URI": f"http://172.17.0.1:51679/api/{MAIN}",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with_role = TaskSpec(arn=ARN, credentials_id="c")
    assert environment(spec=with_role)["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] == "/v2/credentials/c"


@pytest.mark.parametrize("own", [{"AWS_REGION": "x"}, {"AWS_DEFAULT_REGION": "x"}])
def test_a_region_of_the_tasks_or_the_images_own_stands(own):
    assert {name for name in environment(**own) if name.startswith("AWS")} == set(own)
    assert not any(name.startswith("AWS") for name in environment(image=set(own)))


def test_the_metadata_file_is_written_completed_and_removed(tmp_path):
    tasks = [(ARN, "main")]
    file = MetadataFile(
        IDS, folder=tmp_path, host_folder=tmp_path / "outside", known={"Cluster": "default"}, tasks=lambda: tasks
    )
    furnisher = Furnisher(IDS, base="", region="r", file=file)
    made = furnisher.furnish(SPEC, ContainerSpec(name="main", image="i", host_config='{"Binds":["/a:/b"]}'), ())
    folder = IDS.folder(ARN, "main")
    inside = f"/opt/ecs/metadata/{folder}"
    assert made.environment["ECS_CONTAINER_METADATA_FILE"] == f"{inside}/{FILE}"
    assert json.loads(made.host_config)["Binds"] == ["/a:/b", f"{tmp_path}/outside/{folder}:{inside}"]
    written = json.loads((tmp_path / folder / FILE).read_text())
    assert written["TaskARN"] == ARN
    assert "MetadataFileStatus" not in written
    furnisher.started(ARN, "main", inspected())
    whole = json.loads((tmp_path / folder / FILE).read_text())
    assert (whole["MetadataFileStatus"], whole["Cluster"]) == ("READY", "default")
    assert whole["Networks"] == [{"NetworkMode": "default", "IPv4Addresses": ["172.17.0.2"]}]
    furnisher.removed()
    assert (tmp_path / folder).exists(), "its task is still known"
    tasks.clear()
    furnisher.removed()
    assert not (tmp_path / folder).exists()


def test_a_file_that_cannot_be_completed_is_a_warning(tmp_path, caplog):
    file = MetadataFile(IDS, folder=tmp_path, host_folder=tmp_path, known={}, tasks=list)
    file.complete(ARN, "main", inspected())
    assert "not complete" in caplog.text


async def test_equal_questions_are_asked_once():
    looks = DockerLooks()
    asked = []

    class Client:
        def inspect_container(self, docker_id):
            asked.append(docker_id)
            return {"Id": docker_id}

    looks._client = Client()
    assert await asyncio.gather(*(looks.describe("a") for _ in range(20))) == [{"Id": "a"}] * 20
    assert await looks.describe("a") == {"Id": "a"}
    assert asked == ["a"]
    await looks.describe("a", fresh=True)
    assert asked == ["a", "a"]
    await looks.close()


def test_an_sdk_in_host_mode_is_shown_the_loopback_and_a_host_without_roles_shows_nothing():
    spec = msgspec.structs.replace(SPEC, credentials_id="id", network_mode="host")
    full = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    assert environment(spec=spec)[full] == "http://127.0.0.1:51679/v2/credentials/id"
    assert full not in environment(spec=spec, base="http://169.254.170.2")
    for roles in (Roles(on_host=False), Roles(on_host=False, elsewhere=False)):
        furnisher = Furnisher(IDS, base="", region="r", file=None, roles=roles)
        bridged = msgspec.structs.replace(spec, network_mode="bridge")
        shown = [furnisher.environment(s, ContainerSpec(name="main", image="i"), ()) for s in (spec, bridged)]
        assert ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" in variables for variables in shown] == [
            False,
            roles.elsewhere,
        ]
