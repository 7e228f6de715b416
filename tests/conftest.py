"""Options of the suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--torture",
        action="store_true",
        help="run the torture tests at every point instead of the slice that CI runs",
    )


@pytest.fixture
def whole_torture(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--torture"))
