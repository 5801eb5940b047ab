"""Checks of gradients for users' own tests: `gradcheck`, `assert_gradients`, and what they say.

    from minigen.testing import assert_gradients, strategies as st

    @given(st.arrays(shape=st.shapes()))
    def test_my_operation(x):
        assert_gradients(my_operation, x)

`strategies` needs hypothesis, and is imported on its own.
"""

from minigen.testing.gradcheck import *
from minigen.testing.report import *
from minigen.testing.terms import register_terms
