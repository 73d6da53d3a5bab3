"""The network, what it is trained to do, and the steps that train it."""
