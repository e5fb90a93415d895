"""A database's URL shows no password, however it is written, and records none."""

from __future__ import annotations

import pytest

from agent.config import Config, parse_config
from agent.core.errors import ConfigError
from agent.core.secret_url import DatabaseUrl, without_passwords

SECRET = "s3cretWord"
WITH_PASSWORD = [
    f"postgresql://u:{SECRET}@h/db",
    f"postgresql://u:{SECRET}@h:5432/db?sslmode=require&application_name=x",
    f"postgresql://:{SECRET}@h/db",
    f"postgresql://u@h/db?password={SECRET}&sslmode=require",
    f"postgresql://u@h/db?sslmode=require&sslpassword={SECRET}",
    f"postgresql://u:pa:{SECRET}@h/db",
    f"postgresql://u:a@b/{SECRET}?x@h/db",  # not escaped as it should be
    f"postgresql://u:a b'{SECRET}@h/db",
    f"postgresql:/u:{SECRET}@h/db",  # a slash too few: it is taken for a file's name, and printed as one
    f"mysql://u:{SECRET}@h/db",
]


@pytest.mark.parametrize("text", WITH_PASSWORD)
def test_no_form_shows_the_password(text: str) -> None:
    """Printed, formatted, in an error, in a configuration that is recorded; the driver gets it."""
    url = DatabaseUrl(text)
    config = Config(database=url)
    shown = [str(url), repr(url), f"{url}", url.recorded, repr(config), config.model_dump_json()]
    assert not any(SECRET in each for each in shown)
    assert url.secret == text
    assert Config.model_validate(config.model_dump()).database == url


@pytest.mark.parametrize(
    "text", ["sqlite:///runs/a.db", "runs/a@b:c.db", "C:\\runs\\a.db", "postgresql://u@h/d"]
)
def test_what_holds_none_stays(text: str) -> None:
    """As it was given, and recorded so."""
    assert str(DatabaseUrl(text)) == DatabaseUrl(text).recorded == text


def test_what_is_recorded_names_the_same_database() -> None:
    """User, host, name and other options stay, so that it opens where the password comes from elsewhere."""
    url = DatabaseUrl(f"postgresql://u:{SECRET}@h:5/db?password={SECRET}&sslmode=require")
    assert url.recorded == "postgresql://u@h:5/db?sslmode=require"


def test_a_message_that_quotes_a_file_shows_none() -> None:
    """A YAML error quotes the line; a host's port is no password."""
    text = f'in "config.yaml": database: "postgresql://u:{SECRET}@h/db, https://api.x.com:443/a failed'
    assert without_passwords(text) == (
        'in "config.yaml": database: "postgresql://u:***@h/db, https://api.x.com:443/a failed'
    )


@pytest.mark.parametrize(
    "value", [{"url": f"postgresql://u:{SECRET}@h/db"}, [f"postgresql://u:{SECRET}@h/db"], 5]
)
def test_a_wrong_value_is_told_without_it(value: object) -> None:
    """The message about a key quotes what was given."""
    with pytest.raises(ConfigError, match="database") as told:
        parse_config({"database": value})
    assert SECRET not in str(told.value)
    assert SECRET not in str(told.value.__cause__)
