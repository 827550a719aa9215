"""What is on its way is not computed a second time."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

from .batching import Job

Result = TypeVar("Result")


class Underway(Generic[Result]):
    """The contents on their way, and the jobs that wait for the first one with theirs. Safe from several threads."""

    def __init__(self) -> None:
        self._followers: dict[Hashable, list[Job[Result]]] = {}
        self._lock = threading.Lock()

    def join(self, content: Hashable, job: Job[Result]) -> bool:
        """Whether it is the first with this content; any other waits until `end` of the first."""
        with self._lock:
            followers = self._followers.get(content)
            if followers is None:
                self._followers[content] = []
                return True
            followers.append(job)
        job.future.add_done_callback(lambda future: self._leave(content, job) if future.cancelled() else None)
        return False

    def end(self, content: Hashable) -> list[Job[Result]]:
        """Those that waited for its first job."""
        with self._lock:
            return self._followers.pop(content)

    def _leave(self, content: Hashable, job: Job[Result]) -> None:
        with self._lock:
            if job in self._followers.get(content, []):
                self._followers[content].remove(job)


def hand_on(first: Job[Result], followers: Sequence[Job[Result]]) -> None:
    """Give them what the first job got, be it an error."""
    error = first.future.exception()
    for job in followers:
        if not job.future.set_running_or_notify_cancel():
            continue
        job.item, job.seconds = first.item, first.seconds
        if error is None:
            job.future.set_result(first.future.result())
        else:
            job.future.set_exception(error)
