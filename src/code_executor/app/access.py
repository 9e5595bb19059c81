"""The settings of keys and of what the server keeps, apart from those in `settings`, which has them too."""

from __future__ import annotations

import ipaddress
import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from code_executor.grading.signing import FILE as RECEIPT_KEYS

_FILE = "code-executor.db"


def _default_directory() -> str:
    """Return where root keeps data, or this user."""
    if os.geteuid() == 0:
        return "/var/lib/code-executor"
    base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local/share")
    return os.path.join(base, "code-executor")


class AccessSettings(BaseSettings):
    """See each field's description."""

    model_config = SettingsConfigDict(env_prefix="CODE_EXECUTOR_", frozen=True, extra="forbid", env_ignore_empty=True)

    data: str = Field(
        "",
        description="The directory for what the server keeps: its database, its secret, the keys of receipts. It is "
        "made when something is kept. Empty: `/var/lib/code-executor` for root, else `~/.local/share/code-executor`.",
    )
    database: str = Field(
        "",
        description="The database, as a URL of SQLAlchemy: `sqlite:////path/of/a/file.db`, or "
        "`postgresql://user@host/name` (needs `pip install 'code-executor[postgres]'`). Empty: an SQLite file in the "
        "directory of `CODE_EXECUTOR_DATA`.",
    )

    keys: str = Field(
        "",
        description="A TOML file with keys, beside those of `code-executor keys` ([platform.md](platform.md#keys)). "
        "Every request then needs a key.",
    )
    require_key: bool = Field(
        False,
        description="Whether a server without a key refuses to listen on another address than loopback.",
    )
    secret_file: str = Field(
        "",
        description="The file with the server secret. Servers that share keys must share it. Empty: `secret` in the "
        "directory of `CODE_EXECUTOR_DATA`, made with the first key.",
    )

    def data_directory(self) -> str:
        return os.path.abspath(self.data) if self.data else _default_directory()

    def database_url(self) -> str:
        """Return the URL of the database, which need not exist yet."""
        return self.database or f"sqlite:///{os.path.join(self.data_directory(), _FILE)}"

    def database_exists(self) -> bool:
        """Whether there is anything to open: an SQLite file is made when something is kept."""
        url = self.database_url()
        return not url.startswith("sqlite") or os.path.exists(url.partition(":///")[2].partition("?")[0])

    def receipt_keys_path(self) -> str:
        return os.path.join(self.data_directory(), RECEIPT_KEYS)

    def secret_path(self) -> str:
        return os.path.abspath(self.secret_file or os.path.join(self.data_directory(), "secret"))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address to listen on; a name other than localhost counts as the world."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
