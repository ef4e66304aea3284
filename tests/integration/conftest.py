"""The two archives of most tests: a module says in its fixture `loaded` what they hold."""

import pytest

from tests.conftest import DcmqrscpFactory, OrthancFactory, Server
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.orthanc import OrthancServer


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory, loaded: list[bytes]) -> OrthancServer:
    """Start an Orthanc that knows nobody."""
    server = start_orthanc()
    server.load(loaded)
    return server


@pytest.fixture(scope="module")
def dcmqrscp(start_dcmqrscp: DcmqrscpFactory, loaded: list[bytes]) -> DcmqrscpServer:
    """Start a dcmqrscp that knows nobody."""
    server = start_dcmqrscp()
    server.load(loaded)
    return server


@pytest.fixture(params=["orthanc", "dcmqrscp"])
def server(request: pytest.FixtureRequest) -> Server:
    """Give one of the two after the other."""
    found: Server = request.getfixturevalue(request.param)
    return found
