"""Every key of the configuration and every option of every command, each with what it changes."""
