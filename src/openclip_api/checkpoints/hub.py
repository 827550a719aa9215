"""Files from a Hugging Face hub, through huggingface_hub (HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

from ..errors import (
    CorruptCheckpoint,
    HubUnreachable,
    InvalidSetting,
    StartupError,
    UnknownModel,
    first_line,
)

try:
    from huggingface_hub import (
        _CACHED_NO_EXIST,
        constants,
        get_hf_file_metadata,
        get_session,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )
    from huggingface_hub.errors import (
        FileMetadataError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]
    from huggingface_hub.utils.tqdm import tqdm
except ValueError as error:  # it reads its settings when it is imported
    raise InvalidSetting(f"a variable HF_… has an invalid value, perhaps HF_ENDPOINT ({error})") from error

# Called with the stage, the bytes done and the bytes in all.
Report = Callable[[str, int, int], None]

WAYS_OUT = (
    "three things work without a hub: the built-in model (MODEL_NAME=emoji), a folder "
    "(MODEL_NAME=local-dir:/path with its config and weights), "
    "or a cache filled elsewhere (HF_HOME or CACHE_DIR)"
)

TRIES = 3
PASSING = (429, 500, 502, 503, 504)


class NoSuchFile(UnknownModel):
    """The repository is there and has none of the files asked for."""


class NoSuchRepository(UnknownModel):
    """Or it is private."""


def download(
    repo: str,
    filenames: Sequence[str],
    *,
    revision: str | None = None,
    cache_dir: Path | None = None,
    report: Report = lambda stage, done, total: None,
    check: Callable[[Path], object] = lambda path: None,
) -> Path:
    """The first of `filenames` that `repo` has, from the cache or else from the hub.

    A file that the cache holds is used without asking the network: a warm start needs no hub.
    `check` raises CorruptCheckpoint for a file that cannot be used: it is fetched once more.

    Raises NoSuchFile, UnknownModel (no such repository or revision), HubUnreachable,
    CorruptCheckpoint, InvalidSetting.
    """
    cache = cache_folder(cache_dir)
    with clear_errors(repo, revision, cache):
        path = cached(repo, filenames, revision, cache) or _fetch_first(repo, filenames, revision, cache, report)
    try:
        check(path)
    except CorruptCheckpoint as damage:
        try:
            with clear_errors(repo, revision, cache):
                path = _fetch(repo, name_in_repository(path), commit(path), cache, report, force=True)
        except StartupError as error:
            raise CorruptCheckpoint(f"{damage}; downloading it again failed: {error}") from error
        check(path)
    return path


def download_if_there(
    repo: str,
    filename: str,
    *,
    revision: str | None = None,
    cache_dir: Path | None = None,
    report: Report = lambda stage, done, total: None,
    check: Callable[[Path], object] = lambda path: None,
) -> Path | None:
    """As download; None where the repository has no such file. The cache remembers that: the next start asks no hub."""
    cache = cache_folder(cache_dir)
    with clear_errors(repo, revision, cache):
        if try_to_load_from_cache(repo, filename, cache_dir=cache, revision=revision) is _CACHED_NO_EXIST:
            return None
    try:
        return download(repo, [filename], revision=revision, cache_dir=cache_dir, report=report, check=check)
    except NoSuchFile:
        with suppress(httpx2.HTTPError, OSError):  # asked a second time so, huggingface_hub notes it down
            hf_hub_download(repo, filename, revision=revision, cache_dir=cache)
        return None


def promised_sha256(path: Path) -> str | None:
    """The SHA-256 of a large file as the hub gave it, or None: the cache links the file to a blob of that name.

    Only the first link counts. A blob from Xet storage is itself a link, to a file whose name is another hash.
    """
    name = path.readlink().name if path.is_symlink() else ""
    return name if len(name) == 64 and set(name) <= set("0123456789abcdef") else None


def commit(path: Path) -> str:
    """The commit that a file of the cache belongs to. Files that go together are taken from one commit."""
    return _snapshot(path).name


def name_in_repository(path: Path) -> str:
    """A file of the cache → its name in the repository, such as "0_CLIPModel/config.json"."""
    return path.relative_to(_snapshot(path)).as_posix()


def _snapshot(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.parent.name == "snapshots")


def cached(repo: str, filenames: Sequence[str], revision: str | None, cache: Path) -> Path | None:
    """The first of `filenames` that the cache has. Asks no network. Raises HubUnreachable for an unreadable cache."""
    with clear_errors(repo, revision, cache):
        paths = (try_to_load_from_cache(repo, name, cache_dir=cache, revision=revision) for name in filenames)
        return next((Path(path) for path in paths if isinstance(path, str)), None)


def _fetch_first(repo: str, filenames: Sequence[str], revision: str | None, cache: Path, report: Report) -> Path:
    for filename in filenames:
        try:
            return _fetch(repo, filename, revision, cache, report)
        except RemoteEntryNotFoundError:
            continue
    raise NoSuchFile(f"{repo} has none of {', '.join(filenames)}")


def _fetch(repo: str, filename: str, revision: str | None, cache: Path, report: Report, *, force: bool = False) -> Path:
    for pause in (*range(1, TRIES), None):
        try:
            # hf_hub_download alone would wait six minutes for an address that never answers.
            get_hf_file_metadata(hf_hub_url(repo, filename, revision=revision))
            path = hf_hub_download(
                repo,
                filename,
                revision=revision,
                cache_dir=cache,
                force_download=force,
                tqdm_class=_progress_bar(report),
            )
            return Path(path)
        except (HfHubHTTPError, httpx2.ReadError) as error:
            passing = isinstance(error, httpx2.ReadError) or error.response.status_code in PASSING
            if pause is None or not passing:
                raise
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def first_bytes(
    repo: str, filename: str, start: int, count: int, *, revision: str | None = None, cache_dir: Path | None = None
) -> bytes:
    """Bytes of a file on the hub. No more are read, also from a server that does not know Range and sends the whole.

    Raises NoSuchFile, and what download raises.
    """
    wanted = {"Range": f"bytes={start}-{start + count - 1}"}
    data = b""
    with clear_errors(repo, revision, cache_folder(cache_dir)):
        url, headers = hf_hub_url(repo, filename, revision=revision), {**build_hf_headers(), **wanted}
        with get_session().stream("GET", url, headers=headers, follow_redirects=True) as response:
            if response.is_error:
                response.read()
            hf_raise_for_status(response)
            skipped = 0 if response.status_code == 206 else start
            for piece in response.iter_raw():
                data += piece
                if len(data) >= skipped + count:
                    break
    return data[skipped : skipped + count]


def _progress_bar(report: Report) -> type[Any]:
    class ReportingBar(tqdm):
        """Counts by itself, as tqdm does not count for a bar that is hidden (without a terminal)."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # Xet has a second bar for bytes on the wire, whose total is unknown.
            self._reports = not str(kwargs.get("name")).endswith(".transfer")
            super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
            self._done = int(self.n)

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            self._done += int(n or 0)
            if self._reports:
                report("downloading", self._done, int(self.total or 0))
            return shown

    return ReportingBar


