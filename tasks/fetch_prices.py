"""Step: read the market of every cloud that the job may use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from prefect import task
from prefect.logging import get_run_logger

from blocks.cloud import MarketUnavailable
from blocks.market import Market
from tasks.documents import load_cloud


class NoMarket(RuntimeError):
    """No cloud's market could be read."""


@task(name="fetch_prices", retries=2, retry_delay_seconds=[2, 10])
def fetch_prices(clouds: list[str]) -> Market:
    """The offers of all clouds now; a cloud that fails is named and left out.

    clouds: names of Cloud block documents. Raises NoMarket if none answers.
    """
    log = get_run_logger()
    blocks = [load_cloud(name) for name in clouds]
    markets: list[Market] = []
    with ThreadPoolExecutor(max_workers=max(1, len(blocks))) as pool:
        pending = {name: pool.submit(block.market) for name, block in zip(clouds, blocks, strict=True)}
        for name, future in pending.items():
            try:
                market = future.result()
            except MarketUnavailable as error:
                log.warning("%s left out: %s", name, error)
            else:
                log.info("%s: %d offers", name, len(market))
                markets.append(market)
    if not markets:
        raise NoMarket(f"none of {', '.join(clouds)} gave its prices")
    return Market.merged(markets)
