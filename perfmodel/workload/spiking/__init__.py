"""Spiking networks and recurrent memories: what they cost depends on how often neurons fire.

`neurons` has what a layer of neurons does in a time step, `network` the family of layered and of
recurrent spiking networks (liquid state machines), `lmu` that of Legendre memory units.
"""
