"""A local page to turn the knobs of a prediction and watch it move (``perfmodel explore``)."""
