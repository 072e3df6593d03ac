"""What a model costs: the policy's prices over the bundled catalogue. Never asks the network."""

from tallystick.pricing.book import PriceBook
from tallystick.pricing.ceilings import Ceilings

__all__ = ["Ceilings", "PriceBook"]
