"""Fixtures for real servers, and the switch between quick and full-size soak tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from pydicombatch.core.secrets import forget
from pydicombatch.receive.server import rapid
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.orthanc import OrthancServer
from tests.support.receiving import COMPILED

# A deadline measures how busy the machine is, not whether a law holds
settings.register_profile("pydicombatch", deadline=None)
settings.load_profile("pydicombatch")

Server = OrthancServer | DcmqrscpServer
OrthancFactory = Callable[..., OrthancServer]
DcmqrscpFactory = Callable[..., DcmqrscpServer]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--full`."""
    parser.addoption(
        "--full", action="store_true", help="run soak tests in full size (default: quick)"
    )


TWICE = ("_faults", "_interoperability", "_process", "_senders", "_store")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of the receiver with and without what is compiled; TLS never uses it."""
    if metafunc.module.__name__.endswith(tuple(f"test_receiver{one}" for one in TWICE)):
        metafunc.fixturenames.insert(0, "compiled")
        metafunc.parametrize("compiled", [True, False], indirect=True, ids=["compiled", "pure"])


@pytest.fixture
def compiled(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Let receivers of this test use compiled code, or not."""
    if request.param:
        assert rapid.compiled is not None, "compile it: python hatch_build.py"
    token = COMPILED.set(request.param)
    yield request.param
    COMPILED.reset(token)


@pytest.fixture(autouse=True)
def nothing_to_conceal() -> Iterator[None]:
    """Let no test hide what another one took from its environment."""
    yield
    forget()


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether soak tests run in full size."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="module")
def start_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancFactory]:
    """Start Orthancs that live as long as the test module: `start_orthanc(modalities, …)`."""
    with ExitStack() as stack:

        def start(*arguments: object, **named: object) -> OrthancServer:
            directory = tmp_path_factory.mktemp("orthanc")
            return stack.enter_context(_orthanc(directory, *arguments, **named))

        yield start


@pytest.fixture(scope="module")
def start_dcmqrscp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DcmqrscpFactory]:
    """Start dcmqrscps that live as long as the test module: `start_dcmqrscp(modalities, …)`."""
    with ExitStack() as stack:

        def start(*arguments: object, **named: object) -> DcmqrscpServer:
            directory = tmp_path_factory.mktemp("dcmqrscp")
            return stack.enter_context(_dcmqrscp(directory, *arguments, **named))

        yield start


def _orthanc(directory: Path, *arguments: object, **named: object) -> OrthancServer:
    return OrthancServer(directory, *arguments, **named)  # type: ignore[arg-type]


def _dcmqrscp(directory: Path, *arguments: object, **named: object) -> DcmqrscpServer:
    return DcmqrscpServer(directory, *arguments, **named)  # type: ignore[arg-type]
