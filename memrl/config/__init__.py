"""What can be set: models that check a config, and Hydra's composition of one."""
