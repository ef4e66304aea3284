"""What a fault is compared with."""

import pytest

from tests.support.scene import Result, Scene, result


@pytest.fixture(scope="module")
def undisturbed(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Carry out the scene of a module without any fault."""
    job = scene.job(tmp_path_factory.mktemp("undisturbed"))
    assert job.run().code == 0
    return result(job)
