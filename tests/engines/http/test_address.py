"""Where servers listen."""

from pathlib import Path

import pytest

from numina_infer.core.errors import ConfigError
from numina_infer.engines.http.address import KEY_VARIABLE, Address

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "url", "socket"),
    [
        ("https://host/", "https://host", None),
        ("http://host:8000/v1", "http://host:8000", None),
        (" https://host/a/v1/ ", "https://host/a", None),
        ("http://[::1]:80", "http://[::1]:80", None),
        ("unix:/run/s", "http://localhost", "/run/s"),
        ("/run/s", "http://localhost", "/run/s"),
        ("~/s", "http://localhost", str(Path("~/s").expanduser())),
    ],
)
def test_every_form_of_an_address_is_read(text: str, url: str, socket: str | None) -> None:
    """A trailing `/v1` is what OpenAI's own client wants."""
    address = Address.parse(text)
    assert (address.url, address.socket) == (url, socket)
    assert str(address) == (socket or url)


@pytest.mark.parametrize(
    "text",
    ["", "host:8000", "ftp://host", "https://", "http://host:port", "http://host:99999", "http://[::1", "unix:"],
)
def test_what_is_no_address_is_named(text: str) -> None:
    """A port too, before anything is connected to."""
    with pytest.raises(ConfigError, match=r"endpoint '.*'"):
        Address.parse(text)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    """Addresses are printed and recorded."""
    with pytest.raises(ConfigError, match=KEY_VARIABLE) as refused:
        Address.parse("https://me:open-sesame@host")
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(("text", "sent"), [("https://host", "Bearer k"), ("http://host", "Bearer k"), ("/s", None)])
async def test_the_key_goes_to_hosts_alone(text: str, sent: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket is ours."""
    monkeypatch.setenv(KEY_VARIABLE, "k")
    async with Address.parse(text).client() as client:
        assert client.headers.get("authorization") == sent


@pytest.mark.parametrize("address", ["http://999.1.1.1", "http://h\0st", "http://h/" + "p" * 70_000])
def test_an_address_that_the_client_cannot_use_is_refused(address: str) -> None:
    """Though it is written as one."""
    with pytest.raises(ConfigError, match="is no address"):
        Address.parse(address)


@pytest.mark.parametrize("key", ["a\n", "é", "a\rb"])
def test_a_key_that_no_header_can_bear_is_refused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not shown; a socket is sent none."""
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(ConfigError, match=f"^{KEY_VARIABLE} holds what no key has") as refused:
        Address.parse("https://host").client()
    assert key not in str(refused.value)
    Address.parse("/run/s").client()
