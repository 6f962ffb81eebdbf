"""Pictures of the network at work and of augmentation."""
