"""The receiver in processes of its own, and the channels that steer them."""
