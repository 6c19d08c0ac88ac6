"""What rows of an operator table cost: traffic, composition, energy, capacity."""
