"""What a container is associated with: the names of its GPUs, which are all that a task of ours can have.

Source: amazon-ecs-agent `agent/handlers/v3/container_association_handler.go`, `response.go` (and v4's, alike); the
words of the errors are theirs. The content of an association is answered as the control plane sent it: for GPUs,
nothing.
"""

from http import HTTPStatus

from aiohttp import web

from agent.core.state import TaskState
from agent.local.answers import Refusal, answer, refused
from agent.local.books import Books, Found
from agent.local.shapes import V3, V4

GPU = "gpu"


def routes(books: Books) -> list[web.RouteDef]:
    """`/v3` and `/v4`: the names of one type, and one association."""
    return [route for version in (V3, V4) for route in _of_version(books, version)]


def _of_version(books: Books, version: int) -> list[web.RouteDef]:
    async def found(request: web.Request, what: str) -> Found:
        endpoint = request.match_info["endpoint"]
        named = books.by_endpoint(endpoint)
        if named is None or not await books.may_ask(request.remote or "", named.task):
            why = f"{what} from request: unable to get {what} from v3 endpoint ID: {endpoint}"
            raise Refusal(HTTPStatus.BAD_REQUEST, f"V{version} container associations handler: unable to get {why}")
        return named

    async def names(request: web.Request) -> web.Response:
        try:
            container = (await found(request, "container id")).container
        except Refusal as refusal:
            return refused(refusal)
        is_gpu = request.match_info["type"] == GPU
        return answer({"Associations": list(container.spec.gpu_ids) if is_gpu else []})

    async def one(request: web.Request) -> web.Response:
        kind, name = request.match_info["type"], request.match_info["name"]
        try:
            task = (await found(request, "task arn")).task
        except Refusal as refusal:
            return refused(refusal)
        if kind != GPU or name not in _gpus(task):
            why = f"unable to get association from association type {kind} and association name {name}"
            return answer(f"Unable to write container association response: {why}", HTTPStatus.BAD_REQUEST)
        return web.Response(content_type="application/json")

    base = f"/v{version}/{{endpoint:[^/]*}}/associations/{{type:[^/]*}}"
    return [web.get(base, names), web.get(f"{base}/{{name:.+}}", one)]


def _gpus(task: TaskState) -> set[str]:
    return {gpu for container in task.containers for gpu in container.spec.gpu_ids}
