"""Options, or whole commands, whose effect takes a live market or a training: who shows it."""

LIVE = "tests/every_key/test_every_live_option.py"
WHOLE_DATABASES = "tests/integration/test_whole_databases.py"

ELSEWHERE = {
    "agent run": LIVE,
    "agent record": LIVE,
    "agent serve-exchange": LIVE,
    "agent doctor": LIVE,
    "agent ctl": LIVE,
    "agent status --all": "tests/unit/terminal/test_working_orders.py",
    "agent config init": "tests/unit/cli/test_config_file.py",
    "agent config check": "tests/unit/cli/test_config_file.py",
    "agent db upgrade": WHOLE_DATABASES,
    "agent db check": WHOLE_DATABASES,
    "agent db copy": WHOLE_DATABASES,
    "agent replay --log-json": "tests/every_key/test_every_option.py",
    "agent import --log-json": "tests/every_key/test_every_option.py",
    "agent calibrate --log-json": "tests/every_key/test_every_option.py",
    "lem evaluate --frontier": "tests/unit/lem/evaluation/test_frontier.py",
    "lem ablate --json": "tests/unit/lem/training",
    "lem fetch --json": "tests/integration/test_fetch.py",
}
