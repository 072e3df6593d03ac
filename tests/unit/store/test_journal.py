"""The journal: on disk before the answer, and read again whatever the crash left."""

import asyncio
import errno
import os
import random
from pathlib import Path

import pytest

from tallystick.core.errors import StoreUnusable
from tallystick.store.journal import Journal, JournalFailed
from tests.journals import entries_in

pytestmark = pytest.mark.contract(13)
MOST = 100_000


async def written(path: Path, count: int) -> Journal:
    journal = Journal(path, MOST)
    await asyncio.gather(*(journal.append({"n": number}) for number in range(count)))
    return journal


async def test_what_was_appended_is_read_again_in_order(tmp_path: Path) -> None:
    journal = await written(tmp_path / "j", 100)
    await journal.append({"text": "söße\n\0"})
    found = entries_in(tmp_path / "j")
    assert found == [*({"n": number} for number in range(100)), {"text": "söße\n\0"}]
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


async def test_whoever_comes_meanwhile_shares_one_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = list[int]()
    real = os.fsync

    def fsync(file: int) -> None:
        syncs.append(file)
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    await written(tmp_path / "j", 500)
    assert len(syncs) <= 4  # the folder, the first, and the rest


@pytest.mark.parametrize("seed", range(5))
async def test_a_line_that_was_cut_off_is_dropped_and_the_next_takes_its_place(
    tmp_path: Path, seed: int
) -> None:
    dice, path = random.Random(seed), tmp_path / "j"
    await (await written(path, 3)).close()
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    path.write_bytes(whole[: -dice.randrange(1, last)])
    journal = Journal(path, MOST)
    assert journal.entries == [{"n": 0}, {"n": 1}]
    await journal.append({"n": 7})
    assert entries_in(path) == [{"n": 0}, {"n": 1}, {"n": 7}]


async def test_a_line_in_the_middle_that_can_not_be_read_is_not_for_us_to_drop(tmp_path: Path) -> None:
    await (await written(tmp_path / "j", 3)).close()
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(lines[0] + lines[1].replace(b"1}", b"2}") + lines[2])
    with pytest.raises(StoreUnusable, match="line 2"):
        Journal(tmp_path / "j", MOST)


async def test_a_journal_that_is_full_says_so_and_ends_have_room_of_their_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", 40)
    await journal.append({"n": 1})
    await journal.append({"n": 2})
    with pytest.raises(JournalFailed, match="full"):
        await journal.append({"n": 3})
    await journal.append({"n": 4}, spare=True)
    assert [entry["n"] for entry in entries_in(tmp_path / "j")] == [1, 2, 4]
    journal.clear()
    await journal.append({"n": 5})
    assert entries_in(tmp_path / "j") == [{"n": 5}]


async def test_a_disk_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await written(tmp_path / "j", 1)
    with monkeypatch.context() as failing:

        def fsync(_file: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        failing.setattr(os, "fsync", fsync)
        with pytest.raises(JournalFailed, match="Input/output error"):
            await journal.append({"n": 1})
    assert entries_in(tmp_path / "j") == [{"n": 0}]
    await journal.append({"n": 2})
    assert entries_in(tmp_path / "j") == [{"n": 0}, {"n": 2}]


async def test_a_folder_that_is_not_there_is_a_failure_of_the_entry(tmp_path: Path) -> None:
    with pytest.raises(JournalFailed, match="No such file"):
        await Journal(tmp_path / "none" / "j", MOST).append({"n": 1})


async def test_who_leaves_takes_nobody_with_him(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", MOST)
    first = asyncio.create_task(journal.append({"n": 1}))
    second = asyncio.create_task(journal.append({"n": 2}))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert entries_in(tmp_path / "j") == [{"n": 1}, {"n": 2}]


async def test_only_one_may_write_it_until_it_is_closed(tmp_path: Path) -> None:
    first = await written(tmp_path / "j", 1)
    with pytest.raises(StoreUnusable, match="another sidecar writes it"):
        Journal(tmp_path / "j", MOST)
    await first.close()
    assert Journal(tmp_path / "j", MOST).entries == [{"n": 0}]
