from openclip_api.engines.shapes import LastShape


def test_a_shape_is_kept_while_little_is_computed_for_nothing():
    shape = LastShape(spare=10)
    assert shape.at_least(2, 8) == (2, 8)
    assert shape.at_least(1, 8) == (2, 8)  # 8 tokens of padding
    assert shape.at_least(2, 8) == (2, 8)
    assert shape.at_least(2, 7) == (2, 8)  # 10 in all
    assert shape.at_least(2, 7) == (2, 7)  # 12 would be more than a change costs
    assert shape.at_least(2, 4) == (2, 7)  # counted anew


def test_what_does_not_fit_gets_a_shape_of_its_own():
    shape = LastShape(spare=100)
    shape.at_least(4, 8)
    assert shape.at_least(1, 9) == (1, 9)
    assert shape.at_least(5, 4) == (5, 4)


def test_tokens_that_cost_nothing_are_taken_along():
    shape = LastShape(spare=10, free=16)
    assert shape.at_least(1, 4) == (1, 16)
    assert all(shape.at_least(1, length) == (1, 16) for length in (8, 12, 4, 3, 16) * 10)
    assert shape.at_least(3, 4) == (3, 5)
    assert shape.at_least(4, 6) == (4, 6)
