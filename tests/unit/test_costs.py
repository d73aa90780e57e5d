"""What vaults cost, by a price file that people edit."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from ecogvault.config import ConfigError
from ecogvault.costs import GB, MIB, early_deletion, read_prices, retrieval_cost, upload_cost

PRICES = Path(__file__).parents[2] / "config" / "prices.yaml"
ROUND = {
    "as_of": "2026-01-02",
    "glacier": {
        "storage_gb_month": 0.01,
        "overhead_bytes": 0,
        "minimum_days": 90,
        "upload_1000_requests": 1.0,
        "transfer_out_gb": 0.1,
        "retrieval": {
            "Expedited": {"gb": 0.2, "requests_1000": 100.0, "hours": 0.1},
            "Standard": {"gb": 0.02, "requests_1000": 10.0, "hours": 5},
            "Bulk": {"gb": 0.0, "requests_1000": 0.0, "hours": 12},
        },
    },
}


@pytest.fixture
def prices(tmp_path: Path):
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump(ROUND))
    return read_prices(tmp_path / "prices.yaml")


def test_the_prices_that_come_along_are_dated_and_complete() -> None:
    assert read_prices(PRICES).as_of.startswith("20")


def test_sending_counts_each_part_and_three_months(prices) -> None:
    cost = upload_cost(prices, [100 * GB, 1], 64 * MIB)
    assert cost.requests == 2 + -(-100 * GB // (64 * MIB)) + 3
    assert cost.once == pytest.approx(cost.requests / 1000)
    assert cost.monthly == pytest.approx(1.0)
    assert cost.minimum == pytest.approx(cost.once + 3.0)
    assert upload_cost(prices, [], 64 * MIB).minimum == 0


def test_bringing_back_costs_by_tier_and_the_way_out_of_amazon(prices) -> None:
    assert retrieval_cost(prices, [100 * GB] * 10, "Standard").money == pytest.approx(1000 * 0.12 + 0.1)
    assert retrieval_cost(prices, [100 * GB], "Bulk").money == pytest.approx(10.0)
    assert "within about 12 hours" in retrieval_cost(prices, [1], "Bulk").line()


def test_deleting_early_costs_the_rest_of_ninety_days(prices) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    found = early_deletion(prices, 100 * GB, "2026-01-30T00:00:00Z", now)
    assert found is not None
    assert found == (pytest.approx(100 * 0.01 * 60 / 30), "2026-04-30")
    assert early_deletion(prices, GB, "2025-11-01T00:00:00Z", now) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"glacier": {}}, "lacks storage_gb_month"),
        ({"glacier": {**ROUND["glacier"], "minimum_days": "many"}}, "every price is a number"),
        ({"glacier": {**ROUND["glacier"], "minimum_days": -1}}, "every price is a number"),
        ({"glacier": 5}, "not readable"),
    ],
)
def test_a_price_file_that_is_not_right_is_refused_by_name(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump(ROUND | change))
    with pytest.raises(ConfigError, match=message):
        read_prices(path)
    with pytest.raises(ConfigError, match="there is no file"):
        read_prices(tmp_path / "none.yaml")
