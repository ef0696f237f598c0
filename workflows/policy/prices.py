"""What an hour costs: a dated snapshot of on-demand prices, and spot as a share of them.

The snapshot is a file, so that planning and receipts work without an account. SageMaker publishes no spot
prices of its own: the share is what managed spot training usually bills, and a receipt says that it is an
estimate.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from workflows.errors import RelayError

SNAPSHOT = Path(__file__).with_name("prices.json")
SECONDS_PER_HOUR = 3600

DISCOUNTED = 0.9
"""Billable below this share of the trained seconds: the billable seconds hold the spot discount already."""


class PriceBook(BaseModel):
    """Prices in US dollars per instance and hour, at a date, in a region."""

    model_config = ConfigDict(frozen=True)

    date: str
    region: str
    currency: str = "USD"
    note: str = ""
    spot_share: float
    on_demand: dict[str, float]

    def hourly(self, instance_type: str, market: str) -> float | None:
        """Dollars an hour for one instance; None for a type that the book does not know."""
        price = self.on_demand.get(instance_type)
        if price is None:
            return None
        return price * self.spot_share if market == "spot" else price

    def cost(self, instance_type: str, count: int, market: str, seconds: float) -> float | None:
        """Dollars for `count` instances over `seconds` (billed seconds are per instance, as on AWS)."""
        hourly = self.hourly(instance_type, market)
        return None if hourly is None else hourly * count * seconds / SECONDS_PER_HOUR


def load_prices(path: Path = SNAPSHOT) -> PriceBook:
    """The price book in a file. Raises RelayError when it is not one."""
    try:
        return PriceBook.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RelayError(f"{path}: not a price book: {error}") from None
