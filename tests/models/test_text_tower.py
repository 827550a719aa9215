from openclip_api.models.text_tower import kept_length, next_size


def test_few_sizes_hold_every_batch() -> None:
    sizes = sorted({next_size(n) for n in range(1, 33)})
    assert sizes == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    assert all(next_size(n) >= n for n in range(1, 200))


def test_long_texts_are_rounded_less() -> None:
    lengths = {n: kept_length(n, 1, 77) for n in range(1, 78)}
    assert all(kept >= n for n, kept in lengths.items())
    assert sorted(set(lengths.values())) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48, 56, 64, 77]
    assert max(kept - n for n, kept in lengths.items() if n > 32) == 12  # up to the context's end


def test_the_least_is_kept_and_never_more_than_the_context() -> None:
    assert kept_length(3, 16, 77) == 16
    assert kept_length(3, 100, 77) == 77
