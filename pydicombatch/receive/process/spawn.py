"""Starts the receiver's process: a fresh interpreter that inherits one socket and nothing else."""

import json
import socket
import subprocess
import sys

# `multiprocessing` would import the caller's main module, and with it all that the engine needs.
_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pydicombatch.receive.process.child import main; main(int(sys.argv[2]))"
)


def spawn() -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """Return the process and our end of the channel to it; it ends when the channel does."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own code
            [sys.executable, "-c", _CODE, json.dumps(sys.path), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
    return process, ours
