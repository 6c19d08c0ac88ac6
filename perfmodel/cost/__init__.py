"""Cost models over the rows of an operator table: traffic, time, energy, capacity, area, price."""
