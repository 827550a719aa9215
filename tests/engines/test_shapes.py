from openclip_api.engines.shapes import MOST_TOKENS, batch_rows, batch_tokens, passes


def test_few_sizes_hold_every_batch():
    sizes = sorted({batch_rows(n) for n in range(1, 33)})
    assert sizes == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    assert all(batch_rows(n) >= n for n in range(1, 200))


def test_few_totals_hold_all_tokens():
    totals = {n: batch_tokens(n) for n in range(1, MOST_TOKENS + 1)}
    assert all(total >= n for n, total in totals.items())
    assert max((total - n) / n for n, total in totals.items() if n > 64) < 1 / 8
    assert max(total - n for n, total in totals.items() if n <= 64) == 7
    assert len(set(totals.values())) == 24


def test_a_pass_has_an_end():
    assert list(passes([7])) == [(slice(0, None), 7)]
    assert list(passes([77] * 7)) == [(slice(0, 3), 231), (slice(3, 6), 231), (slice(6, None), 77)]
    longer = MOST_TOKENS + 1
    assert list(passes([longer, 3, 4])) == [(slice(0, 1), longer), (slice(1, None), 7)]
