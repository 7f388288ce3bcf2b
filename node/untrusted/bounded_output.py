"""Read a program's output up to a limit: `subprocess` alone would read gigabytes into memory."""

from __future__ import annotations

import os
import selectors
import subprocess
import time

_CHUNK = 1 << 16
_MESSAGE_BYTES = 1 << 18  # of stderr, the last bytes are kept


class TooLong(Exception):
    """The output exceeds the limit."""


def communicate(
    process: subprocess.Popen[bytes], stdin: bytes, timeout_s: float, most_bytes: int
) -> tuple[bytes, bytes]:
    """Return stdout and the end of stderr, as `Popen.communicate` does. All three streams must be pipes.

    Raises TooLong if stdout exceeds `most_bytes`, or subprocess.TimeoutExpired; the process then still runs.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + timeout_s
    out, messages, left = bytearray(), bytearray(), memoryview(stdin)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, out)
        selector.register(process.stderr, selectors.EVENT_READ, messages)
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
            del messages[:-_MESSAGE_BYTES]
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(process.args, timeout_s)
    process.wait(max(0.0, deadline - time.monotonic()))
    return bytes(out), bytes(messages)


def _written(descriptor: int, left: memoryview) -> memoryview:
    """Write a chunk and return the rest; an empty rest if the process no longer reads."""
    try:
        return left[os.write(descriptor, left[:_CHUNK]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[:0]
