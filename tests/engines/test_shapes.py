from openclip_api.engines.shapes import TextShapes, batch_rows, text_length

CONTEXT = 77


def test_few_sizes_hold_every_batch():
    sizes = sorted({batch_rows(n) for n in range(1, 33)})
    assert sizes == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    assert all(batch_rows(n) >= n for n in range(1, 200))


def test_long_texts_are_rounded_less():
    lengths = {n: text_length(n, CONTEXT) for n in range(1, 78)}
    assert all(length >= n for n, length in lengths.items())
    assert sorted(set(lengths.values())) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48, 56, 64, 77]
    assert max(length - n for n, length in lengths.items() if n > 32) == 12  # up to the context's end


def test_a_shape_is_kept_while_little_is_computed_in_vain():
    shapes = TextShapes(CONTEXT, padding_budget=10)
    assert shapes.choose(2, 7) == (2, 8)
    assert shapes.choose(1, 8) == (2, 8)  # 8 tokens of padding
    assert shapes.choose(2, 8) == (2, 8)
    assert shapes.choose(2, 6) == (2, 6)  # 12 would be more than a change costs
    assert shapes.choose(2, 4) == (2, 6)  # counted anew
    assert shapes.choose(1, 6) == (2, 6)  # 10 in all
    assert shapes.choose(2, 4) == (2, 4)


def test_what_does_not_fit_gets_a_shape_of_its_own():
    shapes = TextShapes(CONTEXT, padding_budget=100)
    shapes.choose(4, 8)
    assert shapes.choose(1, 9) == (1, 12)
    assert shapes.choose(5, 4) == (6, 4)


def test_tokens_that_cost_nothing_are_taken_along():
    shapes = TextShapes(CONTEXT, padding_budget=10, free_tokens=16)
    assert shapes.choose(1, 4) == (1, 16)
    assert all(shapes.choose(1, length) == (1, 16) for length in (8, 12, 4, 3, 16) * 10)
    assert shapes.choose(3, 4) == (3, 5)
    assert shapes.choose(4, 6) == (4, 6)


def test_a_shape_is_never_longer_than_the_context():
    shapes = TextShapes(context_length=12, padding_budget=10, free_tokens=16)
    assert shapes.choose(1, 3) == (1, 12)
    assert shapes.choose(2, 12) == (2, 12)
