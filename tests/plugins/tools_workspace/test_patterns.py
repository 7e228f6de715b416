"""Globs, ignore rules and secret names decide by name, quickly, and the same way everywhere."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loom_tools_workspace.names import quantity, shown
from loom_tools_workspace.patterns import IgnoreRules, PathPattern
from loom_tools_workspace.secrets import SecretNames

SECRETS = SecretNames.of(("*.private", "docs/closed/*"))


@given(st.text("ab*?[]!/", min_size=1, max_size=12), st.lists(st.text("ab", min_size=1, max_size=3), max_size=5))
def test_any_pattern_can_be_asked_about_any_path(pattern: str, parts: list[str]) -> None:
    PathPattern.parse(pattern).matches(tuple(parts))


@given(st.text("ab*?", min_size=1, max_size=8).filter(lambda text: "**" not in text), st.text("ab", min_size=1))
def test_one_segment_means_what_fnmatch_says(pattern: str, name: str) -> None:
    assert fnmatchcase(name, pattern) == PathPattern.parse(pattern).matches(("x", name))


def test_no_pattern_is_slow() -> None:
    started = time.process_time()
    PathPattern.parse("*a" * 100 + "b").matches(("a" * 250,))
    PathPattern.parse("**/a/" * 60 + "b").matches(("a",) * 64)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "path", "ignored"),
    [
        ("*.log", "a/b.log", True),
        ("/a", "b/a", False),
        ("a/b", "x/a/b", False),
        ("a/b", "a/b", True),
        ("*\n!a", "a", False),
        ("!a\n*", "a", True),
        ("a ", "a", True),
        ("#a", "#a", False),
        (r"\#a", "#a", True),
        (r"\!a", "!a", True),
        (r"\*", "x", False),
        (r"\*", "*", True),
        ("a/**", "a/b/c", True),
        ("**/c", "a/b/c", True),
        ("[ab].c", "b.c", True),
        ("d/", "d", False),
        ("/", "a", False),
        ("!", "a", False),
    ],
)
def test_ignore_rules_mean_what_git_says(text: str, path: str, ignored: bool) -> None:
    assert ignored == IgnoreRules.parse(text).ignores(tuple(path.split("/")), folder=False)


def test_a_rule_for_folders_ignores_only_folders() -> None:
    assert IgnoreRules.parse("d/").ignores(("x", "d"), folder=True)


@pytest.mark.parametrize(
    "path",
    [
        *(".env", ".ENV", ".env.local", ".env.production", "prod.env", ".envrc", ".Env", "．env", ".e\u200dnv"),
        *("id_rsa", "id_rsa.bak", "id_ed25519", "id_ecdsa_sk", "id_work", "ID_RSA", "server.pem", "a/b/tls.KEY"),
        *(".netrc", "_netrc", ".npmrc", ".pypirc", ".pgpass", ".git-credentials", ".htpasswd", "x.p12", "x.kdbx"),
        *("credentials", "Credentials.json", "aws-credentials.json", "credentials.yaml", "client_secret_1.json"),
        *("secrets.yml", "secrets", "service-account.json", "main.tfstate", "x.tfstate.backup", "a.tfvars"),
        *(".git/config", ".GIT/config", ".g\u200cit/config", "sub/.git", ".ssh/known_hosts", ".aws/config"),
        *("home/.docker/config.json", ".config/gcloud/x", "my.private", "docs/closed/a.md", "docs/closed/b/c.md"),
    ],
)
def test_secret_names_are_refused_by_every_tool_and_never_searched(desk, path: str) -> None:
    desk.write(path, "word")
    desk.link("innocent.txt", path)
    desk.refusal(desk.argv, path)
    for call in (desk.read, lambda path: desk.search("word", path=path)):
        assert "may hold secrets" in desk.refusal(call, path)
        assert "may hold secrets" in desk.refusal(call, "innocent.txt")
    assert desk.search("word").startswith("0 results")
    assert "not readable" in desk.list() or "left out" in desk.list()


@pytest.mark.parametrize(
    "path",
    [
        *(".env.example", ".env.sample", "environment.md", "id_generator.py", "keys.py", "key", "credentials.py"),
        *("secrets.py", "docs/secrets.md", ".github/workflows/ci.yml", ".gitignore", ".docker/Dockerfile"),
        *("environ", "monkey", "package.json", "docs/closed.md", "x/docs/closed/a.md", "envoy"),
    ],
)
def test_names_that_only_resemble_secrets_are_readable(desk, path: str) -> None:
    desk.write(path, "word")
    assert desk.read(path) == "word"


@given(st.text(max_size=400))
def test_a_shown_name_is_one_printable_line_that_can_be_encoded(name: str) -> None:
    assert shown(name).isprintable()
    shown(name).encode()


def test_numbers_are_told_with_their_noun() -> None:
    assert [
        quantity(1, "file"),
        quantity(1_000, "file"),
        quantity(0, "entry", "entries"),
    ] == ["1 file", "1,000 files", "0 entries"]


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4))
def test_any_name_can_be_judged(parts: list[str]) -> None:
    SECRETS.hides(tuple(parts))
    SECRETS.database(parts[-1])
