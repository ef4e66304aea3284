"""The I/O around the Upper Layer: sockets, admission, deadlines, spool files, durability, TLS."""
