"""A program's output, as much of it as is wanted: `subprocess` would take gigabytes into memory."""

from __future__ import annotations

import os
import selectors
import subprocess
import time

_CHUNK = 1 << 16
_TOLD_BYTES = 1 << 18  # kept of what it says to stderr: the end


class TooLong(Exception):
    """It has more to say than is wanted."""


def communicate(
    process: subprocess.Popen[bytes], stdin: bytes, timeout_s: float, most_bytes: int
) -> tuple[bytes, bytes]:
    """Its output and the end of what it said to stderr, as `Popen.communicate`; all three must be pipes.

    Raises TooLong where the output has more than `most_bytes`, and subprocess.TimeoutExpired; the process then lives.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + timeout_s
    out, told, left = bytearray(), bytearray(), memoryview(stdin)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, out)
        selector.register(process.stderr, selectors.EVENT_READ, told)
        if left:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        else:
            process.stdin.close()
        while selector.get_map():
            for key, _ in selector.select(max(0.0, deadline - time.monotonic())):
                if key.data is None:
                    left = _written(process.stdin.fileno(), left)
                    if not left:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                elif data := os.read(key.fd, _CHUNK):
                    key.data.extend(data)
                else:
                    selector.unregister(key.fileobj)
            if len(out) > most_bytes:
                raise TooLong
            del told[:-_TOLD_BYTES]
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(process.args, timeout_s)
    process.wait(max(0.0, deadline - time.monotonic()))
    return bytes(out), bytes(told)


def _written(descriptor: int, left: memoryview) -> memoryview:
    """What is still to be written; nothing to a process that does not read any more."""
    try:
        return left[os.write(descriptor, left[:_CHUNK]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[:0]
