"""Sound files, features and the effects that augment them."""
