"""Every setting, once: name, default, allowed values, one line of help.

A value comes from a command-line flag, else the environment, else a `.env` file, else its default.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .checkpoints.sources import DEFAULT, Pair, Source, read_source
from .engines.cores import available_cores
from .errors import InvalidSetting
from .fetch.host_names import address_of
from .fetch.url import Endpoint, endpoints
from .inputs.formats import SAFE_FORMATS, chosen_formats, is_installed
from .runtime.load_options import LoadOptions
from .setting_values import (
    ENV_FILE,
    PORT_NAMES,
    checked_endpoints,
    checked_hosts,
    checked_hosts_or_any,
    checked_origins,
    comma_separated,
    format_names,
    invalid_setting,
    lower,
    route,
    some_comma_separated,
    worker_count,
)

DEFAULT_MODEL_ID = "OpenCLIP-ViT-B-32-laion2B"


MAX_MEGABYTES = 1e6  # numbers beyond these are mistakes, and would overflow further on
MAX_SECONDS = 1e6
MAX_COUNT = 10**9

Parts = Annotated[list[str], NoDecode, BeforeValidator(comma_separated)]
SomeParts = Annotated[list[str], NoDecode, BeforeValidator(some_comma_separated)]


class ServedModel(NamedTuple):
    source: Source
    model_id: str | None  # None: from the checkpoint


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        protected_namespaces=(),
        frozen=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
        str_min_length=0,  # a bound on strings, even this one, has pydantic refuse those that are not Unicode
    )

    model_name: str = Field(
        DEFAULT.name,
        description="an OpenCLIP name, 'emoji' (built in), org/repo[@revision] on Hugging Face, or local-dir:/path",
    )
    model_pretrained: str | None = Field(
        None,
        description="a tag of that name, the path of a weights file, or tag:/path "
        f"(default: {DEFAULT.tag} for {DEFAULT.name}, otherwise the name's only tag)",
    )
    model_id: str | None = Field(
        None, description=f"the model's name in answers (default: made from the model, such as {DEFAULT_MODEL_ID})"
    )
    models: SomeParts = Field(
        [],
        description="several models in one server, comma-separated, each as name or name:tag, such as "
        f"{DEFAULT.name}:{DEFAULT.tag},emoji; the first is the default; replaces MODEL_NAME, MODEL_PRETRAINED and "
        "MODEL_ID",
    )
    max_loaded_models: int = Field(
        0,
        ge=0,
        le=MAX_COUNT,
        description="most models in memory at once; above it, the model idle longest is unloaded; 0 for all",
    )
    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for all addresses")
    port: int = Field(
        7860,
        ge=0,
        le=65535,
        validation_alias=AliasChoices(*PORT_NAMES),
        description="port to listen on; 0 picks a free one; SAGEMAKER_BIND_TO_PORT and AIP_HTTP_PORT override it",
    )
    cache_dir: Path | None = Field(
        None, description="folder for downloads (default: Hugging Face's own, ~/.cache/huggingface/hub or HF_HOME/hub)"
    )
    device: Annotated[Literal["auto", "cpu", "gpu", "npu", "cuda", "mps"], BeforeValidator(lower)] = Field(
        "auto", description="device to compute on: auto, cpu, Intel's gpu or npu, or with the torch extra cuda or mps"
    )
    precision: Annotated[Literal["auto", "fp32", "bf16", "int8"], BeforeValidator(lower)] = Field(
        "auto",
        description="auto (bf16 or fp16 if the device computes in it, otherwise fp32), fp32, bf16, or int8 "
        "(docs/tuning.md)",
    )
    threads: int = Field(0, ge=0, le=4096, description="CPU cores to use; 0 for all that affinity and quota allow")
    workers: Annotated[Literal["auto"] | int, BeforeValidator(worker_count)] = Field(
        1,
        description="processes that share port and cores, each with its own model: a number, or auto (docs/scaling.md)",
    )
    max_batch: int = Field(16, ge=1, le=65_536, description="most items that are computed at once")
    max_queue: int = Field(
        4096, ge=1, le=MAX_COUNT, description="most items in flight at once; above it, requests get 429"
    )
    max_queue_mb: float = Field(
        512,
        gt=0,
        le=MAX_MEGABYTES,
        description="most megabytes of all request bodies together, and again of all items in flight to one model; "
        "above it, requests get 429",
    )
    text_cache_mb: float = Field(
        16,
        ge=0,
        le=MAX_MEGABYTES,
        description="megabytes of memory to remember text vectors in (about 5,000 texts), and the same for "
        "labels' vectors; 0 turns both off",
    )
    max_texts: int = Field(2048, ge=1, le=MAX_COUNT, description="most texts in one request")
    max_items: int = Field(256, ge=1, le=MAX_COUNT, description="most images in one request")
    max_prompts: int = Field(
        80_000, ge=1, le=MAX_COUNT, description="most prompts (labels times templates) in one request to classify"
    )
    max_body_mb: float = Field(32, gt=0, le=MAX_MEGABYTES, description="largest request body, in megabytes")
    decode: Annotated[Literal["auto", "thread", "process"], BeforeValidator(lower)] = Field(
        "auto",
        description="where images are decoded: process (a hostile image ends only its own request), thread, or auto ("
        "process where that works, thread on Windows)",
    )
    max_image_megapixels: float = Field(40, gt=0, le=MAX_MEGABYTES, description="largest image, in millions of pixels")
    allow_image_urls: bool = Field(False, description="fetch images by http(s) URL, from public addresses only")
    url_hosts: Annotated[SomeParts, AfterValidator(checked_hosts)] = Field(
        [], description="fetch images from these hosts only, comma-separated (default: any public host)"
    )
    url_allow_private: Annotated[SomeParts, AfterValidator(checked_endpoints)] = Field(
        [],
        description="hosts of your own network to fetch images from as well, comma-separated, "
        "with the port if it is not 80 or 443",
    )
    url_timeout: float = Field(10, gt=0, le=MAX_SECONDS, description="most seconds to fetch an image")
    jpeg_scaling: Annotated[Literal["auto", "on", "off"], BeforeValidator(lower)] = Field(
        "auto",
        description="decode large JPEGs at a smaller size, which is faster: on, off (exactly open_clip's pixels), "
        "or auto (on for vision transformers, unless the precision is fp32)",
    )
    image_reading: Annotated[Literal["natural", "open_clip"], BeforeValidator(lower)] = Field(
        "natural",
        description="how images are read: natural (upright, transparency on white, sRGB; docs/api.md), or "
        "open_clip (as open_clip reads them, and exactly so with JPEG_SCALING=off)",
    )
    image_formats: Annotated[list[str], NoDecode, BeforeValidator(format_names)] = Field(
        [],
        description="image formats to accept, comma-separated, or all "
        f"(default: {','.join(SAFE_FORMATS)} on a server, all installed formats for your own files)",
    )
    store: Path | None = Field(
        None,
        description="the store that 'openclip-api index' fills, NAME.lance; with it, the server answers POST /search",
    )
    request_timeout: float = Field(
        60, gt=0, le=MAX_SECONDS, description="most seconds to answer a request; after that, it fails"
    )
    body_timeout: float = Field(30, gt=0, le=MAX_SECONDS, description="most seconds for a request's body to arrive")
    grace_seconds: float = Field(
        20, gt=0, le=MAX_SECONDS, description="most seconds after SIGTERM to answer the requests already accepted"
    )
    self_check: bool = Field(
        True,
        description="embed one image and one text at start; stop if a vector has NaN, only zeros or a wrong length",
    )
    api_key: SomeParts = Field(
        [],
        repr=False,
        description="API keys, comma-separated; every request must send one as 'Authorization: Bearer KEY' "
        "(default: no key is needed)",
    )
    cors_origins: Annotated[Parts, AfterValidator(checked_origins)] = Field(
        ["*"],
        description="sites (origins) whose pages may call the server, comma-separated; * for any, empty for none; "
        "search and its pictures are closed to other sites until you set this, even to *",
    )
    allowed_hosts: Annotated[SomeParts, AfterValidator(checked_hosts_or_any)] = Field(
        [],
        description="host names that clients use for this server, without ports, comma-separated; * for any "
        "(default: only this machine's names if HOST is loopback, otherwise any)",
    )
    aip_health_route: Annotated[str | None, AfterValidator(route)] = Field(
        None, description="the path of Vertex AI's health checks; Vertex AI sets it"
    )
    aip_predict_route: Annotated[str | None, AfterValidator(route)] = Field(
        None, description="the path of Vertex AI's requests; Vertex AI sets it"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower)] = Field(
        "info", description="debug, info (the start and each request), warning, or error"
    )
    log_format: Annotated[Literal["text", "json"], BeforeValidator(lower)] = Field(
        "text", description="text, or json (one object per line)"
    )

    @property
    def served_models(self) -> dict[str, ServedModel]:
        """By the name that requests give a model; the first is the default. Raises UnknownModel, InvalidSetting."""
        if self.models:
            return {model: ServedModel(read_source(model, field="MODELS"), None) for model in self.models}
        source = read_source(self.model_name, self.model_pretrained)
        name = f"{self.model_name}:{self.model_pretrained}" if self.model_pretrained else self.model_name
        if isinstance(source, Pair) and ":" not in name:
            name = f"{name}:{source.tag}"
        model_id = self.model_id or (DEFAULT_MODEL_ID if source == DEFAULT else None)
        return {name: ServedModel(source, model_id)}

    @property
    def default_model(self) -> ServedModel:
        """The first of served_models. Raises as that does."""
        return next(iter(self.served_models.values()))

    @property
    def load_options(self) -> LoadOptions:
        """The same for each model."""
        return LoadOptions(
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            cache_dir=self.cache_dir,
            max_megapixels=self.max_image_megapixels,
            jpeg_scaling=self.jpeg_scaling,
            max_batch=self.max_batch,
            max_queue=self.max_queue,
            max_queue_bytes=int(self.max_queue_mb * 1e6),
            text_cache_bytes=self.text_cache_bytes,
            decode_processes=self.cores + 1 if self.isolates_decoding else 0,
            self_check=self.self_check,
            image_reading=self.image_reading,
            image_formats=tuple(self.image_formats),
        )

    @property
    def cores(self) -> int:
        """That the engine computes on."""
        return self.threads or available_cores()

    @property
    def served_formats(self) -> tuple[str, ...]:
        """The formats of images that are read from others."""
        return chosen_formats(self.image_formats or filter(is_installed, SAFE_FORMATS))

    @property
    def text_cache_bytes(self) -> int:
        return int(self.text_cache_mb * 1e6)

    @property
    def private_endpoints(self) -> list[Endpoint]:
        return [endpoint for entry in self.url_allow_private for endpoint in endpoints(entry)]

    @property
    def most_items(self) -> int:
        """Of one kind, in one request."""
        return max(self.max_texts, self.max_items)

    @property
    def isolates_decoding(self) -> bool:
        if self.decode == "auto":
            return sys.platform != "win32"
        return self.decode == "process"

    @property
    def host_names(self) -> set[str] | None:
        """The names in a Host header, without ports, that are ours beside this machine's own; None: all are."""
        if "*" in self.allowed_hosts or not (self.allowed_hosts or _is_loopback(self.host)):
            return None
        return {self.host, *self.allowed_hosts}

    @property
    def named_origins(self) -> list[str]:
        """CORS_ORIGINS if the user has set it. Its default does not open what shows the user's files."""
        return self.cors_origins if "cors_origins" in self.model_fields_set else []


def _is_loopback(host: str) -> bool:
    address = address_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def read_settings(**flags: Any) -> Settings:
    """Settings from flags, environment, `.env` and defaults. Raises InvalidSetting with one line."""
    try:
        return Settings(**flags)
    except ValidationError as error:
        raise invalid_setting(error, flags) from error
    except (OSError, UnicodeError) as error:
        raise InvalidSetting(f"{ENV_FILE}: cannot be read as text in UTF-8: {type(error).__name__}") from error
