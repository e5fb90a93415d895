"""Orders as people write them: the options of one as text, and files of many, each bad row told."""
