"""How a pack is organised: the key-value contract, its engines, and the format of what they hold."""
