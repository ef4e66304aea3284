"""A small archive of synthetic patients inside this process, to try the program without a PACS."""
