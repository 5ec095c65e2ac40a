"""Who sits at this machine."""

from __future__ import annotations

import os


def login_name() -> str:
    """Return the login name of the account that this process runs as; what its environment claims does not count.

    An account without a name, as in a container, is ``uid 1000``; Windows has only the environment.
    """
    if os.name == "nt":
        return os.environ.get("USERNAME") or "somebody"
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
