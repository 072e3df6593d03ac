"""A policy tried on past calls: read them, replay them through the engine, say what would have been."""

from tallystick.backtest.calls import PastCall
from tallystick.backtest.replay import Replay, Wallets
from tallystick.backtest.report import Report
from tallystick.backtest.timeline import Timeline
from tallystick.backtest.usage_file import BadRow, BadUsageFile, UsageFile

__all__ = ["BadRow", "BadUsageFile", "PastCall", "Replay", "Report", "Timeline", "UsageFile", "Wallets"]
