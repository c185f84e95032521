"""Many hosts: the same operation on each of them, bounded and fair, on this machine or on several."""
