"""What lem's pages say: the commands' documents as data for templates. The kit is ``agent.pages``."""
