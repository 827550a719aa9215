"""The process of a worker: `python -m openclip_api.server.worker_process FD`. Only the supervisor starts it."""

from __future__ import annotations

import sys
from typing import NoReturn

from ..ending import end, exit_code, open_output
from .worker import Worker


def main() -> NoReturn:
    open_output()
    try:
        worker = Worker(int(sys.argv[1]))  # before anything counts the cores
    except ConnectionError:
        end(1)
    from .run import run

    end(exit_code(lambda: run(worker.settings, worker=worker), goes_on=False))


if __name__ == "__main__":
    main()
