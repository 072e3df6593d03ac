"""How the in-memory store moves funds, each move once per id."""

from tallystick.core.errors import FundsMissing, IdMismatch
from tallystick.core.lots import Account, Lot
from tallystick.core.plan import WalletLine
from tallystick.store.asks import CreditAsk, MoveAsk, Moved, MoveKind
from tallystick.store.memory_partition import END_BEFORE_REFUSAL, Partition
from tallystick.store.memory_reserve import Opened, open_wallet


def credit(p: Partition, tenant: str, ask: CreditAsk) -> Account:
    """See `Store.credit`."""
    counter = ask.wallet.counter
    content = f"{counter}\t{ask.amount}\t{int(ask.kind)}\t{ask.expires_ms}"
    if not _known(p, tenant, ask.credit_id, content):
        opened, gone = open_and_lapse(p, ask.wallet)
        append_opened(p, tenant, opened, gone)
        opened.account.receive(Lot(ask.credit_id, ask.kind, ask.expires_ms, ask.amount))
        lapsed = opened.account.lapse(p.now_ms)  # the lot itself, where it came too late
        p.append(
            "credit", tenant, ask.credit_id, wallet=counter, unit=ask.wallet.unit, amount=ask.amount,
            lapsed=lapsed, kind_of_lot=int(ask.kind), expires=ask.expires_ms, reason=ask.reason,
        )  # fmt: skip
        p.keep_account(counter, opened.account)
        _remember(p, tenant, ask.credit_id, content)
    return p.account(counter)


def move(p: Partition, tenant: str, ask: MoveAsk) -> Moved:
    """See `Store.move`."""
    target = ask.target.counter if ask.target else ""
    content = f"{ask.kind}\t{ask.source.counter}\t{target}\t{ask.amount}"
    known = p.hold.get(f"{tenant}:c:{ask.move_id}", "")
    if known and known.rpartition("\t")[0] != content:
        raise IdMismatch(f"id {ask.move_id!r} was used for something else")
    if known:
        amount, drawn = int(known.rpartition("\t")[2]), tuple[Lot, ...]()
    else:
        amount, drawn = _move(p, tenant, ask, target)
        _remember(p, tenant, ask.move_id, f"{content}\t{amount}")
    return Moved(amount, drawn, p.account(ask.source.counter), p.account(target) if target else None)


def _move(p: Partition, tenant: str, ask: MoveAsk, target: str) -> tuple[int, tuple[Lot, ...]]:
    p.end_due(END_BEFORE_REFUSAL)
    source, (opened, gone) = ask.source.counter, open_and_lapse(p, ask.source)
    account, back = opened.account, ask.kind is MoveKind.RECLAIM
    available = account.available

    def wanted(lot: Lot) -> bool:
        """What has expired and is still there is for open holds."""
        return not 0 < lot.expires_ms <= p.now_ms and (not back or lot.source == target)

    if back:
        available = min(available, sum(lot.amount for lot in account.lots if wanted(lot)))
    amount = available if back and not ask.amount else ask.amount
    if amount > available or amount <= 0:
        raise FundsMissing(f"{available} are available, not {ask.amount}", available)
    append_opened(p, tenant, opened, gone)
    receiver = None
    if ask.target:
        receiver, gone = open_and_lapse(p, ask.target)
        append_opened(p, tenant, receiver, gone)
    p.append(
        ask.kind, tenant, ask.move_id,
        wallet=source, to=target, unit=ask.source.unit, amount=amount, reason=ask.reason,
    )  # fmt: skip
    drawn = account.draw(amount, wanted)
    account.funds -= amount
    account.balance -= amount
    p.keep_account(source, account)
    if receiver:
        origin = source if ask.kind is MoveKind.ALLOCATE else ""
        for lot in drawn:
            receiver.account.receive(lot._replace(id=ask.move_id, source=origin, rollover=0))
        p.keep_account(target, receiver.account)
    return amount, tuple(drawn)


def open_and_lapse(p: Partition, line: WalletLine) -> tuple[Opened, int]:
    """A wallet without what has expired, which comes second; nothing is written."""
    account = p.account(line.counter)
    lapsed = account.lapse(p.now_ms)
    return open_wallet(p, line, account), lapsed


def append_opened(p: Partition, tenant: str, opened: Opened, lapsed: int) -> None:
    """Tells of what lapsed and came when a wallet was opened."""
    p.append_lapse(opened.line.counter, lapsed)
    if opened.came:
        p.append_grant(tenant, opened.line, opened.came, opened.lapsed)


def _known(p: Partition, tenant: str, move_id: str, content: str) -> bool:
    known = p.hold.get(f"{tenant}:c:{move_id}")
    if known not in (None, content):
        raise IdMismatch(f"id {move_id!r} was used for something else")
    return known is not None


def _remember(p: Partition, tenant: str, move_id: str, content: str) -> None:
    name = f"{tenant}:c:{move_id}"
    p.hold[name] = content
    p.schedule(f"a:{name}", p.now_ms + p.retention_ms)
