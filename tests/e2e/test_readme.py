"""The README's samples, run as they stand there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.servers import SidecarProcess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BODY = b'{"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}'
USAGE = b'{"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}'


@pytest.fixture
def sidecar(directory: Path):  # type: ignore[no-untyped-def]
    process = SidecarProcess(directory, POLICY_FILES=str(ROOT / "docs/guides/acme.yaml"))
    process.start()
    try:
        yield process
    finally:
        process.stop()


def commands() -> list[str]:
    """What the README has one type into another terminal."""
    block = re.search(r"from another terminal:\n\n```console\n(.*?)```", README, re.DOTALL)
    assert block is not None
    return [line.removeprefix("$ ") for line in block[1].splitlines()]


def test_the_commands_of_the_readme(sidecar: SidecarProcess) -> None:
    reservation_id, said = "", []
    for line in commands():
        words = shlex.split(line.replace("r-…", reservation_id))
        assert words[0] == "tallystick"
        address = "--admin-address" if words[1] == "wallet" else "--address"
        socket = "admin.sock" if words[1] == "wallet" else "tallystick.sock"
        where = [address, f"unix:{sidecar.directory}/{socket}"]
        run = subprocess.run(
            [sys.executable, "-m", *words, *where], capture_output=True, text=True, timeout=60, check=False
        )
        assert run.returncode == 0, run.stderr
        said.append(run.stdout)
        if found := re.search(r"r-[0-9a-f]{24}", run.stdout):
            reservation_id = found[0]
    assert "5.00 USD credited to user" in said[0]
    assert said[1].startswith("ALLOW")
    assert "charged 0.00047 USD, 1285 tokens" in said[2]
    assert "4.99953 USD" in said[3]


def test_the_python_of_the_readme(sidecar: SidecarProcess) -> None:
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    code = block[1].replace("127.0.0.1:50061", sidecar.socket)
    assert code != block[1]
    answer = SimpleNamespace(usage=USAGE)
    names: dict[str, object] = {"body": BODY, "call_the_provider": lambda body: answer}
    with pytest.raises(SystemExit, match="no wallet can pay"):
        exec(code, names)  # nobody has put any money in
    with sidecar.admin() as admin:
        from tallystick.v1 import admin_pb2, budget_pb2

        admin.CreditWallet(
            admin_pb2.CreditWalletRequest(
                tenant="acme", wallet="org", amount=10**9, unit=budget_pb2.UNIT_NANO_USD
            )
        )
        exec(code, names)
        (wallet,) = admin.ListWallets(admin_pb2.ListWalletsRequest(tenant="acme")).wallets
    assert wallet.spent == 12 * 250 + 7 * 2_000
    assert wallet.held == 0
