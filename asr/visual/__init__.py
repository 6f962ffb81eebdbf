"""Pictures of what the network and the augmentation do."""
