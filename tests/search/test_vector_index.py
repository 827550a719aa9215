"""The IVF-PQ index of a store whose rows change: kept, and never stale."""

from __future__ import annotations

import json
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from openclip_api.search.store import Store

OPTIONS = ["--text-column", "title", "--id-column", "sku", "--keep", "price", "--exact-below", 300]


def indexed(store: Path) -> int:
    """How many rows its index covers; 0 without one."""
    table = lancedb.connect(store.parent).open_table(store.stem)
    stats = table.index_stats("vector_idx") if table.list_indices() else None
    return stats.num_indexed_rows if stats else 0


def write(path: Path, prices: dict[int, object]) -> None:
    path.write_text("sku,title,price\n" + "".join(f"{n},a thing of number {n},{p}\n" for n, p in prices.items()))


def test_changes_are_found_and_the_index_stays(tmp_path: Path, index, search, capsys):
    path, store = tmp_path / "t.csv", tmp_path / "s.lance"
    prices: dict[int, object] = dict.fromkeys(range(320), 1)

    def nearest(number: int) -> list[str]:
        capsys.readouterr()
        search("--like", number, "--k", 1, "--copies", "--json", store=store)
        return [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]

    write(path, prices)
    assert index(path, *OPTIONS, store=store) == 0
    assert "IVF-PQ index, recall@10" in capsys.readouterr().out
    assert indexed(store) == 320
    for number in (5000, 6000):
        prices[number] = 1
        del prices[number // 1000]
        write(path, prices)
        assert index(path, *OPTIONS, store=store) == 0
        assert "IVF-PQ" not in capsys.readouterr().out
        assert indexed(store) >= 316
        assert nearest(number) == [str(number)]
    prices[7] = 2.5  # the column becomes one of numbers: all rows are written anew
    write(path, prices)
    assert index(path, *OPTIONS, store=store) == 0
    assert indexed(store) == 320
    assert nearest(7) == ["7"]


def test_many_equal_vectors_get_no_index(tmp_path: Path):
    """Lance makes none of them where they are so many."""
    count, width = 70_000, 16
    schema = pa.schema([("id", pa.string()), ("path", pa.string()), ("vector", pa.list_(pa.float32(), width))])
    store = Store.create(tmp_path / "s.lance", schema, "m", "f")
    few = np.random.default_rng(0).normal(size=(20, width)).astype(np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(few[np.arange(count) % 20].reshape(-1)), width)
    ids = [str(number) for number in range(count)]
    store.add(pa.table({"id": ids, "path": ids, "vector": vectors}))
    assert store.build_index(300) is None
    assert store.build_index(300) is None  # and does not try each time
    assert [row["id"] for row in store.search(few[3], 1)] != []


def test_an_index_that_a_kill_prevented_is_made_by_the_next_run(tmp_path: Path, index, monkeypatch):
    path, store = tmp_path / "t.csv", tmp_path / "s.lance"
    write(path, dict.fromkeys(range(320), 1))
    with monkeypatch.context() as patch:
        patch.setattr(Store, "build_index", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            index(path, *OPTIONS, store=store)
    assert indexed(store) == 0
    assert index(path, *OPTIONS, store=store) == 0
    assert indexed(store) == 320
