"""When, in which order and how often requests leave."""
