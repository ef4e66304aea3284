"""What the archive pushes at us: the storage SCP and the spool."""
