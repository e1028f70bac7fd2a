"""The names of a container's GPUs, at the addresses that Amazon's agent has for them."""

import msgspec
import pytest
from local_world import ARN, IDS, FakeLooks, books, inspected, served, task

from agent.local import associations
from agent.local.books import Books

MAIN = IDS.endpoint(ARN, "main")


def with_gpus():
    """`main` has two GPUs, `late` another."""
    state = task()
    main, late = state.containers
    main.spec = msgspec.structs.replace(main.spec, gpu_ids=("GPU-1", "GPU-2"))
    late.spec = msgspec.structs.replace(late.spec, gpu_ids=("GPU-3",))
    return state


@pytest.fixture(params=["v3", "v4"])
async def ask(request):
    async with served(associations.routes(books([with_gpus()], FakeLooks(inspected())))) as ask:
        yield lambda path: ask(f"/{request.param}/{path}")


async def test_a_container_finds_its_own_gpus(ask):
    assert await ask(f"{MAIN}/associations/gpu") == (200, {"Associations": ["GPU-1", "GPU-2"]})
    assert await ask(f"{MAIN}/associations/elastic-inference") == (200, {"Associations": []})


async def test_one_association_is_of_the_task(ask):
    """Its content is the control plane's, which has none for GPUs."""
    assert (await ask(f"{MAIN}/associations/gpu/GPU-3"))[0] == 200
    status, why = await ask(f"{MAIN}/associations/gpu/GPU-4")
    assert status == 400
    assert why.endswith("unable to get association from association type gpu and association name GPU-4")
    assert (await ask(f"{MAIN}/associations/elastic-inference/GPU-3"))[0] == 400


async def test_a_wrong_id_is_refused_in_amazons_words(ask):
    status, why = await ask("nobody/associations/gpu")
    assert status == 400
    assert "container associations handler: unable to get container id from request: " in why
    assert (await ask("nobody/associations/gpu/GPU-1"))[0] == 400


async def test_a_stranger_with_the_right_id_gets_what_a_wrong_id_gets(ask, monkeypatch):
    async def nobody(*_):
        return False

    monkeypatch.setattr(Books, "may_ask", nobody)
    assert (await ask(f"{MAIN}/associations/gpu"))[0] == 400
    assert (await ask(f"{MAIN}/associations/gpu/GPU-1"))[0] == 400
