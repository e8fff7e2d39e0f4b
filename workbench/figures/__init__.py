"""The facts of each picture, collected before anything draws them."""
