"""A local web page for interactive predictions (``perfmodel explore``)."""
