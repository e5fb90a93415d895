"""What a run, a replay or an installation is held against before it goes on, and after."""
