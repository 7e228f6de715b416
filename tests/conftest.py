"""Options of the suite."""

from __future__ import annotations

import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts what is put in the background (`bash tests/run.sh &`, some CI services) with
    # SIGINT ignored, and every child inherits that: the tests of Ctrl-C would press it in vain.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--torture",
        action="store_true",
        help="run the torture tests at every point instead of the slice that CI runs",
    )


@pytest.fixture
def whole_torture(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--torture"))
