"""Pages made from the commands' documents: one self-contained HTML file each."""
