"""Where a judge's pictures and key may go: the address as it is used, the owner's list, and what a key is bound to."""

import json

import pytest

from icedit_core.judges.server import ServerJudge

HOSTS, KEY = "ICEDIT_JUDGE_HOSTS", "ICEDIT_JUDGE_KEY"
SURROGATE = json.loads('"\\ud800"')


@pytest.fixture(autouse=True)
def _no_owner(monkeypatch):
    for name in (HOSTS, KEY, f"{KEY}_HOST"):
        monkeypatch.delenv(name, raising=False)


def refusal(url, model="m", key_variable=""):
    with pytest.raises(ValueError) as caught:
        ServerJudge(url, model, key_variable)
    said = str(caught.value)
    assert said.startswith("ICEdit judge: ") and said.isprintable() and len(said) < 900
    return said


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8188/interrupt?x=",
        "http://127.0.0.1:11434/api/pull#",
        "http://127.0.0.1:8000/v1?",
        "http://127.0.0.1:8000#/v1",
        "http://[::1].evil.com/v1",
        "http://[::1]evil.com",
        "http://[::1]:80.evil.com/v1",
        "http://[1::2::3]/v1",
        "http://127.0.0.1:8000\\.evil.com/v1",
        "http://127.0.0.1\t.evil.com/v1",
        "http://127.0.0.1:8000/v1\r\nHost: evil.com",
        "http://127.0.0.1:8000/\x1b[2J",
        "http://127.0.0.1:8000/v1/%23",
        "http://127.0.0.1:8000/v1/../interrupt",
        "http://127.0.0.1:0/v1",
        "http://127.0.0.1:65536/v1",
        "http://127.0.0.1:8000 /v1",
        f"http://127.0.0.1:8000/{SURROGATE}",
        f"http://{SURROGATE}/v1",
        "http://127.0.0.1\u3002evil.com/v1",
        "http://\uff11\uff12\uff17.0.0.1/v1",
        "http://localhost./v1",
        "http:/127.0.0.1/v1",
        "http:127.0.0.1/v1",
        "//127.0.0.1/v1",
        "http://",
        "",
        "http://127.0.0.1/" + "a" * 10**6,
    ],
)
def test_an_address_is_scheme_host_port_and_plain_path(url):
    assert "but one like http://127.0.0.1:8000/v1 is needed" in refusal(url)


@pytest.mark.parametrize("url", ["http://me:pass@127.0.0.1/v1", "http://127.0.0.1@evil.com/v1", "http://@127.0.0.1"])
def test_an_address_has_no_user(url):
    assert "secrets do not belong" in refusal(url)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0.0.0.0", "[::]", "localhost.evil"])
def test_only_plain_names_of_this_machine_are_this_machine(host):
    assert "is not this machine" in refusal(f"http://{host}/v1")


def test_the_address_is_rebuilt_from_its_parts():
    assert ServerJudge("HTTP://LocalHost:8000/v1/", "m").url == "http://localhost:8000/v1"
    assert ServerJudge("http://[0:0:0::1]:8/v1//", "m").url == "http://[::1]:8/v1"
    assert ServerJudge("http://127.0.0.1", "m").name == "m at http://127.0.0.1"


@pytest.mark.parametrize("model", [SURROGATE, "m\x1b]52;c;x\x07", "two\nlines", "m" * 10_000])
def test_a_models_name_is_plain(model):
    assert "without control characters" in refusal("http://127.0.0.1/v1", model)


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        ("api.example", "https://api.example/v1", True),
        ("api.example", "http://api.example:8000/v1", True),
        ("API.Example , other.example", "https://api.EXAMPLE/v1", True),
        ("api.example", "https://sub.api.example/v1", False),
        ("api.example:8000", "http://api.example:8000/v1", True),
        ("api.example:8000", "http://api.example:22999/v1", False),
        ("api.example:8000", "https://api.example/v1", False),
        ("api.example:443", "https://api.example/v1", True),
        ("https://api.example", "https://api.example/v1", True),
        ("https://api.example", "https://api.example:8443/v1", False),
        ("https://api.example", "http://api.example/v1", False),
        ("http://10.0.0.5:8000", "http://10.0.0.5:8000/v1", True),
        ("2001:db8::5", "http://[2001:db8::5]:8000/v1", True),
        ("[2001:db8::5]:8000", "http://[2001:DB8:0::5]:8000/v1", True),
        ("[2001:db8::5]:8000", "http://[2001:db8::5]:8001/v1", False),
    ],
)
def test_the_owner_allows_hosts_and_ports(hosts, url, allowed, monkeypatch):
    monkeypatch.setenv(HOSTS, hosts)
    if allowed:
        assert ServerJudge(url, "m").url
    else:
        assert "is not this machine" in refusal(url)


