"""Keys that only a live run shows, and which test of ``test_every_live_key`` shows them."""

LIVE = frozenset(
    {
        "exchange",
        "symbol",
        "database",
        "out",
        "resume",  # by tests/integration/test_resume.py
        "feed.book_depth",
        "feed.stale_after",
        "feed.connect_timeout",
        "feed.warm_up",
        "ccxt.options",  # these five by tests/integration/test_reaching.py
        "ccxt.hostname",
        "ccxt.proxy",
        "ccxt.websocket_proxy",
        "ccxt.certificates",
        "embedded.market",
        "embedded.seed",
        "embedded.speed",
        "schedules[].name",
        "schedules[].cron",
        "schedules[].every",
        "schedules[].order",
        "orders[].id",  # these four by tests/integration/test_many_orders.py
        "orders[].symbol",
        "orders[].start",
        "orders[].order",
        "unattended.alerts",  # these six by tests/unit/unattended/test_unattended.py
        "unattended.alert_on",
        "unattended.ping_url",
        "unattended.ping_every",
        "unattended.least_free_mb",
        "unattended.keep_sessions",
        "jobs.heartbeat",
        "jobs.rotate_session",
    }
)
