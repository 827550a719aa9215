"""Files from a Hugging Face hub, through huggingface_hub (HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import tqdm

from ..errors import HubUnreachable, UnknownModel, UnsupportedModel

WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")

# Called with what is being done, how much of it is done and how much there is (bytes).
Report = Callable[[str, int, int], None]

WAYS_OUT = (
    "three things work without a hub: the built-in model (MODEL_NAME=emoji), a folder "
    "(MODEL_NAME=local-dir:/path with open_clip_config.json and a .safetensors file), "
    "or a cache filled elsewhere (HF_HOME or CACHE_DIR)"
)


def download(
    repo: str,
    filenames: Sequence[str],
    *,
    revision: str | None = None,
    cache_dir: Path | None = None,
    report: Report = lambda stage, done, total: None,
    force: bool = False,
) -> Path:
    """The first of `filenames` that `repo` has, from the cache or else from the hub.

    A file that the cache holds is used without asking the network: a warm start needs no hub.

    Raises UnknownModel (no such repository, revision or file), HubUnreachable.
    """
    if not force:
        for filename in filenames:
            cached = try_to_load_from_cache(repo, filename, cache_dir=cache_dir, revision=revision)
            if isinstance(cached, str):
                return Path(cached)
    try:
        for filename in filenames:
            try:
                path = hf_hub_download(
                    repo,
                    filename,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force,
                    tqdm_class=_progress_bar(report),
                )
                return Path(path)
            except RemoteEntryNotFoundError:
                continue
    except GatedRepoError as error:
        raise UnknownModel(f"{repo} is gated: accept its terms on the hub and set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise UnknownModel(f"{repo} has no revision {revision!r}") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise UnknownModel(f"the hub has no repository {repo!r} (or it is private: set HF_TOKEN)") from error
    except (HfHubHTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError, httpx2.HTTPError, ConnectionError) as error:
        raise HubUnreachable(f"cannot fetch {repo} from the hub ({_reason(error)}): {WAYS_OUT}") from error
    except OSError as error:
        raise HubUnreachable(
            f"cannot store {repo} in the cache ({_reason(error)}): free space or set CACHE_DIR"
        ) from error
    raise EntryNotFoundError(f"{repo} has none of {', '.join(filenames)}")


def download_weights(repo: str, filename: str | None, **where: Any) -> Path:
    """The safetensors weights of a repository.

    Raises also UnsupportedModel for a repository that has its weights only as a pickle.
    """
    wanted = (str(Path(filename).with_suffix(".safetensors")), *WEIGHT_FILES) if filename else WEIGHT_FILES
    try:
        return download(repo, wanted, **where)
    except EntryNotFoundError:
        pass
    pickles = [name for name in _list_files(repo, where.get("revision")) if name.endswith((".bin", ".pt", ".pth"))]
    if pickles:
        raise UnsupportedModel(
            f"{repo} has its weights only as {pickles[0]}, a pickle, which can run code when it is read; convert it "
            "once where you trust it (docs/models.md, 'From a pickle') and use MODEL_NAME=local-dir:/path"
        )
    raise UnknownModel(f"{repo} has no safetensors weights ({', '.join(wanted)})")


def _list_files(repo: str, revision: str | None) -> list[str]:
    try:
        return HfApi().list_repo_files(repo, revision=revision)
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx2.HTTPError, OSError):
        return []


def _progress_bar(report: Report) -> type[Any]:
    class ReportingBar(tqdm):  # type: ignore[type-arg,misc]
        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            report("downloading", int(self.n), int(self.total or 0))
            return shown

    return ReportingBar


def _reason(error: BaseException) -> str:
    """The first line of the innermost cause: the libraries wrap a refused connection several times."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
