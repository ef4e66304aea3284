import subprocess
import sys

LIMITED = """
import resource, threading
from pydicombatch.core.threads import ROOM, begin
begin(one := threading.Thread(target=lambda: print("ran", flush=True)))
one.join()
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + ROOM // 2,) * 2)
try:
    begin(threading.Thread(target=print))
except MemoryError:
    print("refused")
"""


def test_a_thread_without_room_is_refused_instead_of_waited_for() -> None:
    """F39."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["ran", "refused"]
