"""Systems of several devices, and of several requests."""
