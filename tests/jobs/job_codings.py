"""Work without a network for tests of what carries it: importable by the processes that tests start."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from aecodec.errors import AecError
from aecodec.jobs.coding import Made


@dataclass(frozen=True)
class Reverse:
    """Turns bytes around. `broken` cannot be, `fatal` kills the process, `once PATH` does so if PATH is not there."""

    seconds: float = 0.0

    def code(self, source: object, data: bytes) -> Made:
        if data == b"broken":
            raise AecError(f"{source}: broken")
        if data == b"fatal":
            os.kill(os.getpid(), signal.SIGKILL)
        if data.startswith(b"once ") and not os.path.exists(data[5:]):
            os.close(os.open(data[5:], os.O_CREAT))
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return Made(data[::-1], {"seconds": self.seconds})

    def settings(self) -> dict[str, Any]:
        return {"seconds": self.seconds} if self.seconds else {}


def nothing_refused(_: object) -> None:
    """Everything in a folder is worked on."""
