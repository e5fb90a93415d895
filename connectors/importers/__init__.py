"""Files that others recorded, made into sessions. One folder for each source; here what they share."""
