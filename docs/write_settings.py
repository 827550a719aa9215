"""Write docs/settings.md from settings.py: every setting with its default and meaning, in groups.

python docs/write_settings.py
"""

from __future__ import annotations

from pathlib import Path

from openclip_api.settings import Settings

DOCUMENT = Path(__file__).with_name("settings.md")
START, END = "<!-- tables: written by docs/write_settings.py -->\n", "<!-- end of tables -->\n"

GROUPS = {
    "Model": "model_name model_pretrained model_id models max_loaded_models cache_dir self_check",
    "Computing": "device precision threads workers max_batch text_cache_mb",
    "Server": "host port api_key cors_origins allowed_hosts log_level log_format aip_health_route aip_predict_route",
    "Limits": "max_texts max_items max_prompts max_body_mb max_queue max_queue_mb request_timeout body_timeout "
    "grace_seconds",
    "Images": "image_reading image_formats max_image_megapixels jpeg_scaling decode allow_image_urls url_hosts "
    "url_allow_private url_timeout",
    "Search": "store",
}


def tables() -> str:
    """Raises ValueError if a setting is in no group, or in two."""
    grouped = [name for names in GROUPS.values() for name in names.split()]
    if sorted(grouped) != sorted(Settings.model_fields):
        raise ValueError(f"GROUPS and Settings differ: {sorted(set(grouped) ^ set(Settings.model_fields))}")
    return "\n".join(f"## {group}\n\n{_table(names.split())}" for group, names in GROUPS.items())


def _table(names: list[str]) -> str:
    rows = "".join(
        f"| `{name.upper()}` | {_default(name)} | {Settings.model_fields[name].description} |\n" for name in names
    )
    return f"| setting | default | meaning |\n|---|---|---|\n{rows}"


def _default(name: str) -> str:
    default = Settings.model_fields[name].default
    if isinstance(default, bool):
        default = str(default).lower()
    if isinstance(default, list):
        default = ",".join(default)
    return "" if default in (None, "") else f"`{default}`"


def main() -> None:
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(START)
    DOCUMENT.write_text(before + START + tables() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
