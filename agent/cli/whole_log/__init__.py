"""Commands on a whole execution log; asking it is ``agent.cli.log``."""
