"""Settings: read, checked, and never telling a password."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import tallystick
from tallystick.config import ConfigError, Settings, load_settings, settings_reference
from tallystick.setting_types import split_address
from tallystick.store.address import StoreAddress, parse_store_url

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-very-secret"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("TALLYSTICK_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.chdir(tmp_path)


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"TALLYSTICK_{name.upper()}", value)
    return load_settings()


def problem(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(monkeypatch, **variables)
    return str(caught.value)


def test_defaults() -> None:
    settings = load_settings()
    data_dir = Path("/home/someone/.local/share/tallystick")
    assert settings.data_dir == data_dir
    assert settings.socket == data_dir / "tallystick.sock"
    assert settings.admin_socket == data_dir / "admin.sock"
    assert settings.tally_key_file == data_dir / "tally.key"
    assert (settings.listen, settings.http_listen) == ("127.0.0.1:50061", "127.0.0.1:9464")
    assert settings.transport == "native"
    assert settings.store_address() is None
    assert (settings.store_timeout_ms, settings.partitions) == (2000, 64)
    assert (settings.max_in_flight, settings.max_queued) == (512, 4096)
    assert (settings.retention, settings.drain_timeout) == (timedelta(hours=24), timedelta(seconds=30))
    assert (settings.policy_files, settings.default_tenant) == ((), "")
    assert not settings.reflection
    assert (settings.log_level, settings.log_format) == ("info", "json")


def test_data_directory_follows_xdg_and_carries_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    assert load_settings().socket == Path("/srv/data/tallystick/tallystick.sock")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert load_settings().data_dir == Path("/home/someone/.local/share/tallystick")
    settings = loaded(monkeypatch, data_dir="~/x", admin_socket="", tally_key_file="keys/tally")
    assert settings.data_dir == Path("/home/someone/x")
    assert settings.socket == Path("/home/someone/x/tallystick.sock")
    assert settings.admin_socket is None
    assert settings.tally_key_file == Path.cwd() / "keys/tally"


def test_empty_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, listen="", socket="", http_listen="", store_url="", store_tls_ca="")
    assert (settings.listen, settings.socket, settings.http_listen) == ("", None, "")
    assert settings.store_address() is None
    assert settings.store_tls_ca is None


def test_the_default_tenant_is_one_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, default_tenant="acme-1").default_tenant == "acme-1"
    assert problem(monkeypatch, default_tenant="Acme") == (
        "TALLYSTICK_DEFAULT_TENANT: expected 1 to 64 of [a-z0-9_.-], not 'Acme'"
    )


def test_policy_files(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, policy_files="/etc/a.yaml, b.yaml,")
    assert settings.policy_files == (Path("/etc/a.yaml"), Path.cwd() / "b.yaml")


def test_overrides_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_PARTITIONS", "8")
    assert load_settings().partitions == 8
    assert load_settings(partitions=16).partitions == 16


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("10m", 600),
        ("24h", 86_400),
        ("7d", 604_800),
        ("1h30m", 5_400),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("90", 90),
        ("0", 0),
        ("PT30S", 30),
        ("P1DT1H", 90_000),
    ],
)
def test_durations(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    assert loaded(monkeypatch, retention=text).retention.total_seconds() == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "1y", "10 parsecs", "-5", "-P1D", "1h-30m", "1h 30", "9" * 20 + "d", "P"]
)
def test_wrong_durations(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert problem(monkeypatch, retention=text).startswith("TALLYSTICK_RETENTION: ")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("listen", "50061", "expected HOST:PORT"),
        ("listen", "::1:50061", "expected HOST:PORT"),
        ("http_listen", "localhost:65536", "expected HOST:PORT"),
        ("http_listen", ":9464", "expected HOST:PORT"),
        ("transport", "http3", "expected 'native' or 'grpcio', not 'http3'"),
        ("partitions", "0", "greater than or equal to 1"),
        ("partitions", "4097", "less than or equal to 4096"),
        ("partitions", "many", "expected a valid integer"),
        ("max_in_flight", "0", "greater than or equal to 1"),
        ("reflection", "perhaps", "expected a valid boolean"),
        ("log_level", "trace", "expected 'debug', 'info', 'warning' or 'error'"),
        ("socket", "/" + "x" * 110, "expected a path of 103 bytes at most"),
        ("data_dir", "", "expected a path"),
        ("tally_key_file", "", "expected a path"),
        ("store_tls_ca", "/etc", "expected a file that exists"),
    ],
)
def test_errors_name_the_variable_and_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    text = problem(monkeypatch, **{name: value})
    assert text.startswith(f"TALLYSTICK_{name.upper()}: ")
    assert expected in text


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = problem(monkeypatch, partitions="x", transport="y", data_dir="")
    assert [line.split(":")[0] for line in text.splitlines()] == [
        "TALLYSTICK_DATA_DIR",
        "TALLYSTICK_TRANSPORT",
        "TALLYSTICK_PARTITIONS",
    ]


def test_misspelt_variables_are_refused_and_strange_ones_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("TALLYSTICK_PORT_50061_TCP", "tcp://10.0.0.1:50061")
    load_settings()
    text = problem(monkeypatch, drain_timout="1s", store_ulr="redis://x")
    assert "TALLYSTICK_DRAIN_TIMOUT: no such setting; expected TALLYSTICK_DRAIN_TIMEOUT" in text
    assert "TALLYSTICK_STORE_ULR: no such setting; expected TALLYSTICK_STORE_URL" in text
    assert "redis://x" not in text


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://store", StoreAddress(host="store", port=6379)),
        ("valkey://store:7000?db=3", StoreAddress(host="store", port=7000, database=3)),
        ("redis://store/2", StoreAddress(host="store", port=6379, database=2)),
        ("REDISS://me:p%40ss@store", StoreAddress("store", 6379, tls=True, username="me", password="p@ss")),
        ("valkeys://:pw@[::1]:1", StoreAddress(host="::1", port=1, tls=True, password="pw")),
        (
            "rediss+sentinel://me:p%2Cw@a,[::1]:2/spend?db=1&sentinel_username=s&sentinel_password=q%40",
            StoreAddress(
                tls=True,
                username="me",
                password="p,w",
                database=1,
                seeds=(
                    StoreAddress("a", 26379, tls=True, username="s", password="q@"),
                    StoreAddress("::1", 2, tls=True, username="s", password="q@"),
                ),
                service="spend",
            ),
        ),
        (
            "valkey+cluster://:pw@a:1,b",
            StoreAddress(
                password="pw",
                seeds=(StoreAddress("a", 1, password="pw"), StoreAddress("b", 6379, password="pw")),
            ),
        ),
        ("unix:///run/v.sock?db=1", StoreAddress(path="/run/v.sock", database=1)),
        ("unix://me:pw@/run/v.sock", StoreAddress(path="/run/v.sock", username="me", password="pw")),
    ],
)
def test_store_urls(monkeypatch: pytest.MonkeyPatch, url: str, address: StoreAddress) -> None:
    assert loaded(monkeypatch, store_url=url).store_address() == address


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{SECRET}@store",
        f"redis://:{SECRET}@",
        f"redis://:{SECRET}/x@store",  # a slash that should have been %2F: the rest looks like a port
        f"redis://:{SECRET}@store:99999",
        f"redis://:{SECRET}@store:0",
        f"redis://:{SECRET}@store?db={SECRET}",
        f"redis://:{SECRET}@store?db=",
        f"redis://:{SECRET}@store?password={SECRET}",
        f"redis://:{SECRET}@store?{SECRET}",
        f"redis://:{SECRET}@store/1?db=2",
        f"redis://:{SECRET}@store#{SECRET}",
        f"redis://[{SECRET}",
        f"redis+{SECRET}://store",
        f"unix+cluster://:{SECRET}@store",
        f"redis+cluster://:{SECRET}@store,",
        f"redis+cluster://:{SECRET}@store/service",
        f"redis+cluster://:{SECRET}@store?db=1",
        f"redis+cluster://:{SECRET}@a,b:{SECRET}",
        f"redis+sentinel://:{SECRET}@store",
        f"redis+sentinel://:{SECRET}@store:0/service",
        f"redis+sentinel://:{SECRET}@store/service/1",
        f"redis+sentinel://:{SECRET}@store/service?password={SECRET}",
        f"unix://:{SECRET}@host/run/v.sock",
        f"unix://:{SECRET}@",
        SECRET,
    ],
)
def test_wrong_store_urls_are_refused_without_quoting_them(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(ConfigError, match=r"^TALLYSTICK_STORE_URL: expected ") as caught:
        loaded(monkeypatch, store_url=url)
    assert SECRET not in repr(caught.getrepr(style="long"))
    assert caught.value.__suppress_context__
    with pytest.raises(ValueError, match="validation error") as raw:
        Settings()
    assert SECRET not in str(raw.value)


def test_password_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, store_url=f"rediss://me:{SECRET}@store:1?db=2")
    address = settings.store_address()
    assert address is not None
    assert address.password == SECRET
    assert str(address) == "store:1 database 2 over TLS"
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(address), str(address)):
        assert SECRET not in text


def test_addresses_are_told_without_credentials() -> None:
    assert str(parse_store_url("redis://[::1]")) == "[::1]:6379 database 0"
    assert str(parse_store_url(f"unix://:{SECRET}@/run/v.sock")) == "/run/v.sock database 0"
    assert (
        str(parse_store_url(f"redis+sentinel://:{SECRET}@a,[::1]:1/s?sentinel_password={SECRET}"))
        == "service s of the Sentinels a:26379,[::1]:1 database 0"
    )
    assert str(parse_store_url(f"rediss+cluster://:{SECRET}@a,b:1")) == "the cluster a:6379,b:1 over TLS"


def test_tls_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pem = tmp_path / "a.pem"
    pem.touch()
    settings = loaded(
        monkeypatch,
        store_url="rediss://x",
        store_tls_ca="a.pem",
        store_tls_cert=str(pem),
        store_tls_key=str(pem),
    )
    assert (settings.store_tls_ca, settings.store_tls_cert, settings.store_tls_key) == (pem, pem, pem)
    monkeypatch.delenv("TALLYSTICK_STORE_TLS_CERT")
    assert "TALLYSTICK_STORE_TLS_KEY: expected TALLYSTICK_STORE_TLS_CERT beside it" in problem(monkeypatch)
    for url in ("redis://x", ""):
        assert "TALLYSTICK_STORE_TLS_CA: expected TALLYSTICK_STORE_URL to begin with rediss://" in problem(
            monkeypatch, store_url=url
        )


def test_a_process_without_a_home_is_told_to_name_the_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    assert problem(monkeypatch).startswith("TALLYSTICK_DATA_DIR: expected a directory")


def test_addresses_are_taken_apart() -> None:
    assert split_address("127.0.0.1:0") == ("127.0.0.1", 0)
    assert split_address("[::1]:50061") == ("::1", 50061)


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.partitions = 1  # type: ignore[misc]


def test_reference_is_up_to_date() -> None:
    assert (ROOT / "docs/reference/settings.md").read_text() == settings_reference()


def test_reference_is_printed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(tallystick.__file__).parents[1])}
    command = [sys.executable, "-m", "tallystick.config"]
    printed = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert printed.stdout == settings_reference()