@pytest.mark.parametrize("hosts", ["http://a/path", "a b", "http://", "ftp://a", "a:99999", "a?b", "me@a", "[::1", "*"])
def test_a_list_of_hosts_that_cannot_be_read_is_said(hosts, monkeypatch):
    monkeypatch.setenv(HOSTS, hosts)
    assert f"{HOSTS} holds" in refusal("https://api.example/v1")
    assert ServerJudge("http://127.0.0.1/v1", "m")


@pytest.mark.parametrize(
    ("hosts", "bound", "url", "refused"),
    [
        ("", "", "http://127.0.0.1:8000/v1", ""),
        ("", "127.0.0.1:8000", "http://localhost:8000/v1", ""),
        ("", "127.0.0.1:8000", "http://127.0.0.1:22999/v1", "goes only to the host it belongs to"),
        ("api.example", "", "https://api.example/v1", ""),
        ("api.example", "", "http://api.example/v1", "https is needed"),
        ("api.example", "", "http://api.example:22999/v1", "https is needed"),
        ("api.example:22999", "", "http://api.example:22999/v1", "https is needed"),
        ("http://api.example:8000", "", "http://api.example:8000/v1", ""),
        ("http://api.example:8000, api.example", "", "http://api.example:22999/v1", "https is needed"),
        ("http://api.example:8000, api.example", "", "https://api.example/v1", ""),
        ("api.example", "", "http://127.0.0.1:8000/v1", "goes only to the host it belongs to"),
        ("api.example", "127.0.0.1", "http://127.0.0.1:8000/v1", ""),
        ("api.example,other.example", "", "https://api.example/v1", "goes only to the host it belongs to"),
        ("api.example,other.example", "api.example", "https://api.example/v1", ""),
        ("api.example,other.example", "api.example", "https://other.example/v1", "goes only to the host it belongs to"),
        ("api.example,other.example", "api.example:443", "https://api.example:8443/v1", "goes only to the host"),
        ("api.example", "api.example", "http://api.example/v1", "https is needed"),
    ],
)
def test_a_key_goes_to_its_host_and_over_https(hosts, bound, url, refused, monkeypatch):
    monkeypatch.setenv(KEY, "sk-of-the-owner")
    monkeypatch.setenv(HOSTS, hosts)
    monkeypatch.setenv(f"{KEY}_HOST", bound)
    assert ServerJudge(url, "m")
    if not refused:
        assert ServerJudge(url, "m", KEY)
        return
    said = refusal(url, "m", KEY)
    assert refused in said and "sk-of-the-owner" not in said


@pytest.mark.parametrize("variable", [f"ICEDIT_JUDGE_{SURROGATE}", SURROGATE, f"{KEY}_HOST", "ICEDIT_JUDGE_\x1b[2J"])
def test_names_of_variables_are_not_trusted(variable, monkeypatch):
    monkeypatch.setenv(f"{KEY}_HOST", "127.0.0.1")
    refusal("http://127.0.0.1/v1", "m", variable)


@pytest.mark.parametrize("key", ["two\nlines", "sk-\u00e4", "sk-\x07"])
def test_a_key_that_no_header_carries_is_said_without_it(key, monkeypatch):
    monkeypatch.setenv(KEY, key)
    said = refusal("http://127.0.0.1/v1", "m", KEY)
    assert "a key is sent in a header" in said and key not in said
