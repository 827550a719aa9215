from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from openclip_api.errors import InvalidSetting, UnknownModel
from openclip_api.settings import Settings, read_settings

from .support.server_process import OURS


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """No variable of the developer's shell and no .env counts."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def served(**settings: str) -> list[tuple[str, str, str | None]]:
    """By what name, which model, with what id."""
    models = read_settings(**settings).served_models
    return [(name, str(model.source), model.model_id) for name, model in models.items()]


DEFAULT = "ViT-B-32:laion2b_s34b_b79k"
DEFAULT_ID = "OpenCLIP-ViT-B-32-laion2B"


def test_defaults_are_the_original_s():
    assert served() == [(DEFAULT, DEFAULT, DEFAULT_ID)]
    settings = read_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 7860)
    assert settings.cors_origins == ["*"]


def test_another_model_derives_its_id():
    assert served(model_pretrained="openai") == [("ViT-B-32:openai", "ViT-B-32:openai", None)]
    assert served(model_name="ViTamin-L") == [("ViTamin-L:datacomp1b", "ViTamin-L:datacomp1b", None)]
    assert served(model_name="emoji", model_id="mine") == [("emoji", "emoji", "mine")]


def test_the_default_model_however_it_is_spelled():
    for name in ("vit-b-32", "VIT_B_32"):
        assert served(model_name=name) == [(f"{name}:laion2b_s34b_b79k", DEFAULT, DEFAULT_ID)]
    assert served(model_name=" ViT-B-32\n", model_pretrained=" ") == [(DEFAULT, DEFAULT, DEFAULT_ID)]
    assert served(model_name=DEFAULT) == [(DEFAULT, DEFAULT, DEFAULT_ID)]
    with pytest.raises(UnknownModel, match="write ViT-B-32:openai"):
        served(model_name="ViT-B/32")  # OpenAI's spelling: whoever types it may mean their weights


def test_models_are_read_as_a_name_is(tmp_path: Path):
    (tmp_path / "a.pt").touch()
    (tmp_path / "c:d").mkdir()
    models = f"vit-b-32,ViT-L-14:openai:a.pt,RN50:{tmp_path}/a.pt,openai/clip-vit-base-patch32,./c:d,hf-hub:a/b@c"
    assert [model[1:] for model in served(models=models)] == [
        (DEFAULT, None),
        (f"ViT-L-14:openai:{tmp_path}/a.pt", None),
        (f"RN50:{tmp_path}/a.pt", None),
        ("hf-hub:openai/clip-vit-base-patch32", None),
        (f"local-dir:{tmp_path}/c:d", None),
        ("hf-hub:a/b@c", None),
    ]
    assert [name for name, *_ in served(models=models)] == models.split(",")


def test_a_wrong_model_is_told_before_any_is_loaded():
    with pytest.raises(UnknownModel, match=r"^MODELS='ViT-B-33': "):
        served(models="emoji,ViT-B-33")


def test_flag_beats_environment_beats_dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path):
    (tmp_path / ".env").write_text("PORT=1\nMODEL_ID=from-file\nLOG_LEVEL=error\nUNKNOWN=x\n")
    assert read_settings().port == 1
    monkeypatch.setenv("PORT", "2")
    assert read_settings().port == 2
    assert read_settings(port="3").port == 3
    assert read_settings().model_id == "from-file"


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PORT", "")
    assert read_settings().port == 7860


def test_case_of_words_does_not_matter(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PRECISION", "FP32")
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    settings = read_settings()
    assert (settings.precision, settings.log_level) == ("fp32", "warning")


def test_origins_are_split_at_commas(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example, https://b.example")
    assert read_settings().cors_origins == ["https://a.example", "https://b.example"]


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ({"precision": "fp8"}, ["PRECISION", "'fp8'", "'auto'", "'fp32'", "'bf16'"]),
        ({"device": "tpu"}, ["DEVICE", "'tpu'", "'auto'", "'cpu'"]),
        ({"port": "seven"}, ["PORT", "'seven'", "integer"]),
        ({"port": "70000"}, ["PORT", "70000", "65535"]),
        ({"max_batch": "0"}, ["MAX_BATCH", "greater than or equal to 1"]),
        ({"log_level": "loud"}, ["LOG_LEVEL", "'debug'", "'error'"]),
    ],
)
def test_a_wrong_value_is_one_line_with_name_and_allowed_values(flags, parts):
    with pytest.raises(InvalidSetting) as caught:
        read_settings(**flags)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("name", [name for name, field in Settings.model_fields.items() if field.annotation is float])
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "NaN", "Infinity", "1e999", "1e300", "-1", "1" * 400, "0x10"])
def test_a_number_that_is_none_or_absurd_is_one_line(name: str, value: str):
    assert_refused(name, value)


@pytest.mark.parametrize("name", [name for name, field in Settings.model_fields.items() if field.annotation is int])
@pytest.mark.parametrize("value", ["inf", "nan", "-1", str(10**30), "9" * 5000, "1.5", "1e3"])
def test_a_count_that_is_none_or_absurd_is_one_line(name: str, value: str):
    assert_refused(name, value)


@pytest.mark.parametrize("name", ["api_key", "url_hosts", "allowed_hosts", "models"])
@pytest.mark.parametrize("value", [",", " ", " , ,", ""])
def test_a_list_that_names_nothing_is_no_open_door(name: str, value: str):
    assert_refused(name, value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("allowed_hosts", ["clip.example:7860", "http://clip.example", "clip.example/", "*.example", "a b"]),
        ("url_hosts", ["img.example:8080", "https://img.example", "img.example/photos", "*.img.example", "*"]),
        (
            "cors_origins",
            ["shop.example", "https://shop.example/", "https://shop.example/page", "https://", "*.example"],
        ),
    ],
)
def test_a_name_that_no_request_has_is_refused(name: str, values: list[str]):
    for value in values:
        assert_refused(name, value)
        assert_refused(name, f"a.example,{value}" if name == "url_hosts" else f"*,{value}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url_hosts", "Img.example,10.0.0.1,2001:db8::1"),
        ("allowed_hosts", "*"),
        ("allowed_hosts", "Clip.example,clip_2.example.,10.0.0.1,::1"),
        ("cors_origins", "*"),
        ("cors_origins", ""),
        ("cors_origins", "https://shop.example,http://localhost:3000,http://[::1]:3000,chrome-extension://abc,null"),
    ],
)
def test_names_that_requests_have(name: str, value: str):
    assert getattr(read_settings(**{name: value}), name) == [part for part in value.split(",") if part]


def assert_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        read_settings(**{name: value})
    assert str(caught.value).startswith(f"{name.upper()}=")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [",", "  "])
def test_a_key_that_names_nothing_in_the_environment_ends_the_start(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("API_KEY", value)
    with pytest.raises(InvalidSetting, match=r"API_KEY=.*: it is empty"):
        read_settings()


@pytest.mark.parametrize("name", ["PORT", "SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT", "aip_http_port"])
@pytest.mark.parametrize("value", ["x", "-1", " ", "70000", "1e3"])
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_wrong_port_has_the_name_that_it_was_given_by(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, place: str
):
    if place == ".env":
        (tmp_path / ".env").write_text(f"{name}='{value}'\n")
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting) as caught:
        read_settings()
    assert str(caught.value).startswith(f"{name.upper()}=")
    with pytest.raises(InvalidSetting, match=r"^PORT='y'"):
        read_settings(port="y")


def test_a_dotenv_that_is_no_text_is_one_line(tmp_path: Path):
    (tmp_path / ".env").write_bytes("MODEL_NAME=é".encode("latin-1"))
    with pytest.raises(InvalidSetting, match=r"^\.env: .*UTF-8"):
        read_settings()


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("HOST", b"\x80", "HOST="),
        ("HOST", b"a" * 64, "HOST="),
        ("HOST", b"999.1.1.1", "HOST="),
        ("API_KEY", b"right,\x80", "API_KEY="),
        ("MODEL_ID", b"\x80", "MODEL_ID="),
        ("AIP_HTTP_PORT", b"http", "AIP_HTTP_PORT="),
        ("AIP_PREDICT_ROUTE", b"/a b", "AIP_PREDICT_ROUTE="),
        ("URL_ALLOW_PRIVATE", b"169.254.169.254", "URL_ALLOW_PRIVATE="),
        ("MODEL_NAME", b"\x80", "MODEL_NAME"),
        ("MODELS", b"emoji,\x80", "MODEL"),
    ],
)
def test_a_wrong_variable_ends_the_command_with_one_line(name: str, value: bytes, named: str):
    environment = {key: text for key, text in os.environb.items() if not OURS.match(os.fsdecode(key))}
    environment |= {b"MODEL_NAME": b"emoji", b"PORT": b"0"}
    environment |= {b"MODEL_NAME": b""} if name == "MODELS" else {}
    command = [sys.executable, "-m", "openclip_api", "serve"]
    done = subprocess.run(command, env=environment | {name.encode(): value}, capture_output=True, timeout=60)
    *_, last = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert named in last
    assert b"Traceback" not in done.stderr


def test_only_origins_that_are_set_are_named(monkeypatch: pytest.MonkeyPatch):
    assert read_settings().named_origins == []
    assert read_settings(cors_origins="*").named_origins == ["*"]
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example")
    assert read_settings().named_origins == ["https://a.example"]


def test_every_setting_has_help_and_is_hidden_from_the_tests_server():
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert OURS.match(name.upper()), f"{name}: tests would inherit it from the shell"


def test_the_page_of_settings_is_what_settings_py_says():
    docs = Path(__file__).parents[1] / "docs"
    tables = runpy.run_path(str(docs / "write_settings.py"))["tables"]()
    assert f"by docs/write_settings.py -->\n{tables}<!--" in (docs / "settings.md").read_text(encoding="utf-8")
