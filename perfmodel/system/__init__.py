"""More than one device at a time, and more than one request."""
