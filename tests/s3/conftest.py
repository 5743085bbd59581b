"""What the tests against S3 servers share: what depends on the server, and in `make soak` all, is tried on each."""

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from tests.s3.fault_proxy import FaultProxy
from tests.s3.servers import SERVERS, make_bucket, remove_objects, resigner, start
from tools.s3_server import Server, available


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each server if it is marked so, and otherwise on the first that is installed here."""
    if "s3_server" not in metafunc.fixturenames:
        return
    on_each = metafunc.definition.get_closest_marker("each_server") or os.environ.get("HYPOTHESIS_PROFILE") == "soak"
    metafunc.parametrize("s3_server", SERVERS if on_each else available()[:1] or SERVERS[:1], indirect=True)


@pytest.fixture(scope="session")
def s3_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Starts a server by its name, once in all of this process's tests, in whatever order they come."""
    with contextlib.ExitStack() as running:
        yield cache(lambda name: running.enter_context(start(name, tmp_path_factory.mktemp(name))))


@pytest.fixture(scope="session")
def s3_server(request: pytest.FixtureRequest, s3_servers: Callable[[str], Server]) -> Server:
    """A server for all of this process's tests."""
    return s3_servers(request.param)


@pytest.fixture
def s3_client(s3_server: Server) -> Iterator[Any]:
    """A boto3 client of the server itself."""
    with contextlib.closing(s3_server.client()) as client:
        yield client


@pytest.fixture
def bucket(s3_client: Any) -> Iterator[str]:
    """The name of a bucket that only this test uses."""
    name = make_bucket(s3_client)
    yield name
    remove_objects(s3_client, name)


@pytest.fixture
def proxy(s3_server: Server) -> Iterator[FaultProxy]:
    """What a client may talk to instead of the server: a proxy that does no harm before it is told to."""
    with FaultProxy(s3_server.endpoint_url, resigner(s3_server)) as proxy:
        yield proxy


@pytest.fixture
def proxy_client(s3_server: Server, proxy: FaultProxy) -> Iterator[Any]:
    """A boto3 client that talks to the proxy, and tries everything once only."""
    with contextlib.closing(s3_server.client(proxy.url, attempts=1)) as client:
        yield client
