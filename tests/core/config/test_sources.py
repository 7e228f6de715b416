"""Sources that are not what they should be: misspelt variables, files that are none."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from loom_core.config import load_config, read_config
from loom_core.config.files import MAX_BYTES
from loom_core.errors import ConfigError


def faults(environ: dict[str, str], file: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        load_config(flags={}, environ=environ, user_file=file)
    assert "docs/" not in (raised.value.hint or "docs/")
    return raised.value.faults


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("LOOM_MODLE", "did you mean `LOOM_MODEL`?"),
        ("LOOM_DBS", "did you mean `LOOM_DB`?"),
        ("LOOM_DISABLED_PLUGINS", "did you mean `LOOM_DISABLE_PLUGINS`?"),
        ("LOOM_STRICT_PLUGIN", "did you mean `LOOM_STRICT_PLUGINS`?"),
        ("LOOM_PLUGIN__X__Y", "write LOOM_PLUGINS__NAME__FIELD"),
        ("LOOM_PLUGINS_X__Y", "write LOOM_PLUGINS__NAME__FIELD"),
        ("LOOM_WHATEVER", "variables there are: LOOM_DB, LOOM_MODEL, "),
    ],
)
def test_a_misspelt_variable_is_a_fault_that_says_what_was_meant(tmp_path: Path, name: str, guess: str) -> None:
    (fault,) = faults({name: "x"}, tmp_path / "none")
    assert fault.startswith(f"environment {name}: is unknown; {guess}")


def test_a_misspelt_variable_is_reported_with_every_other_fault(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("db = 1\nmodell = 2")
    found = faults({"LOOM_MODLE": "x", "LOOM_STRICT_PLUGINS": "perhaps"}, file)
    assert len(found) == 4 and any("LOOM_STRICT_PLUGINS: must be true or false" in fault for fault in found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOOM_MODLE", ""),
        ("loom_modle", "x"),
        ("LOOMING", "x"),
        ("LOOM_TEST_PROCESSES", "2"),
        ("LOOM_FUZZ_PROGRAMS", "5000"),
        ("LOOM_SERVICE_HOST", "10.0.0.1"),
        ("LOOM_SERVICE_PORT_HTTP", "80"),
        ("LOOM_PORT", "tcp://10.0.0.1:80"),
        ("LOOM_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("LOOM_API_SERVICE_PORT", "80"),
        ("LOOM_PLUGINS__NOT_INSTALLED__X", "1"),
    ],
)
def test_variables_that_are_none_of_loom_s_business_are_left_alone(tmp_path: Path, name: str, value: str) -> None:
    assert load_config(flags={}, environ={name: value}, user_file=tmp_path / "none").faults == ()


def test_a_pipe_a_device_a_socket_and_a_folder_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    listening = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(listening))
        expected = {pipe: "a pipe", Path("/dev/zero"): "a device", listening: "a socket", tmp_path: "a folder"}
        for path, what in expected.items():
            assert faults({}, path) == (f"file {path}: is {what}, not a file",)
            assert faults({"LOOM_CONFIG": str(path)}, tmp_path / "none") == (f"file {path}: is {what}, not a file",)


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert faults({}, file) == (f"file {file}: is longer than {MAX_BYTES} bytes, so it is no configuration file",)
    file.write_text("#" * MAX_BYTES)
    assert load_config(flags={}, environ={}, user_file=file).items() == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [("a = " + "[" * 100_000, "is nested too deeply"), ("db = " + "1" * 5000, "is not TOML: ")],
)
def test_a_file_made_to_break_the_parser_is_one_sentence(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(content)
    (fault,) = faults({}, file)
    assert reason in fault and len(fault) < 400


def test_a_configuration_can_be_read_with_its_faults(tmp_path: Path) -> None:
    config = read_config(flags={}, environ={"LOOM_MODLE": "x", "LOOM_DB": "d"}, user_file=tmp_path / "none")
    assert config.db == "d" and len(config.faults) == 1 and config.hint
