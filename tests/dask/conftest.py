"""What the tests with Dask share: a cluster of real worker processes, beside an S3 server where one is installed.

Dask is imported when a test asks for it; it is missed loudly where it must not be missing.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.s3.servers import make_bucket, remove_objects, skip_without, start
from tools.s3_server import Server, available

REQUIRED = "DPROMPT_REQUIRE_INTEGRATIONS"  # as of tests/integrations
INSTALLATION = "uv sync --group integrations"
WORKERS = 2
NO_CREDENTIALS = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}


class Cluster(NamedTuple):
    """A scheduler in this process, two workers in others, and a client.

    Attributes:
        scratch: where the workers make temporary files.
    """

    client: Any
    scheduler: Any
    scratch: Path


@pytest.fixture(scope="session")
def distributed() -> Any:
    """The package, or a skipped test; a failed one where the environment requires it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module("distributed")
    except ModuleNotFoundError as missing:
        reason = f"{missing.name} is not installed: {INSTALLATION}"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason} ({REQUIRED}=1)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server | None]:
    """The strictest server that is installed; None if none is."""
    names = available()
    if not names:
        yield None
        return
    with start(names[0], tmp_path_factory.mktemp(names[0])) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(distributed: Any, s3_server: Server | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests, which leave it as they found it. Workers find the S3 server by their environment."""
    scratch = tmp_path_factory.mktemp("scratch")
    with pytest.MonkeyPatch.context() as patch:
        found = s3_server.environment() if s3_server else {}
        for name, value in (found | NO_CREDENTIALS | {"TMPDIR": str(scratch)}).items():
            patch.setenv(name, value)
        with (
            # A timer that runs since a worker was killed would end the one in its place for good, if the next test
            # killed that one just before.
            import_module("dask").config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}),
            distributed.LocalCluster(
                n_workers=WORKERS,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                # Without one the scheduler takes a port that is always the same, and warns if it is taken.
                dashboard_address="127.0.0.1:0",
                local_directory=str(tmp_path_factory.mktemp("dask")),
                silence_logs=60,  # above CRITICAL: it says of each worker that it was killed
            ) as local,
            distributed.Client(local) as client,
        ):
            yield Cluster(client, local.scheduler, scratch)


@pytest.fixture
def s3_client(s3_server: Server | None) -> Iterator[Any]:
    """A boto3 client of the server."""
    if s3_server is None:
        skip_without("ministack")
        return
    with contextlib.closing(s3_server.client()) as client:
        yield client


@pytest.fixture
def bucket(s3_client: Any) -> Iterator[str]:
    """The name of a bucket that only this test uses."""
    name = make_bucket(s3_client)
    yield name
    remove_objects(s3_client, name)
