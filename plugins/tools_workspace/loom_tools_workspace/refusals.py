"""What the tools say when they do not do what they were asked: one sentence that the model can act on."""

from __future__ import annotations

import errno
import os

from loom_core.errors import CategorisedError, ErrorCategory
from loom_tools_workspace.names import shown


class WorkspaceRefusal(CategorisedError):
    """A workspace tool did nothing, or stopped; ``str()`` is one sentence for the model.

    ``error_category`` is ``permission`` for what is out of bounds, ``validation`` for what was asked wrongly,
    ``transient`` for a file that changed under the tool. Only the last is worth asking again unchanged.
    """

    code = "workspace_refusal"

    def __init__(self, message: str, *, error_category: ErrorCategory = ErrorCategory.VALIDATION) -> None:
        super().__init__(message, error_category=error_category, is_retryable=error_category is ErrorCategory.TRANSIENT)


def forbidden(message: str) -> WorkspaceRefusal:
    """Return a refusal of something that is out of bounds, however it is asked for."""
    return WorkspaceRefusal(message, error_category=ErrorCategory.PERMISSION)


def changed(path: str) -> WorkspaceRefusal:
    """Return a refusal of a name that meant another thing a moment ago."""
    return WorkspaceRefusal(
        f"`{shown(path)}` was replaced while it was being opened; ask again", error_category=ErrorCategory.TRANSIENT
    )


def from_os_error(error: OSError, path: str) -> WorkspaceRefusal:
    """Return what an error of the operating system about ``path`` means for the model."""
    name = shown(path)
    if error.errno == errno.ENOENT:
        return WorkspaceRefusal(f"there is no `{name}` in the workspace; list_files shows what there is")
    if error.errno in (errno.EACCES, errno.EPERM):
        return forbidden(f"the operating system does not allow reading `{name}`")
    if error.errno == errno.ENAMETOOLONG:
        return WorkspaceRefusal(f"`{name}` is longer than a file name can be")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ESTALE):
        return changed(path)
    reason = os.strerror(error.errno) if error.errno is not None else str(error)
    return WorkspaceRefusal(f"`{name}` could not be read: {reason}")
