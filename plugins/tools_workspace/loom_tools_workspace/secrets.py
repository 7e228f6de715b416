"""Files whose content is never shown to a model, told by their names."""

from __future__ import annotations

import fnmatch
import re
import unicodedata

import attrs

from loom_tools_workspace.patterns import PathPattern

# Matched against every part of a path, so that a folder of such a name closes what is in it.
SECRET_NAMES = (
    *(".env", ".env.*", "*.env", ".envrc", ".flaskenv"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.pem", "*.key", "*.ppk", "*.gpg"),
    *("*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.keytab"),
    *(".netrc", "_netrc", ".pgpass", ".my.cnf", ".npmrc", ".pypirc", ".htpasswd", ".git-credentials", ".dockercfg"),
    *("credentials", "credentials.json", "credentials.toml", "credentials.ini", "credentials.csv", "credentials.xml"),
    *("credentials.y*ml", "*credentials*.json", "client_secret*.json", "service[-_]account*.json"),
    *("secrets", ".secrets", "secrets.json", "secrets.toml", "secrets.ini", "secrets.y*ml", ".vault[-_]token"),
    *("*.tfstate", "*.tfstate.*", "*.tfvars"),
    *(".git", ".ssh", ".gnupg", ".aws", ".azure", ".kube"),
)
SECRET_PATHS = ("**/.docker/config.json", "**/.config/gh/hosts.yml", "**/.config/gcloud")
PUBLIC_NAMES = (".env.example", ".env.sample", ".env.template", ".env.dist", "example.env", "sample.env")
# SQLite's files are refused unopened, whoever made them: closing one would drop the locks that another connection of
# this process holds on it, and they are binary, so that nothing is lost. `guard` knows the run database by its inode.
DATABASE_NAMES = ("*.sqlite", "*.sqlite3", "*.db", "*.db3", "*-wal", "*-shm", "*-journal")


@attrs.frozen
class SecretNames:
    """Decides by name what is closed. Case, compatibility forms and invisible characters make no difference."""

    closed_names: re.Pattern[str]
    closed_paths: tuple[PathPattern, ...]
    public_names: re.Pattern[str]
    database_names: re.Pattern[str]

    @classmethod
    def of(cls, more: tuple[str, ...] = ()) -> SecretNames:
        """Return the built-in names and ``more``: globs of a name, or of a path when they contain a slash."""
        names = SECRET_NAMES + tuple(name for name in more if "/" not in name)
        paths = SECRET_PATHS + tuple(name for name in more if "/" in name)
        return cls(
            _any_of(names),
            tuple(PathPattern.parse(_plain(path)) for path in paths),
            _any_of(PUBLIC_NAMES),
            _any_of(DATABASE_NAMES),
        )

    def hides(self, parts: tuple[str, ...]) -> bool:
        """Say whether this relative path is secret by its last part, given that no folder above it is."""
        name = _plain(parts[-1])
        if _is_private_key(name):
            return True
        if self.closed_names.match(name) and not self.public_names.match(name):
            return True
        return any(pattern.matches(tuple(map(_plain, parts))) for pattern in self.closed_paths)

    def database(self, name: str) -> bool:
        """Say whether this is the name of a SQLite database or of a file beside one."""
        return self.database_names.match(_plain(name)) is not None


def _any_of(names: tuple[str, ...]) -> re.Pattern[str]:
    # One expression instead of fifty: a walk asks about every entry.
    return re.compile("|".join(fnmatch.translate(_plain(name)) for name in names))


def _plain(name: str) -> str:
    if name.isascii():
        return name.lower()
    # File systems that fold case or ignore joiners (HFS+) open `.git` under other spellings.
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(char for char in folded if unicodedata.category(char) != "Cf")


def _is_private_key(name: str) -> bool:
    # ssh's keys have no suffix; `id_generator.py` is code.
    return name.startswith("id_") and "." not in name
