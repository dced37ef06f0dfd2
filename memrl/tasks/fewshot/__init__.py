"""Few-shot classification of digits: the data, the task, its control, and prototypical networks."""
