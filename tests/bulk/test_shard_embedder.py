"""What an actor of a Ray cluster does, without a cluster: shards whose items were pickled on another machine."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import polars as pl
import pytest

from openclip_api.bulk.news import news, survey
from openclip_api.bulk.run import OutputSpec
from openclip_api.bulk.shard_embedder import ShardEmbedder
from openclip_api.bulk.sources import Sources
from openclip_api.bulk.tables import Columns, ImageAccess
from openclip_api.bulk.urls import UrlReader
from openclip_api.commands import load_model
from openclip_api.errors import InvalidSource, UnknownModel
from openclip_api.settings import read_settings

from .conftest import GOLDEN, Embed, rows_of, vectors_of

EMOJI = read_settings(model_name="emoji", precision="fp32", decode="thread")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sources_of(folder: Path) -> dict[str, tuple[list[str], Columns]]:
    (folder / "t.txt").write_bytes(b"a\nb\n\xff\n")
    (folder / "t.csv").write_text("image,url\naGk=,http://127.0.0.1/a.png\n,\n")
    with tarfile.open(folder / "t.tar", "w") as tar:
        for path in sorted(GOLDEN.iterdir())[:3]:
            info = tarfile.TarInfo(path.name)
            info.size = path.stat().st_size
            tar.addfile(info, io.BytesIO(path.read_bytes()))
    return {
        "images": ([str(GOLDEN), str(folder / "t.txt"), str(folder / "t.tar")], Columns()),
        "base64": (["t.csv"], Columns("image", "image")),
        "urls": (["t.csv"], Columns("url", "url")),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["images", "base64", "urls"])
def test_a_shard_of_the_cluster_is_the_command_s(here: Path, run: Embed, kind: str):
    paths, columns = sources_of(here)[kind]
    flags = ["--image-column", "image"] if kind == "base64" else ["--url-column", "url"] if kind == "urls" else []
    run(*paths, *flags, "--out", here / "out")
    sources = Sources(paths, columns, ImageAccess(10**6, UrlReader((), 10**6, 5).fetch))
    items = list(news(sources, survey(sources).stamps))
    items = pickle.loads(pickle.dumps(items))
    shards = ShardEmbedder(load_model, EMOJI, str(here), paths)
    model = shards.start()
    made = shards.embed(items, OutputSpec("parquet", "float32", False, 10_000, model.embed_dim, {}))
    found, wanted = pl.read_parquet(made.files["parquet"]), rows_of(here / "out")
    assert (made.rows, made.failures) == (len(wanted), wanted["error"].count())
    assert found.drop("vector").equals(wanted.drop("vector"))
    good = pl.col("error").is_null()
    assert vectors_of(found.filter(good)) == pytest.approx(vectors_of(wanted.filter(good)), abs=1e-5)


def test_a_node_without_the_sources_or_the_model_says_so(here: Path):
    with pytest.raises(InvalidSource, match=r"^photos is not there: each node must have the sources at the same path$"):
        ShardEmbedder(load_model, EMOJI, str(here), ["photos"]).start()
    with pytest.raises(UnknownModel, match="local-dir:/nowhere"):
        ShardEmbedder(load_model, read_settings(model_name="local-dir:/nowhere"), "/no/such/folder", []).start()
    assert Path.cwd() == here
