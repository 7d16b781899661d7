"""Open a network: the network itself, what is known of it, its data, its predictions."""
