"""Where an instance lands, and how it gets there without being lost or replacing another."""