def cache_folder(cache_dir: Path | None) -> Path:
    try:
        return Path(cache_dir or constants.HF_HUB_CACHE).expanduser()
    except RuntimeError as error:
        raise InvalidSetting("there is no home directory to keep a cache in: set CACHE_DIR or HF_HOME") from error


@contextmanager
def clear_errors(repo: str, revision: str | None, cache: Path) -> Iterator[None]:
    """Turn whatever huggingface_hub raises into one line that says what to do."""
    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError) as error:
        raise _translated(error, repo, revision, cache) from error


def _translated(error: Exception, repo: str, revision: str | None, cache: Path) -> StartupError:
    match error:
        case GatedRepoError():
            return UnknownModel(f"{repo} is gated: accept its terms at {constants.ENDPOINT}/{repo} and set HF_TOKEN")
        case RemoteEntryNotFoundError():
            return NoSuchFile(f"{repo} has no such file")
        case RevisionNotFoundError():
            return UnknownModel(f"{repo} has no revision {revision!r}")
        case HFValidationError():
            return UnknownModel(f"{repo!r} is not the name of a repository: expected 'org/repo'")
        case RepositoryNotFoundError():
            hub = "the hub" if constants.ENDPOINT == "https://huggingface.co" else f"the hub {constants.ENDPOINT}"
            return NoSuchRepository(f"{hub} has no repository {repo!r} (or it is private: set HF_TOKEN)")
        case UnicodeEncodeError():
            return InvalidSetting("HF_TOKEN has a character that is not allowed in a token")
        case HfHubHTTPError() if error.response.status_code == 401:
            return UnknownModel(f"the hub refuses the token for {repo}: set HF_TOKEN to a valid one, or leave it empty")
        # The hub's own errors are OSErrors too, but only those of the file system have a number.
        case OSError(errno=int()) if not isinstance(error, (LocalEntryNotFoundError, ConnectionError)):
            return HubUnreachable(
                f"cannot keep {repo} in the cache {cache} ({error.strerror}): make it readable and writable, "
                "free space, or set CACHE_DIR to another folder"
            )
    return HubUnreachable(f"cannot fetch {repo} from {constants.ENDPOINT} ({_reason(error)}): {_ways_out(error)}")


def _ways_out(error: Exception) -> str:
    match error:
        case RuntimeError():  # hf_xet's only error, after a minute and a half of its own retries
            return f"HF_HUB_DISABLE_XET=1 fetches it without Xet storage; {WAYS_OUT}"
        case httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
            return f"check HF_ENDPOINT; {WAYS_OUT}"
    return WAYS_OUT


def _reason(error: BaseException) -> str:
    """The innermost cause in one line: the libraries wrap a refused connection several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    match error:
        case httpx2.HTTPStatusError():
            return f"{error.response.status_code} {error.response.reason_phrase}"
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set"
        case FileMetadataError():
            return (
                "the answer is not from a hub: check HF_ENDPOINT, and whether a proxy or a login page answers instead"
            )
    return first_line(error)
