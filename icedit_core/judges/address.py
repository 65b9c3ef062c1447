"""The address of a judge's server: read once, strictly, rebuilt from its parts, and allowed by the machine's owner."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass

from .. import foreign

HOSTS_VARIABLE = "ICEDIT_JUDGE_HOSTS"
PORTS = {"http": 80, "https": 443}
LONGEST = 500  # characters of a URL

_HOST = r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)(?::(?P<port>[0-9]{1,5}))?"
_URL = re.compile(rf"(?P<scheme>https?)://{_HOST}(?P<path>(?:/[a-z0-9._~+:-]*)*)", re.IGNORECASE | re.ASCII)
_ENTRY = re.compile(rf"(?:(?P<scheme>https?)://)?{_HOST}/?", re.IGNORECASE | re.ASCII)
_NEEDED = "but one like http://127.0.0.1:8000/v1 is needed"


@dataclass(frozen=True)
class Address:
    """The parts of a server's address.

    scheme: http or https, and host in small letters, IPv6 in brackets; port: None where the scheme's own is meant;
    path: "" or one that begins with a slash and ends without one.
    """

    scheme: str
    host: str
    port: int | None = None
    path: str = ""

    @property
    def place(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.place}{self.path}"

    @property
    def is_loopback(self) -> bool:
        return _is_loopback(self.host)

    def is_named_with_http(self) -> bool:
        """Whether the owner wrote this very place with http:// before it."""
        return any(entry.scheme == "http" and entry.covers(self) for entry in owners_hosts(HOSTS_VARIABLE))


@dataclass(frozen=True)
class Entry:
    """A place that the owner names: `host`, `host:port`, `http://host:port` or `https://host`.

    scheme, port: None where any is meant; a scheme without a port means the scheme's own port.
    """

    scheme: str | None
    host: str
    port: int | None

    @property
    def is_loopback(self) -> bool:
        return _is_loopback(self.host)

    def covers(self, address: Address) -> bool:
        """Whether the address is this place; all names of this machine are one."""
        same = self.host == address.host or (self.is_loopback and address.is_loopback)
        port = address.port or PORTS[address.scheme]
        return same and self.port in (None, port) and self.scheme in (None, address.scheme)


def parse(url: str) -> Address:
    """Read an address.

    Raises:
        ValueError: no http or https address; a user, a query, a fragment, a control character or anything else beside
            scheme, host, port and path; a host that the owner did not allow.
    """
    found = _URL.fullmatch(url) if len(url) <= LONGEST else None
    shown = foreign.line(re.sub(r"//[^/]*@", "//***@", url[:LONGEST]))
    if re.match(r"[^/]*//[^/?#]*@", url):
        raise ValueError(
            "ICEdit judge: the URL carries a user or a password, but secrets do not belong into a workflow. "
            "Put the key into an environment variable that begins with ICEDIT_JUDGE_ and name it."
        )
    if found is None and re.search(r"[?#]", url):
        raise ValueError(
            f"ICEdit judge: the URL is '{shown}', {_NEEDED}: the API's root, without ? or #. Take them out."
        )
    address = _address(found)
    if address is None or {".", ".."} & set(address.path.split("/")):
        raise ValueError(f"ICEdit judge: the URL is '{shown}', {_NEEDED}: scheme, host, port and plain path. Mend it.")
    if not (address.is_loopback or any(entry.covers(address) for entry in owners_hosts(HOSTS_VARIABLE))):
        raise ValueError(
            f"ICEdit judge: {address.place} is not this machine, but a workflow may reach this machine alone. "
            f"If you own the machine and trust that host, set {HOSTS_VARIABLE}={address.place} before ComfyUI starts."
        )
    return address


def owners_hosts(variable: str) -> list[Entry]:
    """The places in an environment variable, divided by commas.

    Raises:
        ValueError: one that cannot be read.
    """
    return [_entry(variable, text) for one in os.environ.get(variable, "").split(",") if (text := one.strip())]


def _entry(variable: str, text: str) -> Entry:
    bare = f"[{text}]" if text.count(":") > 1 and not re.search(r"[\[/]", text) else text  # IPv6 without brackets
    found = _ENTRY.fullmatch(bare)
    parts = _host_and_port(found) if found else None
    if found is None or parts is None:
        raise ValueError(
            f"ICEdit judge: {variable} holds '{foreign.line(text)}', but names like example.com, example.com:8000 or "
            "http://10.0.0.5:8000 are needed, divided by commas. Mend it and start ComfyUI again."
        )
    scheme = found["scheme"].lower() if found["scheme"] else None
    return Entry(scheme, parts[0], parts[1] or (PORTS[scheme] if scheme else None))


def _address(found: re.Match[str] | None) -> Address | None:
    parts = _host_and_port(found) if found else None
    if found is None or parts is None:
        return None
    return Address(found["scheme"].lower(), *parts, found["path"].rstrip("/"))


def _host_and_port(found: re.Match[str]) -> tuple[str, int | None] | None:
    """Host and port; None where they are none."""
    host, port = found["host"].lower(), int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 2**16:
        return None
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1])}]", port
        except ValueError:
            return None
    return host, port


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
