"""From the bytes in the spool to the instance at its final path."""
