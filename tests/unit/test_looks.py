"""Which kind of sandbox a source needs, by a look at it."""

from __future__ import annotations

import pytest

from code_executor.service.looks import Looks

KINDS = (("numpy", "pandas"), ("matplotlib.pyplot",), ("scipy.stats", "scipy.optimize", "sympy"))


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("", 0),
        ("print('hello')", 0),
        ("import random, statistics", 0),
        ("import numpy as np", 1),
        ("from pandas import DataFrame", 1),
        ("import networkx", 1),
        ("import matplotlib.pyplot as plt", 2),
        ("from pylab import *", 2),
        ("import pandas as pd\npd.DataFrame({'a': [1]}).plot()", 2),
        ("import pandas as pd\npd.read_csv('x').hist(bins=3)", 2),
        ("import pandas as pd\nprint(pd.DataFrame({'a': [1]}).sum())", 1),
        ("ax.plot(1)", 0),
        ("from scipy import stats", 3),
        ("import sympy\nimport matplotlib", 3),
        ("import seaborn as sns", 3),
        ("from sklearn.linear_model import LinearRegression", 3),
    ],
)
def test_a_source_needs_the_least_kind_that_has_what_it_names(source: str, kind: int) -> None:
    assert Looks(KINDS).kind(source.encode()) == kind


def test_of_several_sources_the_largest_need_counts() -> None:
    assert Looks(KINDS).kind(b"import helper", b"import numpy", b"x = 1") == 1
    assert Looks(KINDS).kind() == 0


def test_what_no_kind_has_is_not_looked_for() -> None:
    assert Looks(()).kind(b"import numpy, sympy, seaborn") == 0
    assert Looks((("numpy",),)).kind(b"import pandas\nframe.plot(); import seaborn") == 0
    assert Looks((("pandas",),)).kind(b"import pandas\nframe.plot()") == 1
