"""Which configuration of a network and a device is best under limits."""
