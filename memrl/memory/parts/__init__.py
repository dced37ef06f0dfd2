"""What several memories are made of: modules with parameters, and ways through a sequence."""
