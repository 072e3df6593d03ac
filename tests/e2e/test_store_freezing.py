"""A store that was put back to an old backup, as operators and callers see it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from redis import Redis

from tallystick.store.keys import partition_keys, partition_of
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.test_cli import Cli, has_line
from tests.servers import SidecarProcess, StoreServer, http_get, short_directory
from tests.store_nodes import wait_for

PARTITION = partition_of("acme", 64)


@contextmanager
def sidecar_of(store: StoreServer, **settings: str) -> Iterator[SidecarProcess]:
    with short_directory() as directory:
        sidecar = SidecarProcess(directory, STORE_URL=store.url, HTTP_LISTEN="127.0.0.1:0", **settings)
        sidecar.start()
        try:
            yield sidecar
        finally:
            sidecar.stop()


@pytest.fixture
def store(directory: Path) -> Iterator[StoreServer]:
    server = StoreServer(directory)
    server.start()
    yield server
    server.stop()


def test_a_store_that_was_put_back_is_frozen_until_an_administrator_thaws_it(
    store: StoreServer, tmp_path: Path
) -> None:
    with sidecar_of(store) as sidecar, Redis(unix_socket_path=store.address.path) as raw:
        cli = Cli(tmp_path, sidecar.directory)
        cli.run("policy", "apply", "acme.yaml")
        cli.run("wallet", "credit", "acme", "org", "5 USD")
        keys = [key for key in partition_keys(PARTITION) if raw.exists(key)]
        backup = {key: raw.dump(key) for key in keys}
        cli.run("wallet", "credit", "acme", "org", "5 USD")
        assert cli.text("store", "status") == "durability: fast\npartitions: 64, none frozen\n"

        def metrics() -> str:
            return http_get(sidecar.http_port, "/metrics")[1]

        for key, content in backup.items():
            raw.restore(key, 0, content, replace=True)
        wait_for(lambda: "tallystick_partitions_frozen 1.0" in metrics(), "it is frozen")
        request = pb.BalanceRequest(tenant="acme")
        with sidecar.budget() as budget, pytest.raises(grpc.RpcError) as caught:
            budget.Balance(request)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        said = f"partition {PARTITION} of the store went back from 1-3 to 1-2 and is frozen"
        assert said in str(caught.value.details())
        assert said in sidecar.log
        status, body = http_get(sidecar.http_port, "/readyz")
        assert status == 200  # calls of all other tenants are answered
        assert json.loads(body)["parts"]["partitions"] == f"ready, but frozen: {PARTITION}"
        text = cli.text("store", "status")
        assert "partitions: 64, 1 frozen" in text
        assert has_line(text, rf"partition {PARTITION}: frozen since .*, when 1-3 had been seen and 1-2 came")
        text = cli.text("store", "thaw", str(PARTITION), "--by", "ann", "--reason", "5 USD are credited anew")
        assert has_line(text, rf"partition {PARTITION}: thawed; it was frozen since .*")
        assert cli.text("store", "thaw", str(PARTITION)) == f"partition {PARTITION}: was not frozen\n"
        assert "5.00 USD" in cli.text("wallet", "list", "acme")
        assert cli.json("store", "status")["frozen"] == []
        assert "partition: expected 0 to 63" in cli.run("store", "thaw", "64", expect=1).stderr


@pytest.mark.parametrize("mode", ["fast", "durable"])
def test_the_embedded_store_is_set_up_by_the_mode(mode: str, tmp_path: Path) -> None:
    with short_directory() as directory:
        sidecar = SidecarProcess(directory, DURABILITY=mode, HTTP_LISTEN="127.0.0.1:0")
        sidecar.start()
        try:
            told = f'tallystick_store_durability{{checked="true",mode="{mode}"}} 1.0'
            assert told in http_get(sidecar.http_port, "/metrics")[1]
            assert f"durability: {mode}\n" in Cli(tmp_path, directory).text("store", "status")
        finally:
            sidecar.stop()


def test_a_store_that_breaks_the_promise_ends_the_start(store: StoreServer) -> None:
    with short_directory() as directory:
        sidecar = SidecarProcess(directory, STORE_URL=store.url, DURABILITY="durable")
        sidecar.start(wait=False)
        assert sidecar.exit_code() == 3
        assert "durability durable: the store has appendfsync everysec; set always" in sidecar.log


def test_a_store_that_tells_no_settings_is_used_with_a_warning(store: StoreServer) -> None:
    with Redis(unix_socket_path=store.address.path) as raw:
        raw.acl_setuser("default", enabled=True, reset=False, commands=["-config"])
    with sidecar_of(store, DURABILITY="durable") as sidecar:
        assert "durability durable: the store doesn't tell its settings" in sidecar.log
        told = 'tallystick_store_durability{checked="false",mode="durable"} 1.0'
        assert told in http_get(sidecar.http_port, "/metrics")[1]
