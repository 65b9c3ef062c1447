"""Keys of judges' servers: from the owner's environment, to the hosts that they belong to, and in no text."""

from __future__ import annotations

import os

from .. import foreign
from .address import HOSTS_VARIABLE, Address, owners_hosts

PREFIX = "ICEDIT_JUDGE_"
HOST_SUFFIX = "_HOST"
HIDDEN = "***"
SHORTEST = 4  # characters: a shorter value is no secret, and hiding it would hide the judge's words


def check(variable: str, address: Address) -> str:
    """The key in an environment variable, for a server that it may be sent to; "" for no variable.

    Args:
        variable: begins with `ICEDIT_JUDGE_`, so that a workflow from elsewhere cannot send other secrets away.
        address: where the key would go.
    Raises:
        ValueError: a variable of another name or one that is not set, a value that no header can carry, a host that
            the key does not belong to, or plain http to another machine.
    """
    if not variable:
        return ""
    if not variable.startswith(PREFIX) or variable == HOSTS_VARIABLE or variable.endswith(HOST_SUFFIX):
        raise ValueError(
            f"ICEdit judge: the key variable is {foreign.line(variable)}, but its name must begin with {PREFIX} and "
            f"not end with {HOST_SUFFIX}. Set for example {PREFIX}KEY before ComfyUI starts."
        )
    try:
        key = os.environ.get(variable, "").strip()
    except UnicodeEncodeError:
        key = ""
    if not key:
        raise ValueError(
            f"ICEdit judge: {foreign.line(variable)} is not set. Set it before ComfyUI starts, or leave the field "
            "empty."
        )
    if not (key.isascii() and key.isprintable()):
        raise ValueError(
            f"ICEdit judge: {variable} holds line breaks or characters beyond ASCII, but a key is sent in a header, "
            "which cannot carry them. Set it to the key alone."
        )
    _check_owner(variable, address)
    if not (address.scheme == "https" or address.is_loopback or address.is_named_with_http()):
        raise ValueError(
            f"ICEdit judge: {variable} would go to {address.host} over http, where others can read it, but https is "
            f"needed. Use https, or, if you own that network, name http://{address.place} in {HOSTS_VARIABLE}."
        )
    return key


def masked(text: str) -> str:
    """The text with *** for each key that the environment holds for judges."""
    keys = {value.strip() for name, value in os.environ.items() if _is_key(name)}
    for key in sorted(keys, key=len, reverse=True):  # a key may be the beginning of another
        if len(key) >= SHORTEST:
            text = text.replace(key, HIDDEN)
    return text


def _is_key(name: str) -> bool:
    return name.startswith(PREFIX) and name != HOSTS_VARIABLE and not name.endswith(HOST_SUFFIX)


def _check_owner(variable: str, address: Address) -> None:
    """A key belongs to the hosts in its `..._HOST`; without it to the one host that is allowed, or to this machine."""
    named = variable + HOST_SUFFIX
    if os.environ.get(named, "").strip():
        if any(entry.covers(address) for entry in owners_hosts(named)):
            return
        reason = f"{named} names another place"
    else:
        others = [entry for entry in owners_hosts(HOSTS_VARIABLE) if not entry.is_loopback]
        hosts = {entry.host for entry in others}
        if address.is_loopback if not hosts else hosts == {address.host}:
            return
        reason = f"{HOSTS_VARIABLE} names {', '.join(sorted(hosts))}"
    raise ValueError(
        f"ICEdit judge: {variable} would go to {address.place}, but a key goes only to the host it belongs to, and "
        f"{reason}. If it belongs to {address.place}, set {named}={address.place} before ComfyUI starts."
    )
