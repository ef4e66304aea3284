import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pydicombatch.core.errors import FatalError, HeldError
from pydicombatch.ledger.lock import StateLock, file_system

HOLD = """
import sys, time
from pathlib import Path
from pydicombatch.ledger.lock import StateLock
lock = StateLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_run_is_refused_and_told_which_process_holds_the_first(tmp_path: Path) -> None:
    lock = StateLock(tmp_path / "state")
    with pytest.raises(HeldError, match=str(os.getpid())) as caught:
        StateLock(tmp_path / "state")
    assert caught.value.exit_code == 5
    lock.release()
    StateLock(tmp_path / "state").release()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    """F34."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HeldError, match=f"process {holder.pid}"):
            StateLock(tmp_path)
        holder.kill()
        holder.wait(20)
    StateLock(tmp_path).release()


def test_the_state_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    StateLock(tmp_path / "a" / "state").release()
    assert stat.S_IMODE((tmp_path / "a" / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "state" / "lock").stat().st_mode) == 0o600


def test_a_child_process_inherits_no_lock(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    assert fcntl.fcntl(lock._descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    lock.release()


def test_a_file_in_place_of_the_directory_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(FatalError, match="cannot be used") as caught:
        StateLock(tmp_path / "state")
    assert caught.value.exit_code == 3


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home {place} nfs4 rw 0 0
//server/share {place}/with\\040space cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("below", "kind"), [("", "nfs4"), ("deep/er", "nfs4"), ("with space/x", "cifs")]
)
def test_the_innermost_mount_decides_the_file_system(tmp_path: Path, below: str, kind: str) -> None:
    mounts = tmp_path / "mounts"
    place = tmp_path.resolve() / "home"
    mounts.write_text(MOUNTS.format(place=place))
    assert file_system(place / below, mounts) == kind
    assert file_system(tmp_path / "homely", mounts) == "ext4"
    assert file_system(place, tmp_path / "missing") == ""
